# First stages on the made scenes of `mix`, for every choice of groups alike: each tower learns what it can know by
# itself, the sound what it is and when it is heard, the picture what moves and which way. The picture takes far longer.
#   omni train omni_plugin_clips:configs/mix_towers.py --work-dir work_dirs/towers
_base_ = ["mix_model.py"]

train_dataloader = dict(dataset=dict(type="mix", split="train"), batch_size=64, tables=True)
stages = [
    dict(
        name="sound",
        max_iters=200,
        objectives=[
            dict(type="label_prediction", slots=["audio"], labels="thing", num_classes=128, init_std=0.2),
            dict(type="label_prediction", slots=["audio"], labels="when", num_classes=4, init_std=0.2),
        ],
    ),
    dict(
        name="picture",
        max_iters=1500,
        objectives=[
            dict(type="label_prediction", slots=["video"], labels="thing", num_classes=128, init_std=0.2),
            dict(type="label_prediction", slots=["video"], labels="motion", num_classes=6, init_std=0.2),
        ],
    ),
]
