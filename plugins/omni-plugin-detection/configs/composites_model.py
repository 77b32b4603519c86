# The small model of `composites`: convolutions that overlap before the patches of 16, labels as texts, a detection
# head on the patches. Used by composites_detection.py and composites_masks.py.
_base_ = ["omni:configs/_base_/runtime.py", "omni:configs/_base_/schedule.py"]

model = dict(
    width=96,
    num_layers=2,
    num_heads=4,
    ffn_width=256,
    layer_scale=1.0,
    embedding_width=64,
    embedding_norm="l2",
    slots=dict(image="image", text="text"),
    adapters=dict(image=dict(type="image_conv", patch_size=16, image_size=128, channels=[24, 48, 96], depth=1)),
    heads=dict(detection=dict(slot="image", embedding_width=64, channels=64, scales=[2, 1], depth=2)),
)
processor = dict(
    image=dict(
        modality="image", type="image_basic", size=128, multiple=16, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)
    ),
    text=dict(modality="text", type="bpe"),
)
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True), dtype="float32"
)
param_scheduler = dict(type="warmup_cosine", warmup=0.05, min_lr=1e-6)
default_hooks = dict(checkpoint=dict(interval=100000, keep=2), logger=dict(interval=100))
