"""simclinic over three seeds (simulated): the radiograph among ten from ECG and laboratory values, beside the ceilings.

The bench edition has to be built before (omni data build simclinic --edition bench). No time is compared: the peer is
the ceiling that the table of hidden states gives.
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
ABOVE_PAIRWISE, LOSS_BY_MISSING, NEAR, PROBE = 0.20, 0.05, 0.05, 0.9


def bench_simclinic() -> list[dict[str, Any]]:
    """Probes, the three objectives, 30 % of slots missing in training, and slots removed from the query."""
    tables = [_table(seed) for seed in SEEDS]
    rows = [_probe_row(name, [table["probes"][name] for table in tables]) for name in tables[0]["probes"]]
    pairwise = tables[0]["ceilings"]["pairwise"]["frozen"]
    means = {}
    for place, first in enumerate(tables[0]["rows"]):
        values = [table["rows"][place]["top1"] for table in tables]
        query = " + ".join(first["query"])
        means[first["row"], query] = mean = statistics.fmean(values)
        ceiling = first["ceiling"] if len(first["query"]) == 1 or "pairwise" not in first["row"] else pairwise
        target, reached = _verdict(first["row"], query, mean, ceiling, means)
        rows.append(
            {
                "name": f"simclinic {first['row']}, {query}: top-1 {mean:.3f} +- {statistics.stdev(values):.3f}",
                "top1": values,
                "ceiling": ceiling,
                "ratio": mean / ceiling,
                "target": target,
                "reached": reached,
            }
        )
    minutes = [round(sum(table["cpu_seconds"].values()) / 60, 1) for table in tables]
    return [{**row, "cpu_minutes": minutes} for row in rows]


def _verdict(
    row: str, query: str, mean: float, ceiling: float, means: dict[tuple[str, str], float]
) -> tuple[str, bool | None]:
    """The target in words, and whether it is reached; None where there is no target."""
    both = "ecg + labs"
    if query != both:
        return f"{ceiling:.3f} +- {NEAR}", abs(mean - ceiling) <= NEAR
    if row == "Symile":
        wanted = means["pairwise InfoNCE", both] + ABOVE_PAIRWISE
        return f"at least {wanted:.3f}", mean >= wanted
    if row == "Symile, 30 % missing":
        wanted = means["Symile", both] - LOSS_BY_MISSING
        return f"at least {wanted:.3f}", mean >= wanted
    if row == "pairwise InfoNCE":
        return f"{ceiling:.3f} +- {NEAR}", abs(mean - ceiling) <= NEAR
    return "no target", None


def _probe_row(name: str, values: list[float]) -> dict[str, Any]:
    mean = statistics.fmean(values)
    return {
        "name": f"simclinic linear probe, {name}: {mean:.3f}",
        "accuracy": values,
        "ratio": mean / PROBE,
        "target": f"at least {PROBE}",
        "reached": min(values) >= PROBE,
    }


def _table(seed: int) -> dict[str, Any]:
    folder = Path(os.environ.get("OMNI_BENCH_CLINIC", tempfile.gettempdir())) / "omni-bench-clinic"
    command = [sys.executable, "tools/simclinic_table.py", "--output", str(folder / f"seed{seed}"), "--seed", str(seed)]
    command += ["--root", os.environ["OMNI_SIMCLINIC"]] if "OMNI_SIMCLINIC" in os.environ else []
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return json.loads((folder / f"seed{seed}" / "results.json").read_text())
