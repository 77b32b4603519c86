# A slot of point clouds: 1,024 points in 64 groups of 32, turned any way round and thinned out in training.
processor = dict(
    pointcloud=dict(
        modality="pointcloud",
        type="pointcloud_basic",
        points=1024,
        up="z",
        augment=dict(rotate=180, scale=0.1, jitter=0.01, drop=0.5),
    )
)
model = dict(slots=dict(pointcloud="pointcloud"), adapters=dict(pointcloud=dict(groups=64, neighbours=32)))
