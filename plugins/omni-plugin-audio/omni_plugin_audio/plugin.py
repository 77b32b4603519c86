"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, ModalitySpec, PluginInfo, TransformSpec, hookimpl

AUDIO_TEXT = (("audio", "audio"), ("text", "text"))


AUGMENTATIONS = (
    ("audio_speed", "AudioSpeed", "Speed and pitch"),
    ("audio_eq", "AudioEq", "A random smooth frequency response"),
    ("audio_noise", "AudioNoise", "White to pink noise"),
    ("audio_shift", "AudioShift", "Silence before and after"),
    ("audio_mask", "AudioMask", "Silences a stretch"),
)


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
        *(
            TransformSpec(
                name=name,
                target=f"omni_plugin_audio.augmentations:{kind}",
                modality="audio",
                role="augment",
                summary=summary,
            )
            for name, kind, summary in AUGMENTATIONS
        ),
    ]


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    """Published layouts, read from the user's folder; docs/layouts has a page for each."""
    return [
        DatasetSpec(
            name="audiocaps",
            target="omni_plugin_audio.layouts.audiocaps:AudioCaps",
            summary="AudioCaps: captions of ten-second pieces of AudioSet's films",
            modalities=AUDIO_TEXT,
            license="captions: MIT; sounds: YouTube's terms, each film with its own licence",
            obtained="the captions at github.com/cdjkim/audiocaps; the sounds are cut from the films by each user, or "
            "asked for with the form on that page",
        ),
        DatasetSpec(
            name="clotho",
            target="omni_plugin_audio.layouts.clotho:Clotho",
            summary="Clotho v2: 5,929 sounds of 15 to 30 s with five captions each",
            modalities=AUDIO_TEXT,
            license="captions: Tampere University's licence, non-commercial with attribution; sounds: CC, each its own",
            obtained="zenodo.org/records/4783391",
        ),
        DatasetSpec(
            name="esc50",
            target="omni_plugin_audio.layouts.esc50:Esc50",
            summary="ESC-50: 2,000 environmental sounds, 50 classes, five folds; with its subset ESC-10",
            modalities=(("audio", "audio"),),
            splits=("train", "test", "all"),
            license="CC-BY-NC-3.0 (the subset ESC-10: CC-BY-3.0)",
            obtained="github.com/karolpiczak/ESC-50",
        ),
    ]
