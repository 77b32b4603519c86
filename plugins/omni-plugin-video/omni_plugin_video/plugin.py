"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, ModalitySpec, PluginInfo, TransformSpec, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="video", summary="Films and clips: MP4, MKV, WebM, AVI, MOV, GIF", maturity="stable")


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
                ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp",
            ),
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
        )
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
        )
    ]
