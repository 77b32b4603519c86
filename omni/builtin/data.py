"""Built-in plugin: the general readers of a user's own data. Imports no torch."""

from __future__ import annotations

from omni.plugin import DatasetSpec, PluginInfo, hookimpl

YOURS = {"modalities": (), "splits": (), "obtained": "your own files"}


@hookimpl
def omni_plugin_info() -> PluginInfo:
    """Who this built-in plugin is."""
    return PluginInfo(
        name="data",
        summary="Manifests, folders, shards, Hugging Face data sets on disk, and mixtures",
        maturity="stable",
    )


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    """The readers."""
    return [
        DatasetSpec(
            name="manifest",
            target="omni.data.datasets:ManifestDataset",
            summary="JSON lines, Parquet, CSV or TSV; one column a slot, any of them may be missing",
            **YOURS,
        ),
        DatasetSpec(
            name="folder",
            target="omni.data.folders:FolderDataset",
            summary="one folder a class, or files that belong together by their names",
            **YOURS,
        ),
        DatasetSpec(
            name="hf_disk",
            target="omni.data.hf_disk:HfDiskDataset",
            summary="Hugging Face data sets that save_to_disk wrote; one column a slot",
            **YOURS,
        ),
        DatasetSpec(
            name="webdataset",
            target="omni.data.webdataset:WebDatasetStream",
            streaming=True,
            summary="tar shards; files of one name up to the first dot are one sample",
            **YOURS,
        ),
        DatasetSpec(
            name="mixed",
            target="omni.data.mixing:MixedStream",
            streaming=True,
            summary="several data sets as one stream, by size or in given ratios",
            **YOURS,
        ),
    ]
