"""Tables of a user's own data, and the processed view of any data set."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from omni.data.collate import Item
from omni.data.loaders import is_path, strings_are_paths
from omni.data.manifest import Rows, TableRows, first_duplicate, open_rows
from omni.data.processor import Processor
from omni.errors import ConfigError, InputError
from omni.plugin.catalog import get_catalog
from omni.plugin.suggest import did_you_mean
from omni.types import Sample

KEY_BYTES = 16
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")  # no leading zeros: those are of names and codes


class TableDataset(Dataset):
    """Samples of a table, one column a slot.

    A value is a path relative to ``root`` where the slot's modality is read from files (its spec names file
    endings), and the value itself otherwise; bytes and lists are always the value itself.
    Missing values (absent, null, NaN, an empty field) are missing slots.

    Args:
        rows: of the table.
        path: where they come from, for messages; its stem names samples without an id.
        slots: slot -> column. None = every column that is called like an installed modality.
        modalities: slot -> modality, for slots that are not called like theirs.
        root: folder that paths are relative to.
        id_column: column of the samples' names; None = "id" if there is one, else the row's number.
        targets: columns that become ``Sample.targets``. All other columns become ``Sample.meta``: as they are, but of a
            text table (CSV) a column that holds nothing but numbers becomes numbers.

    Raises:
        InputError: two rows have one id.
        ConfigError: a column that the table does not have.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        path: Path,
        slots: Mapping[str, str] | None = None,
        modalities: Mapping[str, str] | None = None,
        root: Path,
        id_column: str | None = None,
        targets: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.rows = rows
        self.root = root
        self.slots = dict(slots) if slots is not None else self._slots_by_name()
        self.targets = tuple(targets)
        for column in (*self.slots.values(), *self.targets, *([id_column] if id_column else [])):
            self._require(column)
        catalog = get_catalog()
        self._specs = {slot: catalog.get("modality", (modalities or {}).get(slot, slot)).spec for slot in self.slots}
        self._id_column = id_column or ("id" if "id" in self.rows.columns else None)
        self._ids = [self._name(index) for index in range(len(self.rows))] if self._id_column else None
        self._check_ids()

    def _check_ids(self) -> None:
        twice = first_duplicate(self._ids) if self._ids else None
        if twice is not None and self._ids is not None:
            raise InputError(
                f"{self.path}: rows {twice[0] + 1} and {twice[1] + 1} have one id, {self._ids[twice[0]]!r}. "
                "Ids must differ."
            )

    def _slots_by_name(self) -> dict[str, str]:
        installed = get_catalog().names("modality")
        found = {column: column for column in self.rows.columns if column in installed}
        if not found:
            raise ConfigError(
                f"{self.path} has no column called like an installed modality ({', '.join(installed)}); its "
                f"columns are {', '.join(self.rows.columns)}. Say which is which: slots={{'slot': 'column'}}."
            )
        return found

    def _require(self, column: str) -> None:
        if column not in self.rows.columns:
            raise ConfigError(
                f"{self.path} has no column {column!r}. Columns: {', '.join(self.rows.columns) or 'none'}."
                f"{did_you_mean(column, self.rows.columns)}"
            )

    def _name(self, index: int) -> str:
        value = self.rows[index].get(self._id_column) if self._id_column else None
        return f"{self.path.stem}-{index}" if value is None else str(value)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} rows, none with index {index}")
        index %= len(self)
        row = self.rows[index]
        values, keys = {}, {}
        for slot, column in self.slots.items():
            value = row.get(column)
            if value is None or (value == "" and strings_are_paths(self._specs[slot])):
                continue
            values[slot] = self._value(slot, value)
            key = content_key(values[slot])
            if key is not None:
                keys[slot] = key
        return Sample(
            id=self._ids[index] if self._ids else f"{self.path.stem}-{index}",
            values=values,
            keys=keys,
            targets={name: _number(row[name]) for name in self.targets if row.get(name) is not None},
            meta={
                name: _number(value) if name in self._numbers else value
                for name, value in row.items()
                if name not in self._used and value is not None
            },
        )

    @cached_property
    def _used(self) -> frozenset[str | None]:
        """Columns that are no metadata."""
        return frozenset({*self.slots.values(), *self.targets, self._id_column})

    @cached_property
    def _numbers(self) -> frozenset[str]:
        """Columns of metadata that a text table writes as numbers only: a filter on a year means the number."""
        if type(self.rows) is not TableRows:
            return frozenset()
        columns = {name for name in self.rows.columns if name not in self._used}
        for index in range(len(self.rows)):
            if not columns:
                break
            row = self.rows[index]
            columns = {name for name in columns if row[name] is None or _NUMBER.fullmatch(row[name])}
        return frozenset(columns)

    def _value(self, slot: str, value: Any) -> Any:
        return self.root / value if is_path(value, self._specs[slot]) else value


class ManifestDataset(TableDataset):
    """Samples of a manifest: JSON lines, Parquet, CSV or TSV (see TableDataset).

    Args:
        path: the manifest.
        root: folder that paths are relative to; None = the manifest's own.
        slots, modalities, id_column, targets: of TableDataset.

    Raises:
        InputError: the manifest is missing or malformed, or two rows have one id.
        ConfigError: a column that the manifest does not have.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        slots: Mapping[str, str] | None = None,
        modalities: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        id_column: str | None = None,
        targets: Sequence[str] = (),
    ) -> None:
        path = Path(path)
        super().__init__(
            open_rows(path),
            path=path,
            slots=slots,
            modalities=modalities,
            root=Path(root) if root is not None else path.parent,
            id_column=id_column,
            targets=targets,
        )


class ProcessedDataset(Dataset):
    """A map-style data set with its samples loaded and transformed: items are (sample, tensors) as ``Item``.

    Args:
        dataset: items are Samples.
        processor: of the model.
        training: augment.
        slots: process only these; None = all that a sample has (a slot unknown to the processor is an error).
        views: augmented views of each sample; views beyond the first come in ``Item.views``.
    """

    def __init__(
        self,
        dataset: Dataset | Sequence[Sample],
        processor: Processor,
        *,
        training: bool = False,
        slots: Iterable[str] | None = None,
        views: int = 1,
    ) -> None:
        if views < 1:
            raise ConfigError(f"views={views}: there must be at least one.")
        self.dataset = dataset
        self.processor = processor
        self.training = training
        self.slots = None if slots is None else tuple(slots)
        self.views = views

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Item:
        sample = self.dataset[index]
        made = [self.processor(sample, self.training, slots=self.slots) for _ in range(self.views)]
        return Item(sample, made[0], index=index, views=tuple(made[1:]))


def content_key(value: Any) -> str | None:
    """A key that equal raw values share: the path, the string itself, or a hash of bytes; None for anything else."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return hashlib.blake2b(value, digest_size=KEY_BYTES).hexdigest()
    return None


def _number(value: Any) -> Any:
    """A number that came as text (CSV) as a number; anything else as it is."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
