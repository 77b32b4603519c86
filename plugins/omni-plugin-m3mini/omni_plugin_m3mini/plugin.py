"""The m3mini data set as a plugin of omni."""

from __future__ import annotations

from omni.plugin import DatasetSpec, PluginInfo, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    """Who this plugin is."""
    return PluginInfo(
        name="m3mini",
        summary="Pictures, multilingual names and speech, where no pair of slots suffices",
        license="Apache-2.0 AND CC-BY-4.0 AND Unicode-3.0",
        notices=("The speech of m3mini is synthetic (espeak-ng).",),
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
            license="Apache-2.0 AND CC-BY-4.0 AND Unicode-3.0 (bench and full also CC-BY-SA-4.0)",
            bytes=12_300_000,
            obtained="demo ships with omni-plugin-m3mini; bench and full: python tools/build_m3mini.py --edition bench",
            build="omni_plugin_m3mini.builder.cli:main",
        )
    ]
