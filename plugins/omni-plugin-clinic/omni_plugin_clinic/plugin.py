"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import CommandSpec, DatasetSpec, PluginInfo, hookimpl

NOTICE = "Research software, not a medical device: nothing it gives may be used for diagnosis or treatment."
SIMULATED = "simclinic is simulated, not for clinical use: no case of it is a patient."


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(
        name="clinic",
        summary="Radiograph, ECG and laboratory values of one patient: Symile-MIMIC, and the simulated simclinic",
        notices=(NOTICE, SIMULATED),
    )


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="symile_mimic",
            target="omni_plugin_clinic.layouts.symile_mimic:SymileMimic",
            summary="Radiograph, ECG and 50 laboratory values of an admission; ten candidates a query",
            modalities=(("xray", "xray"), ("ecg", "ecg"), ("labs", "tabular")),
            splits=("train", "val", "val_retrieval", "test"),
            license="PhysioNet Credentialed Health Data License 1.5.0",
            obtained="ask at https://physionet.org/content/symile-mimic/ (credentialed); give its folder as root=",
        ),
        DatasetSpec(
            name="simclinic",
            target="omni_plugin_clinic.simclinic:SimClinic",
            summary="Simulated, not for clinical use: find the radiograph from an ECG and laboratory values, of which "
            "neither alone suffices",
            modalities=(("xray", "xray"), ("ecg", "ecg"), ("labs", "tabular"), ("text", "text")),
            license="MIT AND Apache-2.0 (with --open-i also CC-BY-NC-ND-4.0)",
            bytes=1940000,
            obtained="mini ships with omni-plugin-clinic; others: omni data build simclinic --edition bench (full)",
            build="omni_plugin_clinic.simulation.cli:main",
            synthetic=True,
        ),
    ]


@hookimpl
def omni_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="simclinic-ceilings",
            target="omni_plugin_clinic.commands:ceilings",
            summary="How well the radiograph can be found from which query, at best",
        ),
        CommandSpec(
            name="simclinic-probes",
            target="omni_plugin_clinic.commands:probes",
            summary="How well each hidden state is told from its slot",
        ),
    ]
