"""What this plugin provides. Imports no torch: targets are strings, imported when they are first built."""

from __future__ import annotations

from omni.plugin import CommandSpec, DatasetSpec, ModalitySpec, PluginInfo, TransformSpec, hookimpl

AUGMENTATIONS = (("tabular_mask", "TabularMask", "Hides numbers as if they had not been recorded"),)


@hookimpl
def omni_plugin_info() -> PluginInfo:
    return PluginInfo(name="tabular", summary="Named numeric columns: units, percentiles, presence flags")


@hookimpl
def omni_modalities() -> list[ModalitySpec]:
    return [
        ModalitySpec(
            name="tabular",
            target="omni_plugin_tabular.adapter:TabularAdapter",
            loader="omni_plugin_tabular.io:load",
            transform="tabular_basic",
            sample="omni_plugin_tabular.io:sample",
            layout="set",
            extensions=(".csv", ".tsv", ".parquet"),
            summary="Named numbers, any of them missing: laboratory values, sensors, questionnaires",
        )
    ]


@hookimpl
def omni_transforms() -> list[TransformSpec]:
    return [
        TransformSpec(
            name="tabular_basic",
            target="omni_plugin_tabular.transform:TabularBasic",
            modality="tabular",
            summary="Units of a schema, robust scores and percentiles of its training data, presence flags",
        ),
        *(
            TransformSpec(
                name=name,
                target=f"omni_plugin_tabular.augment:{kind}",
                modality="tabular",
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
            name="tabular_manifest",
            target="omni_plugin_tabular.manifest:TabularManifest",
            summary="A table of samples whose numeric columns together fill one tabular slot",
            modalities=(("tabular", "tabular"),),
            obtained="your own CSV, TSV, Parquet or JSON lines file",
        )
    ]


@hookimpl
def omni_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="tabular-schema",
            target="omni_plugin_tabular.commands:schema",
            summary="Fit the columns' reference quantiles on a training table and write the schema",
        )
    ]
