"""omni train --on-bad: training with a manifest in which some files are damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from omni.errors import InputError


@pytest.fixture
def config(toy_plugin, tmp_path):
    """A run over twelve rows; those at 3 and 8 cannot be read."""
    from omni import config as configs

    rows = []
    for index in range(12):
        length = 2 if index in (3, 8) else 12
        np.save(tmp_path / f"{index}.npy", np.sin(np.arange(length, dtype=np.float32) * (index + 1)))
        rows.append({"id": f"row {index}", "left": f"{index}.npy", "word": "abcdefghijkl"[index]})
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    slots = {"left": "left", "word": "word"}
    dataset = {"type": "manifest", "path": str(tmp_path / "m.jsonl"), "slots": slots, "modalities": {"left": "stripe"}}
    made = {
        "model": {"width": 16, "num_layers": 1, "num_heads": 2, "ffn_width": 24, "embedding_width": 8,
                  "slots": {"left": "stripe", "word": "word"}},
        "processor": {"left": {"modality": "stripe"}, "word": {}},
        "objectives": [{"type": "info_nce", "slots": ["left", "word"]}],
        "train_dataloader": {"dataset": dataset, "batch_size": 4},
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 1e-3}},
        "train_cfg": {"max_iters": 9},
    }  # fmt: skip
    configs.dump(made, tmp_path / "run.py")
    return tmp_path / "run.py"


def test_training_stops_at_a_bad_sample_or_leaves_it_out_and_lists_it(run, config, tmp_path):
    with pytest.raises(InputError, match="row [38].*at least 4 numbers"):
        run("train", config, "--work-dir", tmp_path / "a", "--quiet")
    out = run("train", config, "--work-dir", tmp_path / "b", "--on-bad", "skip")
    listed = [json.loads(line) for line in (tmp_path / "b/bad_items.jsonl").read_text().splitlines()]
    assert sorted((item["position"], item["id"], item["slot"]) for item in listed) == [
        (3, "row 3", "left"), (8, "row 8", "left"),
    ]  # fmt: skip
    assert (tmp_path / "b/model/model.safetensors").is_file() and "2 bad items left out" in out
