"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import HeadSpec, PluginInfo, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="captioning", summary="Texts about whichever slots are there, and their scores")


@hookimpl
def omni_heads() -> list[HeadSpec]:
    return [
        HeadSpec(
            name="captioning",
            target="omni_plugin_captioning.head:CaptionHead",
            task="captioning",
            inputs=("tokens",),
            output="text",
            summary="A text by a causal decoder that reads all slots that are there",
        )
    ]
