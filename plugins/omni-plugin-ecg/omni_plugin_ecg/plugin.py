"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, ModalitySpec, PluginInfo, TransformSpec, hookimpl

NOTICE = "Research software, not a medical device: nothing it gives may be used for diagnosis or treatment."


AUGMENTATIONS = (
    ("ecg_scale", "EcgScale", "All leads times one factor"),
    ("ecg_noise", "EcgNoise", "White noise, in millivolts"),
    ("ecg_wander", "EcgWander", "A slow wander of the baseline"),
    ("ecg_lead_dropout", "EcgLeadDropout", "Masks whole leads"),
    ("ecg_time_mask", "EcgTimeMask", "Masks stretches of time on all leads"),
)


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
            # the signal files of WFDB (.dat, .mat) are read too, but a folder's recordings are its headers
            extensions=(".hea", ".dcm", ".edf", ".bdf", ".csv", ".tsv", ".npy", ".npz"),
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
        ),
        *(
            TransformSpec(
                name=name,
                target=f"omni_plugin_ecg.augmentations:{kind}",
                modality="ecg",
                role="augment",
                summary=summary,
            )
            for name, kind, summary in AUGMENTATIONS
        ),
    ]


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="ptb_xl",
            target="omni_plugin_ecg.layouts.ptb_xl:PtbXl",
            summary="PTB-XL: 21,799 twelve-lead ECGs with reports and SCP-ECG statements",
            modalities=(("ecg", "ecg"), ("text", "text")),
            splits=("train", "val", "test", "all"),
            license="CC-BY-4.0",
            obtained="free from https://physionet.org/content/ptb-xl/; give its folder as root",
        ),
        DatasetSpec(
            name="mimic_iv_ecg",
            target="omni_plugin_ecg.layouts.mimic_iv_ecg:MimicIvEcg",
            summary="MIMIC-IV-ECG: 800,035 twelve-lead ECGs with the machines' statements and measurements",
            modalities=(("ecg", "ecg"), ("text", "text")),
            splits=("train", "val", "test", "all"),
            license="ODbL-1.0",
            obtained="free from https://physionet.org/content/mimic-iv-ecg/; give its folder as root",
        ),
    ]
