"""The demo's rules: when it calls Symile better, and which trainings it takes over from an earlier run."""

from __future__ import annotations

import json
from pathlib import Path

from tools.demo import Run, above_ceiling


def row(w, top1, se=0.01, name="Symile"):
    return {"w": w, "row": name, "top1": top1, "se": se, "ceiling": 1 / w}


def test_symile_must_be_three_standard_errors_above_at_every_width():
    assert above_ceiling([row(2, 0.54), row(3, 0.37), row(2, 0.2, name="pairwise InfoNCE")])
    assert not above_ceiling([row(2, 0.54), row(3, 0.36)])
    assert not above_ceiling([row(2, 0.52), row(3, 0.9)])


def run(folder: Path, seed: int = 0) -> Run:
    return Run(name="a", folder=folder, config="c.py", settings=("x=1",), threads=1, seed=seed)


def test_only_the_same_training_is_taken_over(tmp_path):
    assert not run(tmp_path).complete()
    (tmp_path / "complete.json").write_text(json.dumps({"key": run(tmp_path).key()}))
    assert run(tmp_path).complete()
    assert not run(tmp_path, seed=1).complete()
