"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, ModalitySpec, PluginInfo, TransformSpec, hookimpl

AUGMENTATIONS = (
    ("pointcloud_rotate", "PointcloudRotate", "A turn about the axis that points up"),
    ("pointcloud_scale", "PointcloudScale", "All axes times one factor"),
    ("pointcloud_jitter", "PointcloudJitter", "Noise on every coordinate"),
    ("pointcloud_dropout", "PointcloudDropout", "Leaves out some of the points"),
)


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="pointcloud", summary="Point clouds and meshes: PLY, OBJ, GLB, STL, OFF, NumPy")


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    return [
        ModalitySpec(
            name="pointcloud",
            target="omni_plugin_pointcloud.adapter:PointcloudAdapter",
            loader="omni_plugin_pointcloud.io:load",
            transform="pointcloud_basic",
            sample="omni_plugin_pointcloud.io:sample",
            layout="set",
            extensions=(".ply", ".obj", ".glb", ".stl", ".off", ".xyz", ".npy", ".npz"),
            summary="Points in space, of scanners or of meshes' surfaces, with colours and normals if wanted",
        )
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    return [
        TransformSpec(
            name="pointcloud_basic",
            target="omni_plugin_pointcloud.transform:PointcloudBasic",
            modality="pointcloud",
            summary="So many points in the unit sphere; turned, scaled, jittered and thinned in training",
        ),
        *(
            TransformSpec(
                name=name,
                target=f"omni_plugin_pointcloud.augmentations:{kind}",
                modality="pointcloud",
                role="augment",
                summary=summary,
            )
            for name, kind, summary in AUGMENTATIONS
        ),
    ]


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="furniture3d",
            target="omni_plugin_pointcloud.furniture:Furniture3d",
            summary="Furniture of Sweet Home 3D: point clouds, icons, names in 21 languages, spoken names",
            modalities=(("pointcloud", "pointcloud"), ("image", "image"), ("text", "text"), ("audio", "audio")),
            splits=("train", "test"),
            license="CC0-1.0 AND CC-BY-3.0",
            bytes=28_700_000,
            obtained="omni data build furniture3d",
            build="omni_plugin_pointcloud.builder.furniture:main",
        ),
        DatasetSpec(
            name="modelnet",
            target="omni_plugin_pointcloud.layouts.modelnet:ModelNet",
            summary="ModelNet10 and ModelNet40: CAD models in classes",
            modalities=(("pointcloud", "pointcloud"), ("text", "text")),
            splits=("train", "test"),
            license="free for academic use; the models belong to their authors",
            obtained="free from https://modelnet.cs.princeton.edu; unpack it and give its folder as root",
        ),
        DatasetSpec(
            name="shapenet",
            target="omni_plugin_pointcloud.layouts.shapenet:ShapeNet",
            summary="ShapeNetCore: 51,300 CAD models in 55 classes of WordNet",
            modalities=(("pointcloud", "pointcloud"), ("text", "text")),
            splits=("train", "val", "test", "all"),
            license="ShapeNet's terms of use: non-commercial research and education",
            obtained="on request from https://shapenet.org; unpack it and give its folder as root",
        ),
    ]
