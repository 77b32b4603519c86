"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, HeadSpec, ModalitySpec, ObjectiveSpec, PluginInfo, TransformSpec, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(
        name="detection",
        summary="Boxes out: detection by labels of any modality, boxes of phrases, segmentation",
        notices=("The pictures of composites are made: real cut-outs over real footage.",),
    )


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    return [
        ModalitySpec(
            name="image_conv",
            target="omni_plugin_detection.adapter:ConvImageAdapter",
            loader="omni_plugin_image.io:load",
            transform="image_conv_basic",
            sample="omni_plugin_image.io:sample",
            layout="2d",
            summary="Pictures through convolutions that overlap: as the adapter of an image slot, for boxes and masks",
        )
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    return [
        TransformSpec(
            name="image_conv_basic",
            target="omni_plugin_image.transform:ImageBasic",
            modality="image_conv",
            summary="As image_basic: resized, normalised pixels",
        )
    ]


@hookimpl
def omni_heads() -> list[HeadSpec]:
    return [
        HeadSpec(
            name="detection",
            target="omni_plugin_detection.head:DetectionHead",
            summary="Boxes of what labels of any modality name: pyramid, points, SimOTA",
            task="detection",
            inputs=("tokens",),
        ),
        HeadSpec(
            name="grounding",
            target="omni_plugin_detection.grounding:GroundingHead",
            summary="The box of a phrase that was read together with the picture",
            task="grounding",
            inputs=("tokens",),
        ),
        HeadSpec(
            name="segmentation",
            target="omni_plugin_detection.segmentation:SegmentationHead",
            summary="The pixels of what labels of any modality name, on the same pyramid",
            task="segmentation",
            inputs=("tokens",),
        ),
    ]


@hookimpl
def omni_objectives() -> list[ObjectiveSpec]:
    return [
        ObjectiveSpec(
            name="label_task",
            target="omni_plugin_detection.objective:LabelTask",
            summary="Loss of a head that compares regions with embeddings of labels, from slots of any modality",
            consumes=("tokens", "embeddings", "labels"),
            supports_grad_cache=False,
        )
    ]


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="composites",
            target="omni_plugin_detection.composites.dataset:Composites",
            summary="Cut-outs of real pictures over frames of films, with exact boxes and masks",
            modalities=(
                ("image", "image"),
                ("text", "text"),
                ("crop", "image"),
                ("audio", "audio"),
                ("phrase", "text"),
                ("caption", "text"),
            ),  # fmt: skip
            splits=("train", "val", "test", "unseen", "pairs"),
            license="GPL-2.0-only AND CC-BY-3.0 AND Apache-2.0",
            bytes=30_000_000,
            obtained="omni data build composites",
            build="omni_plugin_detection.composites.builder:main",
            synthetic=True,
        )
    ]
