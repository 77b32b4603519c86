"""Tiny folders as Symile-MIMIC is released and as its code writes them: drawn pictures, formula heartbeats, made-up
values; the radiographs have 64 pixels a side here, 320 there.

Quirks kept: labs_missingness is 1 where measured; missing values hold the training mean; the retrieval splits repeat
each wrong candidate as a row of its own behind the queries; radiographs are normalised with ImageNet's numbers; ECGs
are scaled by the record's own range, leads in the order of MIMIC-IV-ECG (aVF before aVL).
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import torch

from omni_plugin_clinic.layouts.symile_mimic import FINDINGS, LEADS
from omni_plugin_clinic.layouts.symile_mimic_labs import LABS
from omni_plugin_ecg.io import synthetic

SIZES = {"train": 12, "val": 4, "val_retrieval": 4, "test": 5}
CANDIDATES = 3
PIXELS = 64
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


def levels(number: int) -> np.ndarray:
    """uint8 (64, 64): a bright bar whose place depends on ``number``."""
    picture = np.full((PIXELS, PIXELS), 40, np.uint8)
    picture[:, 4 * (number % 14) : 4 * (number % 14) + 8] = 200
    picture[:4, :4] = number % 256
    return picture


def millivolts(number: int) -> np.ndarray:
    """(5000, 12) of one record, in the published order of leads."""
    wave_CT = synthetic(LEADS, seconds=10.0, sample_rate=500.0, beats_per_minute=60 + 5 * (number % 9))
    return wave_CT.numpy().T


def symile_mimic(root: Path, *, ending: str = "npy", tables: bool = True) -> Path:
    """``ending``: "npy" as released, "pt" as written by the published code."""
    random = np.random.default_rng(0)
    keys = [f"{item}_percentile" for item in sorted(LABS)]
    means = dict(zip(keys, random.uniform(0.45, 0.55, len(keys)).tolist(), strict=True))
    root.mkdir(parents=True, exist_ok=True)
    shuffled = {key: means[key] for key in random.permutation(keys).tolist()}  # the file's own order means nothing
    (root / "labs_means.json").write_text(json.dumps(shuffled, indent=4))
    first = {"train": 20_000_000, "val": 21_000_000, "val_retrieval": 21_000_000, "test": 22_000_000}
    for split, count in SIZES.items():
        own = [first[split] + number for number in range(count)]
        rows = [(number, number, 1) for number in range(count)]
        if split in ("val_retrieval", "test"):
            for query in range(count):
                others = random.permutation([number for number in range(count) if number != query])
                rows += [(int(number), query, 0) for number in others[: CANDIDATES - 1]]
        flags = (np.random.default_rng(first[split]).random((count, len(keys))) < 0.7).astype(np.int64)
        shares = np.random.default_rng(first[split] + 1).random((count, len(keys))).astype(np.float32)
        shares = np.where(flags == 1, shares, np.array(list(means.values()), np.float32))
        arrays = {
            "cxr": np.stack([(levels(number)[None] / np.float32(255) - MEAN) / STD for number, _, _ in rows]),
            "ecg": np.stack([_scaled(millivolts(number)) for number, _, _ in rows])[:, None].astype(np.float32),
            "labs_percentiles": np.stack([shares[number] for number, _, _ in rows]),
            "labs_missingness": np.stack([flags[number] for number, _, _ in rows]),
            "hadm_id": np.array([own[number] for number, _, _ in rows]),
        }
        if split in ("val_retrieval", "test"):
            arrays["label_hadm_id"] = np.array([own[query] for _, query, _ in rows])
            arrays["label"] = np.array([label for _, _, label in rows])
        _write(root / ("data_npy" if ending == "npy" else "") / split, split, arrays, ending)
        if tables:
            _table(root / f"{split}.csv", own, rows)
    return root


def _scaled(signal: np.ndarray) -> np.ndarray:
    return 2 * (signal - signal.min()) / (signal.max() - signal.min()) - 1


def _write(folder: Path, split: str, arrays: dict[str, np.ndarray], ending: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        path = folder / f"{name}_{split}.{ending}"
        if ending == "npy":
            np.save(path, array)
        else:
            torch.save(torch.from_numpy(array), path)


def _table(path: Path, own: list[int], rows: list[tuple[int, int, int]]) -> None:
    shown = [finding for finding in FINDINGS if finding != "Pneumonia"]  # the released tables of splits leave it out
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["subject_id", "hadm_id", "cxr_path", *shown, "ecg_path", "label_hadm_id", "label"])
        for number, query, label in rows:
            marks = ["1.0" if number % 2 else "", "-1.0", "0.0", "", "1.0", ""]
            writer.writerow([10_000_000 + number, own[number], "files/a.jpg", *marks, "files/b", own[query], label])
