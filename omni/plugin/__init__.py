"""The plugin host: what plugins declare, how they are found, what exists. Imports no torch."""

from omni.plugin.hookspecs import hookimpl
from omni.plugin.specs import (
    CommandSpec,
    DatasetSpec,
    HeadSpec,
    MetricSpec,
    ModalitySpec,
    ModelEntry,
    ObjectiveSpec,
    PluginInfo,
    SystemSpec,
    TransformSpec,
)

__all__ = [
    "CommandSpec",
    "DatasetSpec",
    "HeadSpec",
    "MetricSpec",
    "ModalitySpec",
    "ModelEntry",
    "ObjectiveSpec",
    "PluginInfo",
    "SystemSpec",
    "TransformSpec",
    "hookimpl",
]
