"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import ModalitySpec, PluginInfo, TransformSpec, hookimpl

NOTICE = "Research software, not a medical device: nothing it gives may be used for diagnosis or treatment."


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
        )
    ]
