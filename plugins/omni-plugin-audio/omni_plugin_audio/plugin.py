"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import ModalitySpec, PluginInfo, TransformSpec, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="audio", summary="Sound: WAV, FLAC, Ogg, MP3 at 16 kHz mono", maturity="stable")


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    return [
        ModalitySpec(
            name="audio",
            target="omni_plugin_audio.adapter:AudioAdapter",
            loader="omni_plugin_audio.io:load",
            transform="wave",
            sample="omni_plugin_audio.io:sample",
            layout="1d",
            extensions=(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au"),
            summary="Sound of any length, as a raw waveform or as a log-mel spectrogram",
        )
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    return [
        TransformSpec(
            name="wave",
            target="omni_plugin_audio.transform:Wave",
            modality="audio",
            summary="Normalised 16 kHz waveform, cut to 15 s, tiled to 1 s",
        ),
        TransformSpec(
            name="log_mel",
            target="omni_plugin_audio.transform:LogMel",
            modality="audio",
            summary="80 log-mel bands every 10 ms",
        ),
    ]
