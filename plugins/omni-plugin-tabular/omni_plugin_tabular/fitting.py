"""Schemas from a table: which columns are numbers, their units, their quantiles."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from omni.data.manifest import Rows
from omni.errors import ConfigError, InputError
from omni.plugin.suggest import did_you_mean
from omni_plugin_tabular.io import open_table
from omni_plugin_tabular.row import FieldOptions, Row, read_fields, split_header
from omni_plugin_tabular.schema import Column, Schema, read_schema


def fit_table(
    path: str | os.PathLike[str], *, schema: Any = None, columns: Sequence[str] | None = None, points: int = 101
) -> tuple[Schema, dict[str, int]]:
    """A fitted schema of a training table, and how many numbers each column had.

    Args:
        path: CSV, TSV, Parquet or JSON lines.
        schema: whose columns, units and ranges are taken; None = one of the table's own columns, in the units of the
            header.
        columns: of the table; None = every column in which all that is recorded are numbers.
        points: quantiles of each column.

    Raises:
        InputError: the table cannot be read; a field of a chosen column is no number; a column without numbers.
        ConfigError: a column that the table does not have; no column of numbers.
    """
    rows = open_table(path)
    if schema is not None:
        wanted = read_schema(schema)
        chosen = [column for column in rows.columns if wanted.place(split_header(column)[0]) is not None]
    else:
        chosen = list(columns) if columns is not None else _numeric(rows, str(path))
        unknown = [column for column in chosen if column not in rows.columns]
        if unknown:
            raise ConfigError(f"{path} has no column {unknown[0]!r}.{did_you_mean(unknown[0], rows.columns)}")
        wanted = Schema(columns=tuple(Column(name=split_header(c)[0], unit=split_header(c)[1] or "") for c in chosen))
    counts: Counter[str] = Counter()

    def counted() -> Iterator[Row]:
        for row in _rows(rows, chosen, str(path)):
            counts.update(row.numbers.keys())
            yield row

    return wanted.fit(counted(), points=points), dict(counts)


def _rows(rows: Rows, chosen: Sequence[str], path: str) -> Iterator[Row]:
    options = FieldOptions()
    for index in range(len(rows)):
        fields = rows[index]
        yield read_fields({name: fields.get(name) for name in chosen}, options, source=f"row {index} of {path}")


def _numeric(rows: Rows, path: str) -> list[str]:
    """Columns of which every recorded field is a number and at least one is recorded."""
    options, found = FieldOptions(), dict.fromkeys(rows.columns, 0)
    for index in range(len(rows)):
        fields = rows[index]
        for name in list(found):
            try:
                found[name] += len(read_fields({name: fields.get(name)}, options, source=path).numbers)
            except InputError:
                del found[name]
    if not any(found.values()):
        raise ConfigError(f"{path} has no column in which all that is recorded are numbers; name some: --columns.")
    return [name for name, count in found.items() if count]
