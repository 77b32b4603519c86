"""The m3mini data set as a plugin of omni."""

from __future__ import annotations

from omni.plugin import (
    CommandSpec,
    DatasetSpec,
    ModalitySpec,
    ModelEntry,
    PluginInfo,
    TransformSpec,
    hookimpl,
)


@hookimpl
def omni_plugin_info() -> PluginInfo:
    """Who this plugin is."""
    return PluginInfo(
        name="m3mini",
        summary="Pictures, multilingual names and speech, where no pair of slots suffices",
        license="Apache-2.0 AND CC-BY-4.0 AND Unicode-3.0",
        notices=("The speech of m3mini is synthetic (espeak-ng), but for the edition human, which is built locally.",),
    )


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    """The data set m3mini; its demo edition ships with this distribution."""
    return [
        DatasetSpec(
            name="m3mini",
            target="omni_plugin_m3mini.dataset:M3Mini",
            summary="Find the picture from a spoken language and a text with one name in each of w languages",
            modalities=(("image", "image"), ("audio", "audio"), ("text", "text")),
            license="Apache-2.0 AND CC-BY-4.0 AND Unicode-3.0 (bench and full also CC-BY-SA-4.0, human also GPL-2.0)",
            splits=("train", "val", "test", "new_speakers"),
            bytes=12_300_000,
            obtained="demo ships with omni-plugin-m3mini; others: omni data build m3mini --edition bench (full, human)",
            build="omni_plugin_m3mini.builder.cli:main",
        ),
        DatasetSpec(
            name="digit3",
            target="omni_plugin_m3mini.digit3:Digit3",
            summary="A written digit, a spoken digit, the text of their sum: all pairs are independent",
            modalities=(("image", "image"), ("mfcc", "vectors"), ("audio", "audio"), ("text", "text")),
            license="CC-BY-SA-3.0 AND CC-BY-SA-4.0 (MNIST, Free Spoken Digit Dataset)",
            bytes=10_500_000,
            obtained="omni data build digit3",
            build="omni_plugin_m3mini.builder.digits:main",
        ),
        DatasetSpec(
            name="stamps",
            target="omni_plugin_m3mini.stamps:Stamps",
            summary="Pictures of things, their names in many languages, people who say them",
            modalities=(("image", "image"), ("text", "text"), ("audio", "audio"), ("effect", "audio")),
            license="GPL-2.0-only (Tux Paint stamps)",
            bytes=40_000_000,
            obtained="omni data build stamps",
            build="omni_plugin_m3mini.builder.stamps:main",
        ),
        DatasetSpec(
            name="symile_m3",
            target="omni_plugin_m3mini.layouts.symile_m3:SymileM3",
            summary="Features of a picture and of speech, and words in several languages, in 33 million triples",
            modalities=(("image", "image_vectors"), ("audio", "audio_vectors"), ("text", "text")),
            license="CC-BY-NC-SA-4.0",
            obtained="https://huggingface.co/datasets/arsaporta/symile-m3; give the folder of its tensors as root=",
        ),
    ]


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    """Sequences of ready-made feature vectors: the spoken digits of digit3 come as MFCC, the pictures and sounds of
    Symile-M3 as features of two encoders, which need adapters of their own."""
    summaries = {
        "vectors": "Sequences of feature vectors (time, channels), such as MFCC",
        "image_vectors": "Features of an image encoder",
        "audio_vectors": "Features of an audio encoder",
    }
    return [
        ModalitySpec(
            name=name,
            target="omni_plugin_m3mini.vectors:VectorsAdapter",
            loader="omni_plugin_m3mini.vectors:load",
            transform=name,
            sample="omni_plugin_m3mini.vectors:sample",
            layout="1d",
            extensions=(".npy",) if name == "vectors" else (),
            summary=summary,
        )
        for name, summary in summaries.items()
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    """How vectors are read."""
    return [
        TransformSpec(
            name=name,
            target="omni_plugin_m3mini.vectors:Vectors",
            modality=name,
            summary="Each item standardised by itself, cut to a length",
        )
        for name in ("vectors", "image_vectors", "audio_vectors")
    ]


@hookimpl
def omni_commands() -> list[CommandSpec]:
    """Measurements on the recordings."""
    return [
        CommandSpec(
            name="m3mini-leak",
            target="omni_plugin_m3mini.commands:leak",
            summary="How much of the language is in the channel",
        ),
        CommandSpec(
            name="stamps-table",
            target="omni_plugin_m3mini.commands:stamps_table",
            summary="Retrieval among stamps in every direction",
        ),
    ]


@hookimpl
def omni_models() -> list[ModelEntry]:
    """The demo's model, as a recipe: three minutes on two cores."""
    top1 = {"dataset": "m3mini demo", "split": "test", "source": "make bench, mean of three seeds"}
    return [
        ModelEntry(
            name="omni-tiny-m3mini",
            summary="The demo's model: the picture that a list of names in three languages and a spoken language mean",
            config="omni_plugin_m3mini:configs/demo_triples.py",
            recipe="make demo (or python tools/demo.py); the model is demo/model",
            license="Apache-2.0 AND CC-BY-4.0 AND Unicode-3.0",
            trained_on=("m3mini",),
            modalities=("image", "text", "audio"),
            tasks=("retrieval",),
            params=2_413_905,
            results=(
                {**top1, "metric": "text + audio to image, w=3, top-1", "value": 0.912},
                {**top1, "metric": "pairwise InfoNCE, the same stages, w=3, top-1", "value": 0.330},
            ),
            plugins=("omni-plugin-image", "omni-plugin-audio", "omni-plugin-m3mini"),
        )
    ]
