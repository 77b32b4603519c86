"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import DatasetSpec, HeadSpec, PluginInfo, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="vqa", summary="Answers to questions about whichever slots are there")


@hookimpl
def omni_heads() -> list[HeadSpec]:
    return [
        HeadSpec(
            name="answer_choice",
            target="omni_plugin_vqa.choice:AnswerChoice",
            task="answering",
            inputs=("pooled", "tokens"),
            output="answer",
            summary="An answer of a closed list, with a calibrated chance and abstention",
        )
    ]


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="easy_vqa",
            target="omni_plugin_vqa.easy_vqa:EasyVqa",
            summary="easy-VQA: 5,000 drawn shapes, 48,248 questions, 13 answers",
            modalities=(("image", "image"), ("question", "text"), ("answer", "text")),
            splits=("train", "val", "test"),
            license="MIT",
            bytes=2_600_000,
            obtained="omni data build easy_vqa",
            build="omni_plugin_vqa.easy_vqa_builder:main",
        )
    ]
