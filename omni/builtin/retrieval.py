"""Built-in plugin: retrieval metrics. Imports no torch."""

from __future__ import annotations

from omni.plugin import MetricSpec, PluginInfo, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    """Who this built-in plugin is."""
    summary = "Search one slot with others: recall at k, median rank, mean average precision"
    return PluginInfo(name="retrieval", summary=summary, maturity="stable")


@hookimpl
def omni_metrics() -> list[MetricSpec]:
    """Recall at k."""
    return [
        MetricSpec(
            name="retrieval",
            target="omni.metrics.retrieval:Retrieval",
            task="retrieval",
            monitors=("r1", "r5", "r10", "map"),
            aliases=("recall",),
            summary="Recall at k, median rank and mAP of one slot, searched by one or several others",
        )
    ]
