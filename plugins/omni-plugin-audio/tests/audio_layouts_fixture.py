"""Tiny folders in the layouts of published audio data sets: sine waves, invented captions, the real file names, columns
and quirks."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile

CLASSES = {0: "dog", 1: "rooster", 2: "pig", 14: "chirping_birds"}
# brackets, quotes, accents, several dots and spaces, as Freesound's users name their files
CLOTHO_FILES = ("Distorted AM Radio noise.wav", "paper_crumpling [1] 'b'.wav", "20130327_caf\xe9.traffic.02.wav")
CAPTIONS = ("A machine whines.", 'Someone says "stop", then leaves', "rain, wind", "A bell rings ", "Birds sing.")


def wave(path: Path, number: int = 0, seconds: float = 0.5, rate: int = 16_000) -> Path:
    """A sine wave whose pitch depends on ``number``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time_T = np.arange(int(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (220 + 90 * number) * time_T), rate)
    return path


def table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def esc50(root: Path, classes: Sequence[int] = (0, 1, 2)) -> Path:
    """Two clips of each class in each of five folds, in the published naming: fold-source-take-class."""
    rows = []
    for fold in range(1, 6):
        for number in classes:
            for take in "AB":
                source = 100000 + 10 * fold + number
                name = f"{fold}-{source}-{take}-{number}.wav"
                wave(root / "audio" / name, 3 * number + fold, 0.2)
                esc10 = number in (0, 1)
                rows.append((name, fold, number, CLASSES[number], esc10, source, take))
    table(root / "meta/esc50.csv", ("filename", "fold", "target", "category", "esc10", "src_file", "take"), rows)
    return root


def clotho(root: Path) -> Path:
    """Three clips for each of the three parts."""
    for part in ("development", "validation", "evaluation"):
        rows = [(name, *CAPTIONS) for name in CLOTHO_FILES]
        for number, name in enumerate(CLOTHO_FILES):
            wave(root / part / name, number)
        table(root / f"clotho_captions_{part}.csv", ("file_name", *(f"caption_{n}" for n in range(1, 6))), rows)
    return root


def audiocaps(root: Path, pattern: str = "{video}_{start}.wav") -> Path:
    """Two pieces of one film and one of another in train, one clip of five captions in val and test; ids begin with a
    hyphen, an underscore and a digit, as YouTube's do."""
    header = ("audiocap_id", "youtube_id", "start_time", "caption")
    rows = {
        "train": [(91139, "r1nicOVtvkQ", 130, "A woman talks nearby, as water pours"),
                  (58146, "-PRrNx6_MD0", 30, "Multiple clanging sounds"), (58147, "-PRrNx6_MD0", 60, "A dog barks")],
        "val": [(97150 + n, "_vGlPWTaVuE", 0, f"Rustling {n}") for n in range(5)],
        "test": [(103549 - n, "7fmOlUlwoNg", 20, f"Constant noise {n}") for n in range(5)],
    }  # fmt: skip
    for split, lines in rows.items():
        table(root / f"{split}.csv", header, lines)
        for number, (which, video, start, _) in enumerate(lines):
            name = pattern.format(video=video, start=start, seconds=float(start), caption=which)
            if not (root / "audio" / split / name).exists():
                wave(root / "audio" / split / name, number)
    return root
