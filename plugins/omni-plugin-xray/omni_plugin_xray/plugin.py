"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, ModalitySpec, PluginInfo, TransformSpec, hookimpl

NOTICE = "Research software, not a medical device: nothing it gives may be used for diagnosis or treatment."


AUGMENTATIONS = (
    ("xray_rotate", "XrayRotate", "Turns by some degrees"),
    ("xray_exposure", "XrayExposure", "Contrast and brightness"),
    ("xray_noise", "XrayNoise", "White noise"),
    ("xray_erase", "XrayErase", "Fills a random rectangle with the mean level"),
)


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(
        name="xray",
        summary="Radiographs: DICOM, PNG and JPEG of 8 and 16 bits; window, polarity; no patient data",
        notices=(NOTICE,),
    )


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    return [
        ModalitySpec(
            name="xray",
            target="omni_plugin_xray.adapter:XrayAdapter",
            loader="omni_plugin_xray.io:load",
            transform="xray_basic",
            sample="omni_plugin_xray.io:sample",
            layout="2d",
            # PNG and JPEG are read too; without a slot's name those endings mean ordinary pictures
            extensions=(".dcm", ".dicom"),
            notices=(NOTICE,),
            summary="Radiographs of one channel, any size and aspect, 16 bits",
        )
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    return [
        TransformSpec(
            name="xray_basic",
            target="omni_plugin_xray.transform:XrayBasic",
            modality="xray",
            summary="Resize without mirror flips (fit, squash, crop or keep the aspect), one channel, mean and std",
        ),
        *(
            TransformSpec(
                name=name,
                target=f"omni_plugin_xray.augmentations:{kind}",
                modality="xray",
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
            name="mimic_cxr",
            target="omni_plugin_xray.layouts.mimic_cxr:MimicCxr",
            summary="MIMIC-CXR and MIMIC-CXR-JPG: 377,110 chest radiographs with reports and labels",
            modalities=(("xray", "xray"), ("text", "text")),
            splits=("train", "val", "test", "all"),
            license="PhysioNet Credentialed Health Data License 1.5.0",
            obtained="with training and a signed agreement from https://physionet.org/content/mimic-cxr/ and "
            "mimic-cxr-jpg; give the folder that holds files/ as root",
        ),
        DatasetSpec(
            name="chexpert",
            target="omni_plugin_xray.layouts.chexpert:CheXpert",
            summary="CheXpert: 224,316 chest radiographs with fourteen labels each",
            modalities=(("xray", "xray"),),
            license="Stanford University Dataset Research Use Agreement (non-commercial)",
            obtained="by agreement from https://stanfordmlgroup.github.io/competitions/chexpert/; give its folder as "
            "root",
        ),
        DatasetSpec(
            name="open_i",
            target="omni_plugin_xray.layouts.open_i:OpenI",
            summary="Open-i: 7,470 chest radiographs of Indiana University with 3,955 reports; non-commercial",
            modalities=(("xray", "xray"), ("text", "text")),
            splits=("train", "val", "test", "all"),
            license="CC-BY-NC-ND-4.0",
            obtained="free from https://openi.nlm.nih.gov/faq (NLMCXR_reports.tgz and NLMCXR_png.tgz); unpack both "
            "into one folder and give it as root",
        ),
    ]
