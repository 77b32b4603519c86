"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import CommandSpec, DatasetSpec, PluginInfo, hookimpl

SLOTS = (("video", "video"), ("audio", "audio"), ("text", "text"))


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(
        name="clips",
        summary="Clips with sound and text: animated emoji, the shots of a film, made scenes",
        license="Apache-2.0 AND CC-BY-4.0",
        notices=("Scenes of mix and the pairing of sounds with fluentclips are made, not recorded.",),
    )


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="fluentclips",
            target="omni_plugin_clips.fluentclips:FluentClips",
            summary="Animated emoji, their names in many languages, and the name spoken or the thing's own sound",
            modalities=SLOTS,
            license="MIT AND Unicode-3.0 (with own sounds also GPL-2.0-only)",
            bytes=75_000_000,
            obtained="omni data build fluentclips",
            build="omni_plugin_clips.builder.fluent:main",
        ),
        DatasetSpec(
            name="bbb",
            target="omni_plugin_clips.bbb:BigBuckBunny",
            summary="The shots of the film Big Buck Bunny with their sound and one line of text each",
            modalities=SLOTS,
            license="CC-BY-3.0 (the film) AND CC-BY-4.0 (the texts)",
            bytes=50_200_000,
            obtained="omni data build bbb",
            build="omni_plugin_clips.builder.film:main",
        ),
        DatasetSpec(
            name="mix",
            target="omni_plugin_clips.mix:Mix",
            summary="Made scenes: a thing moves over a film, its sound with it; some have no sound track",
            modalities=SLOTS,
            splits=("train", "val", "test", "unseen"),
            license="GPL-2.0-only AND CC-BY-3.0 AND Apache-2.0",
            bytes=60_000_000,
            obtained="omni data build mix",
            build="omni_plugin_clips.builder.scenes:main",
            synthetic=True,
        ),
    ]


@hookimpl
def omni_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="clips-groups",
            target="omni_plugin_clips.commands:groups",
            summary="Text to clip by the groups of a trained grouping alignment, with and without the sound",
        )
    ]
