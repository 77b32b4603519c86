"""Manifests with malformed rows: opened all the same, so that every other row can be read and each bad one told."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from omni.data.datasets import TableDataset
from omni.data.manifest import JSON_LINES, TABLES, JsonLines, Rows, TableRows, open_rows
from omni.errors import InputError


class LenientManifest(TableDataset):
    """A ManifestDataset that opens whatever its rows are: a malformed row is an InputError of its item, and ids may
    repeat.

    Args:
        path: the manifest.
        root: folder that paths are relative to; None = the manifest's own.
        settings: slots, modalities, id_column, targets of TableDataset.
    """

    def __init__(self, path: str | Path, *, root: str | Path | None = None, **settings: Any) -> None:
        path = Path(path)
        super().__init__(lenient_rows(path), path=path, root=path.parent if root is None else Path(root), **settings)

    def _check_ids(self) -> None:
        pass

    def _name(self, index: int) -> str:
        try:
            return super()._name(index)
        except InputError:
            return f"#{index}"


def lenient_rows(path: Path) -> Rows:
    """Like ``open_rows``, of which malformed rows are errors only when they are asked for."""
    ending = path.suffix.lower()
    if path.is_file() and ending in JSON_LINES:
        return LenientJsonLines(path)
    if path.is_file() and ending in TABLES:
        return LenientTableRows(path, TABLES[ending])
    return open_rows(path)


class LenientJsonLines(JsonLines):
    """JSON lines of which some are malformed."""

    def __init__(self, path: Path) -> None:
        self._lines: list[int] | None = []  # numbers of the lines that are rows, while they are looked for
        super().__init__(path)
        self.line_numbers, self._lines = self._lines, None

    def _parse(self, line: bytes, where: str) -> dict[str, Any]:
        if self._lines is None:
            return super()._parse(line, where)
        self._lines.append(int(where.rpartition(" ")[2]))
        try:
            return super()._parse(line, where)
        except InputError:
            return {}

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            return super().__getitem__(index)
        except InputError as error:
            raise InputError(str(error).replace(f"row {index + 1}", f"line {self.line_numbers[index]}")) from error


class LenientTableRows(TableRows):
    """CSV or TSV of which some rows have too few or too many fields."""

    def __init__(self, path: Path, delimiter: str) -> None:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.reader(file, delimiter=delimiter)
            lines = [(reader.line_num, line) for line in reader if line]
        if not lines:
            raise InputError(f"The manifest {str(path)!r} is empty: its first line must name the columns.")
        self.path, self.columns = path, tuple(lines[0][1])
        self._numbers, self._rows = [number for number, _ in lines[1:]], [line for _, line in lines[1:]]

    def __getitem__(self, index: int) -> dict[str, Any]:
        found = len(self._rows[index])
        if found != len(self.columns):
            raise InputError(
                f"{self.path}, line {self._numbers[index]}: {found} fields, but the header names {len(self.columns)}."
            )
        return super().__getitem__(index)
