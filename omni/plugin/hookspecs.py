"""The ten hooks. A plugin is a module with some of these functions, marked ``@hookimpl``, all without arguments.

A whole plugin:

    from omni.plugin import ModalitySpec, PluginInfo, hookimpl

    @hookimpl
    def omni_plugin_info():
        return PluginInfo(name="sonar", summary="echoes of a sounder", notices=("Not for navigation.",))

    @hookimpl
    def omni_modalities():
        return [ModalitySpec(name="sonar", target="omni_plugin_sonar.adapter:SonarAdapter",
                             loader="omni_plugin_sonar.io:load", transform="sonar_basic",
                             sample="omni_plugin_sonar.io:sample")]

and in its pyproject.toml:

    [project.entry-points.omni]
    sonar = "omni_plugin_sonar.plugin"
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
    """Who the plugin is; exactly one, required: ``return PluginInfo(name="sonar")``."""


@hookspec
def omni_modalities() -> Iterable[ModalitySpec]:
    """New modalities: ``return [ModalitySpec(name="sonar", ...)]``."""


@hookspec
def omni_heads() -> Iterable[HeadSpec]:
    """New task heads: ``return [HeadSpec(name="bottom", target="pkg.head:BottomHead", task="classification")]``."""


@hookspec
def omni_objectives() -> Iterable[ObjectiveSpec]:
    """New objectives: ``return [ObjectiveSpec(name="my_loss", target="pkg.objective:MyLoss")]``."""


@hookspec
def omni_transforms() -> Iterable[TransformSpec]:
    """Transforms and tokenizers: ``return [TransformSpec(name="sonar_basic", modality="sonar", ...)]``."""


@hookspec
def omni_datasets() -> Iterable[DatasetSpec]:
    """Data sets: ``return [DatasetSpec(name="seabed", modalities=(("sonar", "sonar"), ("text", "text")), ...)]``."""


@hookspec
def omni_metrics() -> Iterable[MetricSpec]:
    """Metrics: ``return [MetricSpec(name="auroc", target="pkg.metrics:Auroc", task="classification")]``."""


@hookspec
def omni_models() -> Iterable[ModelEntry]:
    """Model zoo entries: ``return [ModelEntry(name="omni-tiny-sonar", ...)]``."""


@hookspec
def omni_systems() -> Iterable[SystemSpec]:
    """Published systems: ``return [SystemSpec(slug="symile", title=..., year=2024, experiment="pkg.exp:run")]``."""


@hookspec
def omni_commands() -> Iterable[CommandSpec]:
    """Extra verbs of the command line: ``return [CommandSpec(name="sonar-report", target="pkg.cli:app")]``."""
