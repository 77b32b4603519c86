"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, PluginInfo, hookimpl

NOTICE = "Research software, not a medical device: nothing it gives may be used for diagnosis or treatment."
SIMULATED = "simclinic is simulated, not for clinical use: no part of it is of a patient."


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(
        name="clinic",
        summary="Radiograph, ECG and laboratory values of one patient: Symile-MIMIC, and the simulated simclinic",
        notices=(NOTICE, SIMULATED),
    )


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    return []
