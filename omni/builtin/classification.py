"""Built-in plugin: classification from whichever slots are there. Imports no torch."""

from __future__ import annotations

from omni.plugin import HeadSpec, MetricSpec, PluginInfo, hookimpl


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


@hookimpl
def omni_metrics() -> list[MetricSpec]:
    """The numbers of any head."""
    return [
        MetricSpec(
            name="task",
            target="omni.metrics.task:TaskNumbers",
            task="any",
            monitors=("accuracy",),
            summary="The loss and numbers of the run's task head on held-out data",
        )
    ]
