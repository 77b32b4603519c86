"""Rows of a manifest file by number: JSON lines, Parquet, CSV."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from omni.errors import InputError, MissingDependencyError

JSON_LINES = (".jsonl", ".ndjson", ".json_lines")
PARQUET = (".parquet", ".pq")
TABLES = {".csv": ",", ".tsv": "\t"}


class Rows(Protocol):
    """Rows of a manifest.

    Attributes:
        columns: names of the columns, in the order of first appearance.
    """

    columns: tuple[str, ...]

    def __len__(self) -> int:
        """How many rows there are."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One row; a value that is not given is absent or None."""


def open_rows(path: Path) -> Rows:
    """The rows of a manifest, read as its ending says.

    Raises:
        InputError: no such file, unknown ending, or a malformed row (names file and line).
        MissingDependencyError: Parquet without pyarrow.
    """
    if not path.is_file():
        raise InputError(f"No manifest {str(path)!r}" + (": it is a folder." if path.is_dir() else "."))
    ending = path.suffix.lower()
    if ending in JSON_LINES:
        return JsonLines(path)
    if ending in PARQUET:
        return ParquetRows(path)
    if ending in TABLES:
        return TableRows(path, TABLES[ending])
    known = ", ".join((*JSON_LINES, *PARQUET, *TABLES))
    raise InputError(f"The manifest {str(path)!r} ends with {ending!r}; omni reads {known}.")


class JsonLines:
    """One JSON object a line; blank lines are skipped. Only the lines' offsets are kept in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        columns: dict[str, None] = {}
        offsets, offset = [], 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    columns.update(dict.fromkeys(self._parse(line, f"line {number}")))
                    offsets.append(offset)
                offset += len(line)
        self.columns = tuple(columns)
        self._offsets = np.asarray(offsets, np.int64)
        self._file: Any = None
        self._process = 0

    def _parse(self, line: bytes, where: str) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{self.path}, {where}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise InputError(f"{self.path}, {where}: a {type(row).__name__}, but each line must be a JSON object.")
        return row

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self._file is None or self._process != os.getpid():  # a file position must not be shared with a fork
            self._file, self._process = self.path.open("rb"), os.getpid()
        self._file.seek(self._offsets[index])
        return self._parse(self._file.readline(), f"row {index + 1}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}


class TableRows:
    """CSV or TSV in memory, also gzipped; an empty field is a missing value.

    Args:
        path: the file.
        delimiter: between fields.
        header: names of the columns; None = the first line names them.
        quoted: fields may stand in double quotes; False takes quotes as they are.

    Raises:
        InputError: nothing in it, a malformed line, or a row of another width than the header.
    """

    def __init__(self, path: Path, delimiter: str, *, header: Sequence[str] | None = None, quoted: bool = True) -> None:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        with opener(path, "rt", newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True, quoting=quoting)
            try:
                lines = [line for line in reader if line]
            except (csv.Error, UnicodeDecodeError) as error:
                raise InputError(f"{path}, line {reader.line_num}: {error}") from error
        if header is None and not lines:
            raise InputError(f"The manifest {str(path)!r} is empty: its first line must name the columns.")
        self.columns = tuple(lines[0] if header is None else header)
        self._rows = lines[1:] if header is None else lines
        named = [name for name in self.columns if name]
        twice = first_duplicate(named)
        if twice is not None:
            raise InputError(f"{path}: two columns are called {named[twice[0]]!r}.")
        for number, line in enumerate(self._rows, 2 if header is None else 1):
            if len(line) != len(self.columns):
                raise InputError(f"{path}, row {number}: {len(line)} fields, but the header names {len(self.columns)}.")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: value or None for name, value in zip(self.columns, self._rows[index], strict=True)}

    def select(self, *names: str) -> Iterator[tuple[str | None, ...]]:
        """The values of these columns, row by row: several times faster than whole rows of large tables."""
        places = [self.columns.index(name) for name in names]
        for line in self._rows:
            yield tuple([line[place] or None for place in places])


def require_arrow(path: Path) -> None:
    """Raise MissingDependencyError unless pyarrow, which ``path`` needs, is installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"Reading {path} needs pyarrow, which is not installed. Fix: pip install 'omni-core[parquet]'"
        ) from error


class ArrowRows:
    """Rows of an Arrow table.

    Args:
        table: a pyarrow.Table.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self.columns = tuple(table.column_names)

    def __len__(self) -> int:
        return self._table.num_rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: _plain(self._table.column(name)[index].as_py()) for name in self.columns}


class ParquetRows(ArrowRows):
    """A Parquet file, in memory as Arrow."""

    def __init__(self, path: Path) -> None:
        require_arrow(path)
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        try:
            table = parquet.read_table(path, memory_map=True).combine_chunks()
        except (arrow.ArrowInvalid, OSError) as error:
            raise InputError(f"The manifest {str(path)!r} is no Parquet file: {error}") from error
        super().__init__(table)


def _plain(value: Any) -> Any:
    """NaN as missing, and the {"bytes", "path"} structure of Hugging Face data sets as what it holds."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict) and set(value) == {"bytes", "path"}:
        return value["bytes"] if value["bytes"] is not None else value["path"]
    return value


def first_duplicate(names: Sequence[str]) -> tuple[int, int] | None:
    """Positions of the first two equal names, or None."""
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in seen:
            return seen[name], position
        seen[name] = position
    return None
