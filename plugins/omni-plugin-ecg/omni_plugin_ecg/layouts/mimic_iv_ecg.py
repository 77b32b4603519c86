"""MIMIC-IV-ECG: 800,035 twelve-lead recordings of ten seconds with the machines' statements and measurements."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from omni.data.layouts import PublishedLayout
from omni.data.shuffling import mix
from omni.errors import InputError
from omni.types import Sample

REPORTS = tuple(f"report_{number}" for number in range(18))
POINTS = ("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end", "p_axis", "qrs_axis", "t_axis")
RECORD_COLUMNS = ("subject_id", "study_id", "path")
TENTHS = {"train": range(8), "val": (8,), "test": (9,), "all": range(10)}
NOT_MEASURED = frozenset({29999, 32767, 65535})  # what the machines write where they found nothing
LONGEST_MS = 5000  # of any interval within one beat or between two
RANGES = {"p_axis": 360, "qrs_axis": 360, "t_axis": 360}


class MimicIvEcg(PublishedLayout):
    """Slots ``ecg`` (a WFDB header) and ``text`` (the machine's statements, one a line; missing where it made none).

    ``targets`` are what the machine measured, floats, each only where it did: ``rr_ms``, ``pr_ms`` (onset of P to onset
    of QRS), ``qrs_ms``, ``qt_ms`` (onset of QRS to end of T), ``p_axis``, ``qrs_axis``, ``t_axis`` in degrees.

    No split is published: "train", "val" and "test" are made here, by a hash of the patient, 80 : 10 : 10.

    Args:
        root: the folder with ``record_list.csv``, ``machine_measurements.csv`` and ``files``.
        split: "train", "val", "test" or "all"; no patient is in two of the first three.
        missing: of PublishedLayout.
        measurements: read ``machine_measurements.csv``; without it there is the signal alone.
        patients: also give the patient's pseudonym, in ``meta["patient"]`` (the path of the signal has it too).

    Raises:
        InputError: a table is missing or not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "mimic_iv_ecg"
    splits = ("train", "val", "test", "all")

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        measurements: bool = True,
        patients: bool = False,
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.patients = patients
        self._machine = None
        if measurements:
            path = self.find_file("machine_measurements.csv", what="statements and measurements; measurements=False "
                                                                   "reads the signals alone")  # fmt: skip
            self._machine = RowsByKey(path, key="study_id", columns=(*REPORTS, *POINTS))
        table = self.table(self.find_file("record_list.csv", what="one row a recording"), columns=RECORD_COLUMNS)
        self.keep(
            (str(study), (str(subject), path or ""))
            for subject, study, path in table.select(*RECORD_COLUMNS)
            if mix(self.name, str(subject)) % 10 in TENTHS[split]
        )

    def sample(self, name: str, record: tuple[str, str]) -> Sample:
        """A recording with what the machine said of it."""
        subject, path = record
        values: dict[str, Any] = {"ecg": self.inside(f"{path}.hea" if path else "")}
        row = self._machine.get(name) if self._machine is not None else None
        statements = [text for each in REPORTS if row and (text := (row[each] or "").strip())]
        if statements:
            values["text"] = "\n".join(statements)
        return Sample(
            id=name,
            values=values,
            keys={"ecg": f"{self.name}/{name}"} | ({"text": values["text"]} if statements else {}),
            targets=measured({key: self._value(row[key], name) for key in POINTS}) if row else {},
            meta={"patient": f"p{subject}"} if self.patients else {},
        )

    def _value(self, text: str | None, name: str) -> float | None:
        if text is None or not text.strip():
            return None
        value = self.number(text, float, where=f"machine_measurements.csv, study {name}")
        return None if value in NOT_MEASURED or not np.isfinite(value) else value


def measured(points: dict[str, float | None]) -> dict[str, float]:
    """Intervals in ms and axes in degrees, of points in time (ms) and axes; what cannot be one is left out."""
    spans = {
        "rr_ms": (None, "rr_interval"),
        "pr_ms": ("p_onset", "qrs_onset"),
        "qrs_ms": ("qrs_onset", "qrs_end"),
        "qt_ms": ("qrs_onset", "t_end"),
    }
    found: dict[str, float] = {}
    for name, (first, last) in spans.items():
        start, end = (0.0 if first is None else points[first]), points[last]
        if start is not None and end is not None and 0 < end - start <= LONGEST_MS:
            found[name] = end - start
    axes = {name: points[name] for name in RANGES}
    return found | {name: value for name, value in axes.items() if value is not None and abs(value) <= RANGES[name]}


class RowsByKey:
    """Rows of a large CSV file by the whole number in one column: only their places are kept in memory.

    Args:
        path: the file, UTF-8 with a header line.
        key: the column, whose numbers differ.
        columns: those that must be there.

    Raises:
        InputError: it cannot be read, lacks a column, or a row's key is no whole number or comes twice.
    """

    def __init__(self, path: Path, *, key: str, columns: tuple[str, ...]) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self.columns = tuple(self._fields(file.readline()))
                lacking = [name for name in (key, *columns) if name not in self.columns]
                if lacking:
                    raise InputError(f"{path} has no column {lacking[0]!r}; it has {', '.join(self.columns)[:200]}.")
                keys, places = self._scan(file, self.columns.index(key))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}.") from error
        order = np.argsort(keys, kind="stable")
        self._keys, self._places = keys[order], places[order]
        twice = np.flatnonzero(np.diff(self._keys) == 0)
        if twice.size:
            raise InputError(f"{path} has two rows with the {key} {self._keys[twice[0]]}.")

    def _scan(self, file: Any, column: int) -> tuple[np.ndarray, np.ndarray]:
        """(N,) int64 keys and places of the rows; a quoted field may hold a line's end."""
        keys, places, place, whole = [], [], file.tell(), b""
        for line in file:
            whole += line
            if whole.count(b'"') % 2:
                continue
            if whole.strip():
                text = whole.split(b",", column + 1)[column] if b'"' not in whole else self._fields(whole)[column]
                try:
                    keys.append(int(text))
                except ValueError:
                    raise InputError(f"{self.path}, row {len(keys) + 1}: {text!r} is no whole number.") from None
                places.append(place)
            place, whole = place + len(whole), b""
        if whole:
            raise InputError(f"{self.path} is cut off: its last field has no closing quote.")
        return np.array(keys, np.int64), np.array(places, np.int64)

    def _fields(self, line: bytes) -> list[str]:
        try:
            rows = list(csv.reader([line.decode("utf-8-sig").rstrip("\r\n")], strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{self.path} has a malformed row: {error}.") from error
        return rows[0] if rows else []

    def get(self, key: str) -> dict[str, str | None] | None:
        """The row, an empty field as None; None if there is none of the key."""
        number = int(key)
        at = int(np.searchsorted(self._keys, number))
        if at == len(self._keys) or self._keys[at] != number:
            return None
        with self.path.open("rb") as file:
            file.seek(int(self._places[at]))
            line = file.readline()
            while line.count(b'"') % 2:
                line += file.readline()
        fields = self._fields(line)
        if len(fields) != len(self.columns):
            raise InputError(
                f"{self.path}, the row of {key}: {len(fields)} fields, but the header names {len(self.columns)}."
            )
        return {name: value or None for name, value in zip(self.columns, fields, strict=True)}
