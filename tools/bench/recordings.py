"""digit3 and stamps over three seeds, top-1 beside chance; no time is compared. Both have to be built before (omni data
build digit3; omni data build stamps; the frozen encoders need omni-plugin-m3mini[frozen]). A quarter of an hour.
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
STEPS = {"align": 400, "triples": 500}
ROOT = Path(__file__).resolve().parents[2]
OBJECTIVES = ("pair_sum", "joint_pair_sum", "symile")
CHANCE, AIM, NEAR = 0.1, 0.9, 0.03
CONFIGS = "omni_plugin_m3mini:configs/digit3_{}.py"


def bench_digit3() -> list[dict[str, Any]]:
    """The written digit from the spoken one and the sum: heads of three objectives on the same frozen towers."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in OBJECTIVES}
    for seed in SEEDS:
        folder = _folder(f"digit3-seed{seed}")
        towers = _train("align", folder / "towers", seed, settings("align"))
        for name in OBJECTIVES:
            model = _train("triples", folder / name, seed, settings("triples", str(towers), name))
            found[name].append(_evaluate(model))
    return [digit_row(name, numbers) for name, numbers in found.items()]


def digit_row(name: str, numbers: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of one objective from what ``omni eval`` told of each seed."""
    values = [item["r1"] for item in numbers]
    mean = statistics.fmean(values)
    controls = {slot: statistics.fmean(item["controls"][slot]["r1"] for item in numbers) for slot in ("mfcc", "text")}
    is_symile = name == "symile"
    return {
        "name": f"digit3 {name}, mfcc + text: top-1 {mean:.3f} +- {_spread(values):.3f}",
        "top1": values,
        "shuffled": controls,
        "ratio": mean / CHANCE,
        "target": f"at least {AIM}" if is_symile else f"chance, {CHANCE} +- {NEAR}",
        "reached": mean >= AIM if is_symile else abs(mean - CHANCE) <= NEAR,
    }


def bench_stamps() -> list[dict[str, Any]]:
    """Every direction among stamps by a projector on frozen encoders; the peer is chance."""
    tables = []
    for seed in SEEDS:
        out = _folder("stamps") / f"seed{seed}.json"
        _run("stamps-table", "--seed", seed, "--out", out)
        (table,) = json.loads(out.read_text()).values()
        tables.append(table)
    rows = []
    for direction, first in tables[0].items():
        values = [table[direction]["recall"]["1"] for table in tables]
        mean, chance = statistics.fmean(values), first["chance"]["1"]
        error = (mean * (1 - mean) / first["queries"]) ** 0.5
        rows.append(
            {
                "name": f"stamps {direction}: R@1 {mean:.3f} +- {_spread(values):.3f}, chance {chance:.3f}",
                "r1": values,
                "standard_error": error,
                "ratio": mean / chance,
                "target": "above chance by 3 standard errors",
                "reached": mean - 3 * error > chance,
            }
        )
    return rows


def _spread(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _folder(name: str) -> Path:
    folder = Path(os.environ.get("OMNI_BENCH_DEMO", tempfile.gettempdir())) / "omni-bench-recordings" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def settings(stage: str, towers: str = "", objective: str = "") -> list[str]:
    """What a stage changes of its config."""
    steps = [f"train_cfg.max_iters={STEPS[stage]}"]
    if not towers:
        return steps
    objectives = f'[{{"type": "{objective}", "slots": ["image", "mfcc", "text"]}}]'
    return [*steps, f"load_from={towers}", f"objectives={objectives}"]


def _train(stage: str, folder: Path, seed: int, changes: list[str]) -> Path:
    """Train a stage unless an earlier run has done it; the model's folder."""
    if not (folder / "model").is_dir():
        overrides = [word for change in changes for word in ("--override", change)]
        _run("train", CONFIGS.format(stage), "--work-dir", folder, "--seed", seed, "--quiet", *overrides)
    return folder / "model"


def _evaluate(model: Path) -> dict[str, Any]:
    options = ("--option", "split=test", "--query", "mfcc,text", "--target", "image", "--label", "written")
    told = _run("eval", model, "--dataset", "digit3", *options, "--bootstrap", 0, "--json")
    return json.loads(told[told.index("{") :])


def _run(*words: Any) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "omni", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"omni {words[0]}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
