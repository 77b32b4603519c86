"""tools/trace_sample.py: every stage of the way of the data, in order, for a modality of the tests' own."""

from __future__ import annotations

import numpy as np


def test_stages_and_shapes(toy_plugin, tmp_path):
    from tools.trace_sample import trace

    np.save(tmp_path / "a.npy", np.arange(8, dtype=np.float32))
    steps = trace("stripe", value=str(tmp_path / "a.npy"))
    assert [stage for stage, _, _ in steps] == [
        "raw sample", "loader", "transform", "collate", "adapter", "core", "pooled", "projection", "objective",
    ]  # fmt: skip
    shown = {stage: what for stage, _, what in steps}
    assert "a.npy" in shown["raw sample"] and "(8,)" in shown["loader"] and "(2, 4) float32" in shown["transform"]
    assert "(2, 5, 4)" in shown["collate"] and "[3, 6] real" in shown["adapter"]
    assert "(2, 6, 64)" in shown["core"] and "[1.0, 1.0]" in shown["projection"] and "loss" in shown["objective"]
    assert [stage for stage, _, _ in trace("word")][0] == "raw value"


def test_mistakes_leave_with_a_sentence(toy_plugin, capsys):
    from tools.trace_sample import main

    assert main(["strpe"]) == 2
    assert "Did you mean 'stripe'" in capsys.readouterr().err
