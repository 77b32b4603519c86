"""The ten hooks. A plugin is a module with some of these functions, marked ``@hookimpl``, all without arguments.

A whole plugin:

    from omni.plugin import ModalitySpec, PluginInfo, hookimpl

    @hookimpl
    def omni_plugin_info():
        return PluginInfo(name="ecg", summary="12-lead electrocardiograms", notices=("Not a medical device.",))

    @hookimpl
    def omni_modalities():
        return [ModalitySpec(name="ecg", target="omni_plugin_ecg.adapter:EcgAdapter",
                             loader="omni_plugin_ecg.io:load", transform="ecg_basic",
                             sample="omni_plugin_ecg.io:sample")]

and in its pyproject.toml:

    [project.entry-points.omni]
    ecg = "omni_plugin_ecg.plugin"
"""

from __future__ import annotations

# mypy: disable-error-code="empty-body"
from collections.abc import Iterable

import pluggy

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

PROJECT = "omni"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def omni_plugin_info() -> PluginInfo:
    """Who the plugin is; exactly one, required: ``return PluginInfo(name="ecg")``."""


@hookspec
def omni_modalities() -> Iterable[ModalitySpec]:
    """New modalities: ``return [ModalitySpec(name="ecg", ...)]``."""


@hookspec
def omni_heads() -> Iterable[HeadSpec]:
    """New task heads: ``return [HeadSpec(name="rhythm", target="pkg.head:RhythmHead", task="classification")]``."""


@hookspec
def omni_objectives() -> Iterable[ObjectiveSpec]:
    """New objectives: ``return [ObjectiveSpec(name="my_loss", target="pkg.objective:MyLoss")]``."""


@hookspec
def omni_transforms() -> Iterable[TransformSpec]:
    """Transforms, augmentations and tokenizers: ``return [TransformSpec(name="ecg_basic", modality="ecg", ...)]``."""


@hookspec
def omni_datasets() -> Iterable[DatasetSpec]:
    """Data sets: ``return [DatasetSpec(name="ptbxl", modalities=(("ecg", "ecg"), ("text", "text")), ...)]``."""


@hookspec
def omni_metrics() -> Iterable[MetricSpec]:
    """Metrics: ``return [MetricSpec(name="auroc", target="pkg.metrics:Auroc", task="classification")]``."""


@hookspec
def omni_models() -> Iterable[ModelEntry]:
    """Model zoo entries: ``return [ModelEntry(name="omni-tiny-ecg", ...)]``."""


@hookspec
def omni_systems() -> Iterable[SystemSpec]:
    """Published systems: ``return [SystemSpec(slug="symile", title=..., year=2024, experiment="pkg.exp:run")]``."""


@hookspec
def omni_commands() -> Iterable[CommandSpec]:
    """Extra verbs of the command line: ``return [CommandSpec(name="ecg-report", target="pkg.cli:app")]``."""
