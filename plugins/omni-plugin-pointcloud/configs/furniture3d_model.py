# The tiny model of furniture3d and how its four slots are read: cloud, icon, name, spoken name.
# Everything is made into tensors once (tables); clouds are turned, scaled and thinned out inside the adapter.
_base_ = ["omni:configs/_base_/runtime.py", "omni:configs/_base_/schedule.py"]

model = dict(
    width=96,
    num_layers=2,
    num_heads=4,
    ffn_width=256,
    layer_scale=1.0,
    embedding_width=96,
    embedding_norm="l2",
    slots=dict(pointcloud="pointcloud", image="image", text="text", audio="audio"),
    adapters=dict(
        pointcloud=dict(
            groups=32,
            neighbours=16,
            hidden=48,
            augment=dict(rotate=20, scale=0.15, jitter=0.01, drop=0.6),
            up="y",
        ),
        image=dict(stem="hmlp", image_size=64),
        audio=dict(
            stem="log_mel",
            patch_frames=8,
            position_layers=2,
            position_kernel=9,
            position_groups=4,
            mel_augment=dict(gain=0.2, tilt=0.1, noise=0.15, mask_bands=10),
        ),
    ),
)
processor = dict(
    pointcloud=dict(modality="pointcloud", type="pointcloud_basic", points=768, up="y", subset="fixed"),
    image=dict(modality="image", type="image_basic", size=64, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0)),
    text=dict(modality="text", type="bpe"),
    audio=dict(modality="audio", type="log_mel", max_seconds=2.0),
)
# At 2e-3 all four towers fall to one constant vector in the first steps and stay there.
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=6e-4, betas=(0.9, 0.98), weight_decay=0.05, fused=True), dtype="auto"
)
param_scheduler = dict(type="warmup_cosine", warmup=0.1, min_lr=1e-6)
default_hooks = dict(checkpoint=dict(interval=100000, keep=2), logger=dict(interval=50))
