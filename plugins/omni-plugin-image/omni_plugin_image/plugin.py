"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import ModalitySpec, PluginInfo, TransformSpec, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="image", summary="Pictures: JPEG, PNG, WebP, ... as 16 x 16 patches", maturity="stable")


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    return [
        ModalitySpec(
            name="image",
            target="omni_plugin_image.adapter:ImageAdapter",
            loader="omni_plugin_image.io:load",
            transform="image_basic",
            sample="omni_plugin_image.io:sample",
            layout="2d",
            extensions=(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"),
            summary="Pictures of any size and aspect",
        )
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    return [
        TransformSpec(
            name="image_basic",
            target="omni_plugin_image.transform:ImageBasic",
            modality="image",
            summary="Bicubic resize (squash, crop or keep the aspect), CLIP mean and std, random resized crop",
        )
    ]
