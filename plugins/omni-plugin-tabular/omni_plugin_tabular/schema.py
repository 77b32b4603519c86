"""The schema: which columns there are, in which unit, which other units are converted, and the reference quantiles."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from omni.errors import ConfigError, InputError
from omni.plugin.suggest import did_you_mean
from omni_plugin_tabular.row import Row

VERSION = 1
POINTS = 101  # quantiles of a fit: percentiles are exact to one hundredth of the training rows
MICRO = str.maketrans({"\u00b5": "u", "\u03bc": "u"})
ONE_SIGMA = (0.15865525393145707, 0.8413447460685429)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One named number.

    Attributes:
        name: as rows call it.
        unit: of its numbers here; "" for a number without one.
        units: other unit -> (factor, offset): a number x in it is factor * x + offset in ``unit``.
        low, high: bounds in ``unit`` outside of which a number cannot be meant; None = no bound.
        quantiles: of the training rows, at evenly spaced probabilities from 0 to 1, in ``unit``; () = not fitted yet.
    """

    name: str
    unit: str = ""
    units: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    quantiles: tuple[float, ...] = ()

    def convert(self, number: float, unit: str | None, *, source: str) -> float:
        """The number in ``self.unit``; a number that came without a unit is taken to be in it already.

        Raises:
            InputError: a unit that the schema does not know.
        """
        if unit is None or _same_unit(unit) == _same_unit(self.unit):
            return number
        if unit in self.units:
            factor, offset = self.units[unit]
            return factor * number + offset
        wanted = _same_unit(unit)
        for known, (factor, offset) in self.units.items():
            if _same_unit(known) == wanted:
                return factor * number + offset
        accepted = ", ".join(repr(known) for known in (self.unit, *self.units) if known) or "none"
        raise InputError(
            f"{self.name!r} of the {source} is in {unit!r}; accepted units: {accepted}. Convert it, or add the unit "
            "with its factor to the schema."
        )

    def within(self, number: float) -> bool:
        """Whether the number lies between ``low`` and ``high``."""
        return (self.low is None or number >= self.low) and (self.high is None or number <= self.high)

    def percentile(self, number: float) -> float:
        """Part of the training rows below the number, 0 to 1: linear between quantiles, the middle of equal ones."""
        first = int(np.searchsorted(self.quantiles, number, side="left"))
        last = int(np.searchsorted(self.quantiles, number, side="right"))
        steps = len(self.quantiles) - 1
        if first < last:
            return (first + last - 1) / 2 / steps
        if first in (0, steps + 1):
            return min(first, 1)
        below, above = self.quantiles[first - 1], self.quantiles[first]
        return (first - 1 + (number - below) / (above - below)) / steps

    def score(self, number: float) -> float:
        """(number - median) / spread, where spread is half the distance of the quantiles at -1 and +1 sigma of a normal
        distribution; half of the whole range where these are equal, 1 where all are."""
        places = np.linspace(0, 1, len(self.quantiles))
        low, middle, high = np.interp((ONE_SIGMA[0], 0.5, ONE_SIGMA[1]), places, self.quantiles)
        spread = (high - low) / 2 or (self.quantiles[-1] - self.quantiles[0]) / 2 or 1.0
        return (number - middle) / spread


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Columns in a fixed order.

    Attributes:
        columns: each with another name.
        source: what messages call it.
    """

    columns: tuple[Column, ...]
    source: str = "schema"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_place", {column.name: number for number, column in enumerate(self.columns)})
        if not self.columns or len(self.names) != len(set(self.names)):
            raise ConfigError(f"The {self.source} needs at least one column, each with another name.")

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def fitted(self) -> bool:
        """Every column has reference quantiles."""
        return all(column.quantiles for column in self.columns)

    def place(self, name: str) -> int | None:
        """The number of a column, or None."""
        return self.__dict__["_place"].get(name)

    def numbers(self, row: Row) -> dict[int, float]:
        """Place of a column -> number in the column's unit, of those columns that the row has.

        Raises:
            InputError: a column that the schema does not have, or a unit that it does not know.
        """
        found = {}
        for name in row.names or row.numbers:
            place = self.place(name)
            if place is None:
                raise InputError(
                    f"The {row.source} has the column {name!r}, which the {self.source} does not "
                    f"({_few(self.names)}).{did_you_mean(name, self.names)} Leave it out, rename it (the loader's "
                    "rename), or set the transform's unknown='ignore'."
                )
            if name in row.numbers:
                number = row.numbers[name]
                found[place] = self.columns[place].convert(number, row.units.get(name), source=row.source)
        return found

    def without_unknown(self, row: Row) -> Row:
        """The row without the columns that the schema does not have."""
        kept = {name: number for name, number in row.numbers.items() if self.place(name) is not None}
        return replace(row, numbers=kept, names=tuple(name for name in row.names if self.place(name) is not None))

    def fit(self, rows: Iterable[Row], *, points: int = POINTS) -> Schema:
        """The same columns with quantiles of the given (training) rows; columns of rows that it lacks are ignored.

        Numbers outside of a column's bounds are not counted.

        Raises:
            InputError: a column without a number in any row; a unit that is not known.
            ConfigError: fewer than 2 points.
        """
        if points < 2:
            raise ConfigError(f"A fit needs at least 2 quantiles, not {points}.")
        found: list[list[float]] = [[] for _ in self.columns]
        for row in rows:
            for place, number in self.numbers(self.without_unknown(row)).items():
                if self.columns[place].within(number):
                    found[place].append(number)
        empty = [column.name for column, numbers in zip(self.columns, found, strict=True) if not numbers]
        if empty:
            raise InputError(f"No row has a number for {_few(empty)}; leave the column out of the schema.")
        at = np.linspace(0, 1, points)
        fitted = [
            replace(column, quantiles=tuple(np.quantile(np.asarray(numbers, np.float64), at).tolist()))
            for column, numbers in zip(self.columns, found, strict=True)
        ]
        return replace(self, columns=tuple(fitted))

    def to_json(self) -> dict[str, Any]:
        """The JSON form, without what is at its default."""
        columns = []
        for column in self.columns:
            value = {key: item for key, item in asdict(column).items() if item not in ("", {}, None, ())}
            for key in ("units", "quantiles"):
                if key in value:
                    value[key] = (
                        {unit: list(pair) for unit, pair in column.units.items()}
                        if key == "units"
                        else list(column.quantiles)
                    )
            columns.append(value)
        return {"version": VERSION, "columns": columns}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON form, a column a line."""
        lines = ",\n".join(json.dumps(column, ensure_ascii=False) for column in self.to_json()["columns"])
        Path(path).write_text(f'{{"version": {VERSION}, "columns": [\n{lines}\n]}}\n', encoding="utf-8")


def read_schema(value: Any) -> Schema:
    """A schema from a Schema, its JSON form, a path, or "package:path/in/package.json".

    Raises:
        ConfigError: no such file, or no schema in it; the message names the column and the field.
    """
    if isinstance(value, Schema):
        return value
    source = "schema"
    if isinstance(value, (str, os.PathLike)):
        source = f"schema {os.fspath(value)!r}"
        value = _read_json(value, source)
    if not isinstance(value, Mapping) or not isinstance(value.get("columns"), Sequence):
        raise ConfigError(f'The {source} is no mapping {{"columns": [...]}} but {type(value).__name__}.')
    if value.get("version", VERSION) != VERSION:
        raise ConfigError(f"The {source} is of version {value['version']!r}; this package reads {VERSION}.")
    return Schema(columns=tuple(_column(item, source) for item in value["columns"]), source=source)


def of_percentiles(names: Sequence[str]) -> Schema:
    """A schema of numbers that are percentiles (0 to 1) already, so that they pass unchanged."""
    return Schema(columns=tuple(Column(name=name, low=0.0, high=1.0, quantiles=(0.0, 1.0)) for name in names))


def _read_json(value: str | os.PathLike[str], source: str) -> Any:
    text = os.fspath(value)
    package, colon, inside = text.partition(":")
    try:
        if colon and not Path(text).exists() and all(part.isidentifier() for part in package.split(".")):
            return json.loads(resources.files(package).joinpath(inside).read_text(encoding="utf-8"))
        return json.loads(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError, ModuleNotFoundError, RecursionError) as error:
        raise ConfigError(f"The {source} cannot be read: {error}. `omni tabular-schema` writes one.") from error


def _column(item: Any, source: str) -> Column:
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or not item["name"].strip():
        raise ConfigError(f"A column of the {source} has no name: {str(item)[:80]}.")
    name = item["name"]
    where = f"Column {name!r} of the {source}"
    unknown = set(item) - set(Column.__dataclass_fields__)
    if unknown:
        raise ConfigError(f"{where} has {sorted(map(str, unknown))}; known are {list(Column.__dataclass_fields__)}.")
    if not isinstance(item.get("unit", ""), str):
        raise ConfigError(f"{where}: the unit is {item['unit']!r}, not a text.")
    low, high = (_bound(item.get(key), f"{where}: {key}") for key in ("low", "high"))
    if low is not None and high is not None and low >= high:
        raise ConfigError(f"{where}: low {low:g} is not below high {high:g}.")
    return Column(
        name=name, unit=item.get("unit", ""), units=_units(item.get("units", {}), where), low=low, high=high,
        quantiles=_quantiles(item.get("quantiles", ()), where),
    )  # fmt: skip


def _units(value: Any, where: str) -> dict[str, tuple[float, float]]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: units is a mapping unit -> factor or [factor, offset], not {value!r}.")
    found = {}
    for unit, item in value.items():
        pair = item if isinstance(item, (list, tuple)) else (item, 0.0)
        numbers = [_bound(part, f"{where}: unit {unit!r}") for part in pair]
        if len(numbers) != 2 or None in numbers or not numbers[0]:
            raise ConfigError(f"{where}: unit {unit!r} has {item!r}; a factor other than 0, or [factor, offset].")
        found[str(unit)] = (float(numbers[0]), float(numbers[1] or 0.0))
    return found


def _quantiles(value: Any, where: str) -> tuple[float, ...]:
    try:
        numbers = () if isinstance(value, str) else tuple(float(item) for item in value)
    except (TypeError, ValueError):
        numbers = (math.nan,)
    odd = isinstance(value, str) or len(numbers) == 1
    if odd or not all(map(math.isfinite, numbers)) or any(np.diff(numbers) < 0):
        raise ConfigError(f"{where}: quantiles are at least two finite numbers that never fall.")
    return numbers


def _bound(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{where} is {value!r}; a finite number is needed.")
    return float(value)


def _same_unit(unit: str) -> str:
    """Spaces, case and the two signs for micro do not matter."""
    return "".join(unit.translate(MICRO).split()).lower()


def _few(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


EXAMPLE = Schema(
    source="example schema",
    columns=(
        Column(name="age", unit="years", low=0, high=130, quantiles=(0, 20, 40, 60, 100)),
        Column(name="mass", unit="kg", units={"lb": (0.45359237, 0.0)}, low=0.2, high=700,
               quantiles=(20, 60, 72, 86, 200)),
        Column(name="height", unit="m", units={"cm": (0.01, 0.0)}, low=0.2, high=2.6,
               quantiles=(0.5, 1.6, 1.69, 1.77, 2.2)),
        Column(name="temperature", unit="degC", units={"degF": (5 / 9, -160 / 9)}, low=20, high=46,
               quantiles=(34.0, 36.4, 36.8, 37.2, 42.0)),
        Column(name="heart_rate", unit="/min", low=0, high=400, quantiles=(30, 62, 71, 82, 200)),
        Column(name="sodium", unit="mmol/L", units={"mEq/L": (1.0, 0.0)}, low=80, high=200,
               quantiles=(110, 138, 140, 142, 170)),
    ),
)  # fmt: skip
