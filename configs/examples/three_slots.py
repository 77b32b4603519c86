# Pictures, words and speech in one space, from the data set that omni-plugin-m3mini brings; a minute on one core:
#   omni train omni:configs/examples/three_slots.py --work-dir work_dirs/first
# Needs omni-plugin-image, omni-plugin-audio and omni-plugin-m3mini.
_base_ = ["omni:configs/_base_/runtime.py", "omni:configs/_base_/schedule.py"]

model = dict(
    width=64,
    num_layers=2,
    num_heads=2,
    ffn_width=256,
    layer_scale=0.1,
    embedding_width=64,
    slots=dict(image="image", text="text", audio="audio"),
    adapters=dict(
        image=dict(stem="hmlp", image_size=64),
        audio=dict(stem="log_mel", patch_frames=8, position_layers=2, position_kernel=9),
    ),
)
processor = dict(
    image=dict(modality="image", type="image_basic", size=64, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)),
    text=dict(modality="text", type="bpe"),
    audio=dict(modality="audio", type="log_mel", max_seconds=2.0),
)
# Symile: the three together, for searches with two slots. InfoNCE: each pair, for searches with one.
objectives = [
    dict(type="symile", slots=["image", "text", "audio"]),
    dict(type="info_nce", slots=["image", "text", "audio"], labels="class"),
]
train_dataloader = dict(dataset=dict(type="m3mini", edition="demo", w=3, view="aligned", split="train"), batch_size=64)
val_dataloader = dict(dataset=dict(type="m3mini", edition="demo", w=3, view="aligned", split="val"), batch_size=64)
val_evaluator = dict(type="retrieval", query=["text", "audio"], target="image", label="class")
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_iters=400, val_interval=200)
