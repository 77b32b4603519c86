"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import ModalitySpec, PluginInfo, TransformSpec, hookimpl

SOUNDS = "omni_plugin_towers.sound:WhisperSound"
TEXTS = "omni_plugin_towers.text:E5Text"


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="towers", summary="Frozen Whisper-tiny and multilingual E5, without transformers")


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    """They claim no endings of files: a .wav is a sound, and which encoder reads it has to be said."""
    return [
        ModalitySpec(
            name="whisper_tiny",
            target="omni_plugin_towers.adapters:WhisperTinyAdapter",
            loader="omni_plugin_audio.io:load",
            transform="whisper_tiny_basic",
            sample="omni_plugin_audio.io:sample",
            layout="1d",
            summary="Sound through the frozen encoder of Whisper-tiny.en",
        ),
        ModalitySpec(
            name="e5_small",
            target="omni_plugin_towers.adapters:E5SmallAdapter",
            loader="omni.builtin.text.io:load",
            transform="e5_small_basic",
            sample="omni.builtin.text.io:sample",
            layout="1d",
            literal_strings=True,
            summary="Text through the frozen multilingual-e5-small",
        ),
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    """Each twice: for the modalities of this plugin, and for those of others whose adapter is set to one of ours."""
    kinds = (
        ("whisper_tiny_basic", SOUNDS, "whisper_tiny", "transform"),
        ("whisper_sound", SOUNDS, "audio", "transform"),
        ("e5_small_basic", TEXTS, "e5_small", "transform"),
        ("e5_words", TEXTS, "text", "transform"),
    )
    return [
        TransformSpec(
            name=name,
            target=target,
            modality=modality,
            role=role,
            summary=f"States of a frozen encoder, for slots of {modality}",
        )
        for name, target, modality, role in kinds
    ]
