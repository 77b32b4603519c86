"""Hugging Face data sets on disk, as ``save_to_disk`` writes them: Arrow files, read by pyarrow alone.

The library ``datasets`` is not needed: a folder holds memory-mappable Arrow streams, state.json that names them in
order, and dataset_info.json with the names of classes. Nothing is copied into memory before it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omni.data.datasets import TableDataset
from omni.data.manifest import ArrowRows, require_arrow
from omni.errors import ConfigError, InputError
from omni.plugin.suggest import did_you_mean

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


class HfDiskDataset(TableDataset):
    """A data set, or one split of several, that ``datasets`` saved with ``save_to_disk``.

    Pictures and sound are taken as they were stored: their bytes, or the path of their file.

    Args:
        path: the folder.
        split: of a folder of several splits; None = the folder holds one data set.
        root: folder that relative paths in it start from; None = the folder itself.
        slots, modalities, id_column, targets: of TableDataset.

    Attributes:
        classes: column -> names of its classes, for columns that hold class numbers.

    Raises:
        InputError: no such folder, or a file of it is missing or damaged.
        ConfigError: a split or column that it does not have.
        MissingDependencyError: pyarrow is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        split: str | None = None,
        slots: Mapping[str, str] | None = None,
        modalities: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        id_column: str | None = None,
        targets: Sequence[str] = (),
    ) -> None:
        folder = _split_folder(Path(path), split)
        rows = ArrowRows(_open_table(folder))
        self.classes = _class_names(folder)
        super().__init__(
            rows,
            path=folder,
            slots=slots,
            modalities=modalities,
            root=Path(root) if root is not None else folder,
            id_column=id_column,
            targets=targets,
        )


def _split_folder(path: Path, split: str | None) -> Path:
    if not path.is_dir():
        raise InputError(f"No folder {str(path)!r}: hf_disk reads what `datasets` wrote with save_to_disk.")
    if (path / SPLITS).is_file():
        names = list(_read_json(path / SPLITS).get("splits", []))
        if split is None:
            raise ConfigError(
                f"{path} holds the splits {', '.join(names)}. Say which: split={names[0] if names else ''!r}"
            )
        if split not in names:
            raise ConfigError(f"{path} has no split {split!r}.{did_you_mean(split, names)} Splits: {', '.join(names)}.")
        return path / split
    if split is not None:
        raise ConfigError(f"{path} holds one data set without splits; leave split={split!r} out.")
    if not (path / STATE).is_file():
        raise InputError(
            f"{path} is no data set that save_to_disk wrote: it has no {STATE}. Folders of plain files are read by "
            "'folder', and .parquet files by 'manifest'."
        )
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _open_table(folder: Path) -> Any:
    """All Arrow files of the folder, memory-mapped, as one table."""
    require_arrow(folder)
    import pyarrow as arrow

    state = _read_json(folder / STATE)
    if state.get("_indices_files"):
        raise InputError(f"{folder} keeps its order beside its data. Save it again after flatten_indices().")
    tables = []
    for entry in state.get("_data_files") or []:
        name = str(entry["filename"])
        if Path(name).name != name:
            raise InputError(f"{folder / STATE} names a file outside the folder: {name!r}.")
        try:
            tables.append(arrow.ipc.open_stream(arrow.memory_map(str(folder / name))).read_all())
        except (OSError, arrow.ArrowInvalid) as error:
            raise InputError(f"{folder / name} is missing or damaged: {error}") from error
    if not tables:
        raise InputError(f"{folder / STATE} names no data files.")
    try:
        return arrow.concat_tables(tables)
    except arrow.ArrowInvalid as error:
        raise InputError(f"{folder}: its data files have different columns: {error}") from error


def _class_names(folder: Path) -> dict[str, list[str]]:
    if not (folder / INFO).is_file():
        return {}
    features = _read_json(folder / INFO).get("features") or {}
    return {
        column: list(feature["names"])
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and "names" in feature
    }
