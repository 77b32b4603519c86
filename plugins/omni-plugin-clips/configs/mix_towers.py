# First stage on the made scenes of `mix`, for every choice of groups alike: each tower learns what it can know by
# itself, the picture what moves and which way, the sound what it is and when it is heard.
#   omni train omni_plugin_clips:configs/mix_towers.py --work-dir work_dirs/towers
_base_ = ["mix_model.py"]

objectives = [
    dict(type="label_prediction", slots=["video"], labels="thing", num_classes=128),
    dict(type="label_prediction", slots=["video"], labels="motion", num_classes=6),
    dict(type="label_prediction", slots=["audio"], labels="thing", num_classes=128),
    dict(type="label_prediction", slots=["audio"], labels="when", num_classes=4),
]
train_dataloader = dict(dataset=dict(type="mix", split="train"), batch_size=64, tables=True)
train_cfg = dict(max_iters=400)
