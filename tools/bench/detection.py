"""composites over three seeds: detection beside torchvision's FCOS of as many parameters in the same processor time,
labels of unseen things, captions of unseen pairs.

The data set has to be built before (omni data build composites). About two hours of one core a seed, half of it the
peer's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SEEDS = (0, 1, 2)
ROOT = Path(__file__).resolve().parents[2]
LEAST_AP50 = 0.80
MOST_MINUTES = 60.0


def bench_composites() -> list[dict[str, Any]]:
    """AP50 of the seen kinds and its peer, the unseen things, the unseen pairs."""
    tables = [_table(seed) for seed in SEEDS]
    return [_seen(tables), _unseen(tables), _pairs(tables)]


def _seen(tables: list[dict[str, Any]]) -> dict[str, Any]:
    ours, peer = ([table[name]["ap50"] for table in tables] for name in ("seen", "peer"))
    minutes = [round(table["cpu_seconds"] / 60, 1) for table in tables]
    mean, other = statistics.fmean(ours), statistics.fmean(peer)
    return {
        "name": f"composites, 15 kinds: AP50 {mean:.3f} +- {statistics.stdev(ours):.3f}, FCOS {other:.3f}",
        "ap50": ours, "peer_ap50": peer, "cpu_minutes": minutes,
        "parameters": [(table["parameters"]["picture"], table["peer"]["parameters"]) for table in tables],
        "ratio": mean / max(other, 1e-9),
        "target": f">= {LEAST_AP50:.2f} and not below FCOS of equal parameters and time, <= {MOST_MINUTES:.0f} minutes",
        "reached": mean >= LEAST_AP50 and mean >= other and max(minutes) <= MOST_MINUTES,
    }  # fmt: skip


def _unseen(tables: list[dict[str, Any]]) -> dict[str, Any]:
    found = [table["unseen"] for table in tables]
    mean, chance = statistics.fmean(row["top1"] for row in found), found[0]["chance"]
    told = "; ".join(f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}" for row in found)
    excluded = [row["chance_excluded"] for row in found]
    return {
        "name": f"composites, label of {found[0]['things']} groups of unseen things among 20: {mean:.3f} ({told})",
        "top1": [row["top1"] for row in found], "chance_excluded": excluded, "ratio": mean / chance,
        "target": f"no target; chance {chance:.3f} excluded in {sum(excluded)} of {len(excluded)} seeds",
    }  # fmt: skip


def _pairs(tables: list[dict[str, Any]]) -> dict[str, Any]:
    found = [table["pairs"]["right"] for table in tables]
    mean = statistics.fmean(found)
    return {
        "name": f"composites, X left of Y, unseen pairs: {mean:.3f} +- {statistics.stdev(found):.3f}",
        "right": found, "ratio": mean / 0.5, "target": "no target; chance 0.5",
    }  # fmt: skip


def _table(seed: int) -> dict[str, Any]:
    folder = Path(os.environ.get("OMNI_BENCH_DETECTION", tempfile.gettempdir())) / "omni-bench-detection"
    output = folder / f"seed{seed}"
    command = [sys.executable, "tools/detection_table.py", "--output", str(output), "--seed", str(seed)]
    command += ["--root", os.environ["OMNI_COMPOSITES"]] if "OMNI_COMPOSITES" in os.environ else []
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return json.loads((output / "results.json").read_text())
