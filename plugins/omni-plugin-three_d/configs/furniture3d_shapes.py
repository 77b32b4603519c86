# furniture3d: from an icon to occupancy on three planes. The icon also learns to find its cloud (InfoNCE), which gives
# the embedding in which the nearest training shape is looked for. From clouds, or from either, too: groups of the task.
#   omni data build furniture3d
#   omni train omni_plugin_three_d:configs/furniture3d_shapes.py --work-dir work_dirs/shapes
_base_ = ["omni:configs/_base_/runtime.py", "omni:configs/_base_/schedule.py"]

model = dict(
    width=96,
    num_layers=2,
    num_heads=4,
    ffn_width=256,
    layer_scale=1.0,
    embedding_width=96,
    embedding_norm="l2",
    slots=dict(image="image", pointcloud="pointcloud"),
    adapters=dict(
        image=dict(stem="conv", patch_size=16, image_size=64),
        pointcloud=dict(groups=16, neighbours=16, hidden=32),
    ),
    drop_path=0.1,
    heads=dict(
        shape_field=dict(
            latent="triplane", side=6, patch=4, channels=16, hidden=64, train_points=768, balance=0.5, overlap=0.5
        )
    ),
)
processor = dict(
    image=dict(
        modality="image",
        type="image_basic",
        size=64,
        crop_scale=(1.0, 1.0),
        crop_ratio=(1.0, 1.0),
        augment=[
            dict(type="RandomAffine", degrees=4, translate=(0.06, 0.06), scale=(0.88, 1.12), fill=255),
            dict(type="ColorJitter", brightness=0.3, contrast=0.3, saturation=0.4, hue=0.3),
        ],
    ),
    pointcloud=dict(
        modality="pointcloud",
        type="pointcloud_basic",
        points=256,
        up="y",
        normalize="sphere",
        augment=dict(jitter=0.01, drop=0.3),
    ),
)
objectives = [
    dict(
        type="task",
        head="shape_field",
        slots=["image"],  # slots=["image", "pointcloud"], groups=[["image"], ["pointcloud"]]: from either
        targets=["points", "occupancy"],
    ),
    dict(type="info_nce", slots=["image", "pointcloud"], labels="name", weight=0.1),
]
train_dataloader = dict(
    dataset=dict(type="furniture3d", split="train", languages="en", shape="occupancy", shape_points=8192), batch_size=16
)
train_cfg = dict(max_iters=4000)
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=1.5e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True), dtype="auto"
)
param_scheduler = dict(type="warmup_cosine", warmup=0.03, min_lr=1e-6)
default_hooks = dict(checkpoint=dict(interval=250, keep=2), logger=dict(interval=50))
