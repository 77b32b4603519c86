"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import ModalitySpec, PluginInfo, TransformSpec, hookimpl

NOTICE = "Research software, not a medical device: nothing it gives may be used for diagnosis or treatment."


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(
        name="ecg",
        summary="Electrocardiograms: WFDB, DICOM, EDF, CSV, NumPy; leads by name, millivolts",
        notices=(NOTICE,),
    )


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    return [
        ModalitySpec(
            name="ecg",
            target="omni_plugin_ecg.adapter:EcgAdapter",
            loader="omni_plugin_ecg.io:load",
            transform="ecg_basic",
            sample="omni_plugin_ecg.io:sample",
            layout="1d",
            extensions=(".hea", ".dat", ".dcm", ".edf", ".bdf", ".csv", ".tsv", ".npy", ".npz"),
            notices=(NOTICE,),
            summary="Electrocardiograms of any leads, length and rate, in millivolts",
        )
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    return [
        TransformSpec(
            name="ecg_basic",
            target="omni_plugin_ecg.transform:EcgBasic",
            modality="ecg",
            summary="Chosen leads in millivolts at one rate, baseline removed, missing leads masked",
        )
    ]
