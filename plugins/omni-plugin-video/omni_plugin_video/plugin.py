"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, ModalitySpec, PluginInfo, TransformSpec, hookimpl

SLOTS = (("video", "video"), ("audio", "audio"), ("text", "text"))
LAYOUTS = (
    (
        "kinetics", "Kinetics", ("train", "val", "test"), "CC-BY-4.0 (annotations; the films are their makers')",
        "https://github.com/cvdfoundation/kinetics-dataset; give its folder as root=",
        "Kinetics-400/600/700: ten-second films of actions",
    ),
    (
        "msrvtt", "Msrvtt", ("train", "val", "test", "train_9k", "test_1k"), "no licence stated; for research",
        "from its authors at Microsoft Research, or the packs of the retrieval papers; give its folder as root=",
        "MSR-VTT: films with twenty captions each, also by the split 1k-A",
    ),
    (
        "valor", "Valor", ("train", "val", "test"), "for research (see its page; the films are their makers')",
        "https://casia-iva-group.github.io/projects/VALOR; films from YouTube; give its folder as root=",
        "VALOR-1M/32K: captions of what is seen and heard",
    ),
    (
        "vggsound", "VggSound", ("train", "test"), "CC-BY-4.0 (annotations; the films are their makers')",
        "https://www.robots.ox.ac.uk/~vgg/data/vggsound; films from YouTube; give its folder as root=",
        "VGGSound: films of 309 kinds of sound whose source is seen",
    ),
)  # fmt: skip


def _layout(name: str, target: str, splits: tuple[str, ...], license: str, obtained: str, summary: str) -> DatasetSpec:
    return DatasetSpec(
        name=name, target=f"omni_plugin_video.layouts.{name}:{target}", summary=summary, modalities=SLOTS,
        splits=splits, license=license, obtained=obtained,
    )  # fmt: skip


AUGMENTATIONS = (
    ("video_flip", "VideoFlip", "Mirrors whole films"),
    ("video_erase", "VideoErase", "Fills one rectangle, the same in every frame"),
    ("video_color", "VideoColor", "Brightness, contrast and saturation, the same in every frame"),
)


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="video", summary="Films and clips: MP4, MKV, WebM, MOV, AVI, GIF, WebP", maturity="stable")


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    return [
        ModalitySpec(
            name="video",
            target="omni_plugin_video.adapter:VideoAdapter",
            loader="omni_plugin_video.io:load",
            transform="video_basic",
            sample="omni_plugin_video.io:sample",
            layout="3d",
            extensions=(
                ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".apng", ".mpg", ".mpeg", ".ts", ".flv",
                ".wmv", ".3gp",
            ),
            tracks=(("sound", "omni_plugin_video.sound:load"),),
            summary="Films of any length and frame rate",
        )
    ]  # fmt: skip


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    return [
        TransformSpec(
            name="video_basic",
            target="omni_plugin_video.transform:VideoBasic",
            modality="video",
            summary="Frames chosen evenly, by segments, densely or by time; bicubic resize, CLIP mean and std",
        ),
        *(
            TransformSpec(
                name=name,
                target=f"omni_plugin_video.augmentations:{kind}",
                modality="video",
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
            name="film_manifest",
            target="omni_plugin_video.films:FilmManifest",
            summary="a manifest whose video files feed a video slot and an audio slot; a file without sound lacks it",
            modalities=(("video", "video"), ("audio", "audio")),
            splits=(),
            obtained="your own files",
        ),
        *(_layout(*about) for about in LAYOUTS),
    ]
