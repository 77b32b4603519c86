"""Built-in plugin: the general reader of a user's own data. Imports no torch."""

from __future__ import annotations

from omni.plugin import DatasetSpec, PluginInfo, hookimpl


@hookimpl
def omni_plugin_info() -> PluginInfo:
    """Who this built-in plugin is."""
    return PluginInfo(name="data", summary="Manifests: JSON lines, Parquet, CSV, one column a slot", maturity="stable")


@hookimpl
def omni_datasets() -> list[DatasetSpec]:
    """The manifest reader."""
    return [
        DatasetSpec(
            name="manifest",
            target="omni.data.datasets:ManifestDataset",
            modalities=(),
            splits=(),
            obtained="your own files",
            summary="JSON lines, Parquet, CSV or TSV; one column a slot, any of them may be missing",
        )
    ]
