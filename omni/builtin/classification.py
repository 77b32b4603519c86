"""Built-in plugin: classification from whichever slots are there. Imports no torch."""

from __future__ import annotations

from omni.plugin import HeadSpec, PluginInfo, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    """Who this built-in plugin is."""
    summary = "Classes or labels of a sample, from summary states or by attention pooling over all tokens"
    return PluginInfo(name="classification", summary=summary, maturity="stable")


@hookimpl
def omni_heads() -> list[HeadSpec]:
    """The head."""
    return [
        HeadSpec(
            name="classification",
            target="omni.heads.classification:ClassificationHead",
            task="classification",
            inputs=("pooled", "tokens"),
            output="class or labels",
            summary="One of several classes, or any number of labels",
        )
    ]
