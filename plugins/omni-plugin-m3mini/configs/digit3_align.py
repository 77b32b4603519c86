# First stage on digit3, for every objective alike: each tower learns which digit it holds.
_base_ = ["omni:configs/_base_/runtime.py", "omni:configs/_base_/schedule.py"]

model = dict(
    width=64,
    num_layers=2,
    num_heads=4,
    ffn_width=128,
    layer_scale=1.0,
    embedding_width=64,
    embedding_norm="layernorm",
    projection=dict(type="mlp", hidden=256),
    logit_scale=dict(init=0.1, max=None),
    slots=dict(image="image", mfcc="vectors", text="text"),
    adapters=dict(image=dict(stem="hmlp", image_size=32), vectors=dict(channels=13)),
)
processor = dict(
    image=dict(modality="image", type="image_basic", size=32, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)),
    mfcc=dict(modality="vectors", type="vectors", max_steps=64),
    text=dict(modality="text", type="bpe"),
)
objectives = [
    dict(type="label_prediction", slots=["image"], labels="written", num_classes=10),
    dict(type="label_prediction", slots=["mfcc"], labels="spoken", num_classes=10),
    dict(type="label_prediction", slots=["text"], labels="sum", num_classes=10),
]
train_dataloader = dict(dataset=dict(type="digit3", split="train"), batch_size=128)
train_cfg = dict(max_iters=400)
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=3e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True), dtype="auto"
)
param_scheduler = dict(type="warmup_cosine", warmup=0.1, min_lr=1e-6)
default_hooks = dict(checkpoint=dict(interval=100000, keep=2), logger=dict(interval=100))
