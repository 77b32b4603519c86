"""Reads rows of named numbers: mappings, JSON, and one row of CSV, TSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omni.data.manifest import JSON_LINES, PARQUET, TABLES, ArrowRows, Rows, first_duplicate, open_rows, require_arrow
from omni.errors import InputError, MissingDependencyError
from omni_plugin_tabular.row import MISSING_MARKS, FieldOptions, Row, field_options, read_fields

MOST_BYTES = 1 << 30
MOST_COLUMNS = 20_000
KNOWN = "Known are CSV, TSV, Parquet, JSON lines (a row of them) and JSON (one object)."


def load(
    value: Any,
    *,
    row: int | None = None,
    missing: Iterable[str] = MISSING_MARKS,
    censored: str = "refuse",
    rename: Mapping[str, str | None] | None = None,
) -> Row:
    """One row of named numbers.

    What was not recorded (a name that is not there, None, NaN, an empty field, a mark of ``missing``) is not in
    ``Row.numbers``. Names, units and ranges are checked by the transform, which has the schema.

    Args:
        value: a mapping of name to field (see omni_plugin_tabular.row.read_fields); the path of a table or JSON file;
            the bytes of one; or a Row.
        row: which row of a table, from 0; None refuses a table of several.
        missing: texts that mean that nothing was recorded, whatever their case.
        censored: what "<0.01" is: "refuse", "bound" (the number itself) or "missing".
        rename: the source's name -> the column that it is, or None to leave it out.

    Raises:
        InputError: missing, damaged or unknown file; a table of several rows without ``row``, or without that row; a
            field that is no number; infinity; a name twice. The message names file and column.
        ConfigError: an option that cannot be meant.
        MissingDependencyError: Parquet without pyarrow.
    """
    if isinstance(value, Row):
        return value
    options = field_options(missing=missing, censored=censored, rename=rename)
    if isinstance(value, Mapping):
        return read_fields(value, options, source="row (a mapping)")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(value), row, options)
    if isinstance(value, (str, os.PathLike)):
        return _from_path(value, row, options)
    raise InputError(
        f"A row of numbers cannot be read from {type(value).__name__}; give a mapping name -> number, a path or bytes."
    )


def open_table(value: str | os.PathLike[str]) -> Rows:
    """The rows of a CSV, TSV, Parquet or JSON lines file.

    Raises:
        InputError: missing, damaged or unknown file, or two columns of one name.
        MissingDependencyError: Parquet without pyarrow.
    """
    path = _checked_path(value)
    name = f"table {str(path)!r}"
    if path.suffix.lower() not in (*JSON_LINES, *PARQUET, *TABLES):
        raise InputError(f"The {name} ends with {path.suffix!r}. {KNOWN}")
    try:
        return _checked_rows(open_rows(path), name)
    except (InputError, MissingDependencyError):
        raise
    except Exception as error:  # no permission, no text, a damaged file: whatever the readers raise
        raise InputError(f"The {name} cannot be read: {_why(error)}") from error


def _from_path(value: str | os.PathLike[str], row: int | None, options: FieldOptions) -> Row:
    path = _checked_path(value)
    name = f"table {str(path)!r}"
    if path.suffix.lower() != ".json":
        return _pick(open_table(path), row, options, name)
    try:
        return _from_json(path.read_bytes(), options, name)
    except OSError as error:
        raise InputError(f"The {name} cannot be read: {_why(error)}") from error


def _from_bytes(data: bytes, row: int | None, options: FieldOptions) -> Row:
    name = f"table of {len(data)} bytes"
    if not data.strip():
        raise InputError(f"The {name} is empty; export it again.")
    if data[:4] == b"PAR1":
        return _pick(_checked_rows(_parquet(data, name), name), row, options, name)
    if data.lstrip()[:1] == b"{":
        return _from_json(data, options, name)
    return _pick(_checked_rows(_csv(data, name), name), row, options, name)


def _from_json(data: bytes, options: FieldOptions, name: str) -> Row:
    try:
        fields = json.loads(data, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The {name} cannot be read as JSON: {_why(error)}") from error
    if not isinstance(fields, dict):
        raise InputError(f"The {name} holds a {type(fields).__name__}; one object, name -> number, is needed.")
    return read_fields(fields, options, source=name)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = first_duplicate([key for key, _ in pairs])
    if twice:
        raise ValueError(f"the key {pairs[twice[0]][0]!r} stands twice in one object")
    return dict(pairs)


def _parquet(data: bytes, name: str) -> Rows:
    require_arrow(Path("a Parquet value"))
    import pyarrow.parquet as parquet

    try:
        return ArrowRows(parquet.read_table(io.BytesIO(data)))
    except Exception as error:  # arrow's own kinds, and what damaged bytes make of its readers
        raise InputError(f"The {name} cannot be read as Parquet: {_why(error)}") from error


class _Lines:
    """Rows of CSV or TSV text."""

    def __init__(self, lines: list[list[str]]) -> None:
        self.columns, self._lines = tuple(lines[0]), lines[1:]

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(zip(self.columns, self._lines[index], strict=True))


def _csv(data: bytes, name: str) -> Rows:
    try:
        text = data.decode("utf-8-sig")
        first = text.lstrip().split("\n", 1)[0]
        lines = [line for line in csv.reader(io.StringIO(text), delimiter="\t" if "\t" in first else ",", strict=True)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The {name} cannot be read as a table: {_why(error)}. {KNOWN}") from error
    lines = [line for line in lines if line]
    uneven = next((number for number, line in enumerate(lines) if len(line) != len(lines[0])), None)
    if uneven is not None:
        raise InputError(f"Row {uneven} of the {name} has {len(lines[uneven])} fields, its header {len(lines[0])}.")
    return _Lines(lines)


def _checked_rows(rows: Rows, name: str) -> Rows:
    if len(rows.columns) > MOST_COLUMNS:
        raise InputError(f"The {name} has {len(rows.columns)} columns, more than {MOST_COLUMNS}; is it a matrix?")
    twice = first_duplicate(rows.columns)
    if twice:
        raise InputError(f"The {name} has the column {rows.columns[twice[0]]!r} twice; rename one.")
    return rows


def _pick(rows: Rows, row: int | None, options: FieldOptions, name: str) -> Row:
    if not len(rows):
        raise InputError(f"The {name} has no row of numbers: its first line names the columns, the next is the row.")
    if row is None and len(rows) > 1:
        raise InputError(
            f"The {name} has {len(rows)} rows. Give the loader row=0 for the first, or use the data set "
            "tabular_manifest, for which each row is a sample."
        )
    index = 0 if row is None else row
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(rows):
        raise InputError(f"The {name} has {len(rows)} rows (0 to {len(rows) - 1}), none with number {index!r}.")
    try:
        fields = rows[index]
    except InputError:
        raise
    except Exception as error:  # a damaged page of a Parquet file, a line that changed meanwhile
        raise InputError(f"Row {index} of the {name} cannot be read: {_why(error)}") from error
    return read_fields(fields, options, source=f"row {index} of the {name}" if len(rows) > 1 else name)


def _checked_path(value: str | os.PathLike[str]) -> Path:
    text = os.fspath(value)
    if not isinstance(text, str):
        raise InputError("A table's path must be text, not bytes; bytes are read as the contents of a file.")
    if "://" in text[:12]:
        raise InputError(f"The table {text!r} is an address, not a file; download it first and give its path.")
    path = Path(text)
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError(f"There is no table {text!r}; check the path.") from None
    except (OSError, ValueError) as error:  # no permission, a loop of links, a name with a zero byte
        raise InputError(f"The table {text!r} cannot be read: {_why(error)}") from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"The table {text!r} is a folder; give a file in it.")
    if not stat.S_ISREG(found.st_mode):  # reading a pipe might never end
        raise InputError(f"The table {text!r} is a pipe or device, not a file; save it to a file first.")
    if found.st_size == 0:
        raise InputError(f"The table {text!r} is empty (0 bytes); export it again.")
    if found.st_size > MOST_BYTES:
        raise InputError(f"The table {text!r} has {found.st_size} bytes, more than {MOST_BYTES}; cut it into pieces.")
    return path


def _why(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{text.splitlines()[0][:300] if text else type(error).__name__}."


SAMPLES: dict[str, dict[str, Any]] = {
    "typical": {"age": 54, "mass": 81.5, "height": 1.78, "temperature": 36.9, "heart_rate": 72, "sodium": 141},
    "other": {"mass": (165.0, "lb"), "temperature": "99.1 degF", "heart_rate": 118},
    "minimum": {"heart_rate": 45},
}


def sample(variant: str = "typical") -> Row:
    """Made-up numbers in the columns of the example schema: "typical" all six, "other" three of them in other units,
    "minimum" one."""
    if variant not in SAMPLES:
        raise InputError(f"Unknown sample {variant!r}; there are {', '.join(SAMPLES)}.")
    options = field_options(missing=MISSING_MARKS, censored="refuse", rename=None)
    return read_fields(SAMPLES[variant], options, source=f"sample {variant!r}")
