"""easy-VQA over three seeds, beside the most frequent answer and a model of the question alone. The data set has to be
built before (omni data build easy_vqa). OMNI_BENCH_VQA: where trainings are kept. Ten minutes of one core a seed.
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
AIM, MINUTES = 0.95, 20


def bench_easy_vqa() -> list[dict[str, Any]]:
    """Accuracy on the published test part; the peer is the model that does not see the picture."""
    tables = [_table(seed) for seed in SEEDS]
    rows = []
    for name in tables[0]["rows"]:
        mine = [table["rows"][name] for table in tables]
        values = [row["accuracy"]["all"] for row in mine]
        blind = statistics.fmean(table["rows"]["question alone"]["accuracy"]["all"] for table in tables)
        mean = statistics.fmean(values)
        minutes = [round(row.get("cpu_seconds", 0) / 60, 1) for row in mine]
        whole = name == "picture and question"
        rows.append(
            {
                "name": f"easy-VQA, {name}: accuracy {mean:.3f} +- {statistics.stdev(values):.3f}",
                "accuracy": values,
                "by_type": {kind: statistics.fmean(r["accuracy"][kind] for r in mine) for kind in mine[0]["accuracy"]},
                "cpu_minutes": minutes,
                "ratio": mean / blind,
                "target": f"at least {AIM} in {MINUTES} minutes of one core" if whole else "a baseline",
                "reached": mean >= AIM and max(minutes) <= MINUTES if whole else None,
            }
        )
    return rows


def _table(seed: int) -> dict[str, Any]:
    folder = Path(os.environ.get("OMNI_BENCH_VQA", tempfile.gettempdir())) / "omni-bench-vqa" / f"seed{seed}"
    command = [sys.executable, "tools/easy_vqa_table.py", "--output", str(folder), "--seed", str(seed)]
    command += ["--root", os.environ["OMNI_EASY_VQA"]] if "OMNI_EASY_VQA" in os.environ else []
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return json.loads((folder / "results.json").read_text())
