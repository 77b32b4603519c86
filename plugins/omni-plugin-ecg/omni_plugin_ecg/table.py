"""CSV and TSV: a row a sample, a column a lead."""

from __future__ import annotations

import csv
import io
import re

import numpy as np

from omni.errors import InputError
from omni_plugin_ecg.recording import Options, Raw, millivolts

MOST_COLUMNS = 512
_UNIT = re.compile(r"^(.*?)\s*[\[(]\s*([^\])]+?)\s*[\])]\s*$")
_TIME = {"time", "t", "timestamp", "elapsed time", "seconds"}
_COUNTERS = {"", "sample", "samples", "index", "sample #", "unnamed: 0", "#"}
_SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "milliseconds": 1e-3, "us": 1e-6}
_SETTING = re.compile(r"^#\s*(sample_rate|unit)\s*[:=]\s*(.+?)\s*$")
MOST_JITTER = 0.6  # of a step: times are rounded when they are written; a missing row is a whole step


def read(data: bytes, options: Options, *, name: str) -> Raw:
    """A table with or without a line of names.

    Units stand in the names ("II [mV]") or in a line "# unit: mV"; the rate in a column "time [s]" (or [ms]) or in a
    line "# sample_rate: 500". What is not there must be given. Separators are comma, semicolon (then decimal commas are
    allowed) or tab.

    Raises:
        InputError: not a table of numbers, rows of different lengths, uneven times.
    """
    import pandas as pd

    text = _decode(data, name)
    settings, body = _settings(text.rstrip(), name)
    separator = _separator(body, name)
    header = _header(body, separator, name)
    try:
        frame = pd.read_csv(
            io.StringIO(body),
            sep=separator,
            header=None,
            skiprows=1 if header else 0,
            decimal="," if separator == ";" and "." not in body else ".",
            skip_blank_lines=False,  # an empty line of a single lead is a missing sample
            na_values=[""],
            on_bad_lines="error",
        )
    except Exception as error:  # the parser's errors and those of the conversion
        raise InputError(f"The {name} cannot be read as a table: {error}.") from error
    columns = list(frame.columns)
    if header and len(header) != len(columns):
        raise InputError(f"The {name} names {len(header)} columns and holds {len(columns)}; export it again.")
    for number, column in enumerate(columns):
        if not pd.api.types.is_numeric_dtype(frame[column]) or pd.api.types.is_bool_dtype(frame[column]):
            label = header[number] if header else f"column {number + 1}"
            raise InputError(f"Column {label!r} of the {name} holds something that is no number; export it again.")
    values = [frame[column].to_numpy(dtype=np.float64) for column in columns]
    return _raw(values, header, settings, options, name)


def _raw(
    values: list[np.ndarray], header: list[str] | None, settings: dict[str, str], options: Options, name: str
) -> Raw:
    rate = float(settings["sample_rate"]) if "sample_rate" in settings else None
    names, units, channels = [], [], []
    for number, column in enumerate(values):
        label = header[number] if header else ""
        found = _UNIT.match(label)
        plain, unit = (found[1], found[2]) if found else (label, None)
        if header and plain.strip().lower() in _TIME:
            rate = _rate_of(column, unit, rate, name)
            continue
        if header and plain.strip().lower() in _COUNTERS:
            continue
        if unit is not None and millivolts(unit) is None and "(" in label:
            plain, unit = label, None  # a remark in brackets, not a unit
        names.append(plain.strip())
        units.append(unit or settings.get("unit"))
        channels.append(column)
    if not channels:
        raise InputError(f"The {name} has no column of a lead.")
    options.check_size(channels=len(channels), samples=len(channels[0]), rate=rate, name=name)
    return Raw(
        channels=channels, names=names if header else None, units=units, rates=[rate] * len(channels), source=name
    )


def _decode(data: bytes, name: str) -> str:
    for encoding in ("utf-8-sig", "latin-1"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"The {name} is not text.")


def _settings(text: str, name: str) -> tuple[dict[str, str], str]:
    """Lines that start with # at the top, and the rest."""
    settings: dict[str, str] = {}
    lines = text.splitlines()
    start = 0
    while start < len(lines) and (not lines[start].strip() or lines[start].startswith("#")):
        found = _SETTING.match(lines[start])
        if found:
            settings[found[1]] = found[2]
        start += 1
    rate = settings.get("sample_rate")
    if rate is not None:
        try:
            float(rate)
        except ValueError:
            raise InputError(f"The {name} gives {rate!r} as its sample_rate, which is no number.") from None
    return settings, "\n".join(lines[start:])


def _separator(body: str, name: str) -> str:
    first = body.split("\n", 1)[0]
    found = [mark for mark in ("\t", ";", ",") if mark in first]
    if not first.strip():
        raise InputError(f"The {name} holds no rows.")
    if first.count(",") > MOST_COLUMNS or first.count(";") > MOST_COLUMNS or first.count("\t") > MOST_COLUMNS:
        raise InputError(f"The {name} has more than {MOST_COLUMNS} columns; a row must be a sample, a column a lead.")
    return found[0] if found else ","


def _header(body: str, separator: str, name: str) -> list[str] | None:
    """The first row, if it is not numbers."""
    try:
        row = next(csv.reader([body.split("\n", 1)[0]], delimiter=separator))
    except csv.Error as error:
        raise InputError(f"The first line of the {name} cannot be read: {error}.") from error
    numbers = [_is_number(cell) for cell in row]
    if all(numbers):
        return None
    if any(numbers):
        raise InputError(f"The first line of the {name} mixes names and numbers: {', '.join(row)[:80]}.")
    return [cell.strip() for cell in row]


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _rate_of(times_T: np.ndarray, unit: str | None, rate: float | None, name: str) -> float | None:
    """From a column of times; None where its unit is not said, and then the rate must be given."""
    factor = _SECONDS.get((unit or "").lower())
    if factor is None:
        return rate
    steps = np.diff(times_T) * factor
    if len(steps) < 1 or not np.isfinite(steps).all() or steps.min() <= 0:
        raise InputError(f"The times of the {name} do not rise; export it again.")
    step = float(times_T[-1] - times_T[0]) * factor / len(steps)
    expected = times_T[0] * factor + step * np.arange(len(times_T))
    wrong = np.abs(times_T * factor - expected) > MOST_JITTER * step
    if wrong.any() or steps.max() > (1 + MOST_JITTER) * step:
        raise InputError(
            f"The times of the {name} are uneven (a gap near row {int(np.argmax(steps)) + 1}); resample it."
        )
    found = 1.0 / step
    found = round(found) if abs(found - round(found)) < 1e-3 * found else found
    if rate is not None and abs(rate - found) > 1e-3 * found:
        raise InputError(f"The {name} says sample_rate {rate:g}, but its times step by {step:.6g} s.")
    return float(found)
