"""The table of the film's shots: where each begins and ends, and what it shows."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from omni.errors import InputError

TABLE = Path(__file__).parent / "data" / "bbb_shots.tsv"
SPLITS = ("train", "val", "test")
SHARES = (0.7, 0.1, 0.2)  # of the scenes' time, in this order
KINDS = ("scene", "titles")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One shot.

    Attributes:
        number: from 0. start, end: seconds. kind: "scene", or "titles" (title card, credits).
        text: one English line on what the pictures show; the sound was not listened to.
    """

    number: int
    start: float
    end: float
    kind: str
    text: str


def read_shots(path: str | os.PathLike[str] = TABLE) -> list[Shot]:
    """The shots of a table (columns start, end, kind, text; tabs between them), in order.

    Raises:
        InputError: a row that is malformed, or begins before the one above it ends.
    """
    path = Path(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise InputError(f"The table of shots {path} cannot be read: {error}.") from error
    shots: list[Shot] = []
    for number, row in enumerate(rows):
        where = f"{path}, row {number + 1}"
        try:
            shot = Shot(
                number=number, start=float(row["start"]), end=float(row["end"]), kind=row["kind"], text=row["text"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: columns start, end (seconds), kind and text are needed ({error!r}).") from error
        if shot.kind not in KINDS or not shot.text or not shot.start < shot.end:
            raise InputError(f"{where}: {shot} is no shot (kinds: {', '.join(KINDS)}).")
        if shots and shot.start < shots[-1].end - 1e-6:
            raise InputError(f"{where}: begins at {shot.start} s, before the shot above ends.")
        shots.append(shot)
    if not shots:
        raise InputError(f"{path} has no shots.")
    return shots


def split_shots(shots: list[Shot]) -> list[str]:
    """The split of each shot: blocks of the scenes' time in order (70, 10 and 20 % of it), by the shot's middle. Titles
    take no time: the credits are long, and would be most of the last block."""
    lengths = [shot.end - shot.start if shot.kind == "scene" else 0.0 for shot in shots]
    total, before, splits = sum(lengths) or 1.0, 0.0, []
    for length in lengths:
        place = (before + length / 2) / total
        splits.append(SPLITS[(place >= SHARES[0]) + (place >= SHARES[0] + SHARES[1])])
        before += length
    return splits
