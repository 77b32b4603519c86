"""A manifest whose numeric columns together fill one slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omni.data.datasets import ManifestDataset
from omni.errors import ConfigError
from omni.types import Sample
from omni_plugin_tabular.row import split_header
from omni_plugin_tabular.schema import read_schema


class TabularManifest(ManifestDataset):
    """A ManifestDataset of which several columns make one tabular slot; a row without any of them lacks the slot.

    A unit in a column's header ("Sodium [mmol/L]") goes with its numbers.

    Args:
        path: the manifest: CSV, TSV, Parquet or JSON lines.
        schema: its columns are the ones of the slot, those that the manifest has (see
            omni_plugin_tabular.schema.read_schema).
        columns: instead of ``schema``: the manifest's columns of the slot, or column -> name of the schema's column.
        slot: name of the tabular slot.
        slots: further slots -> columns.
        modalities, root, id_column, targets: of ManifestDataset.

    Raises:
        InputError: the manifest is missing or malformed, or two rows have one id.
        ConfigError: neither or both of schema and columns; a column that the manifest does not have; a slot twice.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        schema: Any = None,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        slot: str = "tabular",
        slots: Mapping[str, str] | None = None,
        modalities: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        id_column: str | None = None,
        targets: Sequence[str] = (),
    ) -> None:
        if (schema is None) == (columns is None):
            raise ConfigError("tabular_manifest: give either the schema or the columns of the tabular slot.")
        if slot in (slots or {}):
            raise ConfigError(f"tabular_manifest: the slot {slot!r} is made of columns; `slots` names others.")
        super().__init__(
            path, slots=dict(slots or {}), modalities=modalities, root=root, id_column=id_column, targets=targets
        )
        self.slot = slot
        self.fields = self._fields(schema, columns)

    def _fields(self, schema: Any, columns: Sequence[str] | Mapping[str, str] | None) -> dict[str, tuple[str, Any]]:
        """Column of the manifest -> (name, unit or None)."""
        if columns is not None:
            names = dict(columns) if isinstance(columns, Mapping) else {column: "" for column in columns}
            for column in names:
                self._require(column)
            parts = {column: split_header(column) for column in names}
            return {column: (names[column] or name, unit) for column, (name, unit) in parts.items()}
        wanted = read_schema(schema).names
        found = {column: split_header(column) for column in self.rows.columns if split_header(column)[0] in wanted}
        if not found:
            raise ConfigError(
                f"{self.path} has none of the schema's columns ({', '.join(wanted[:8])}); its columns are "
                f"{', '.join(self.rows.columns[:8])}. Name them: columns={{'its column': 'the schema's'}}."
            )
        return found

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        fields = self.rows[index % len(self)]
        value: dict[str, Any] = {}
        for column, (name, unit) in self.fields.items():
            sample.meta.pop(column, None)
            number = fields.get(column)
            if number is not None:
                value[name] = number if unit is None else {"value": number, "unit": unit}
        if value:
            sample.values[self.slot] = value
        return sample
