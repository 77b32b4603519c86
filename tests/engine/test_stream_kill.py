"""Training from a mixture of shards and a list, killed again and again, ends with the weights of a run never killed."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_kill import finish, progress, start

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

from shard_files import SLOTS, add, write_shards  # noqa: E402

KILLS = 4
STEPS = 60


def make_data(folder):
    """Shards of uneven sizes with a sample that cannot be read, and a manifest."""
    import tarfile

    write_shards(folder, [7, 20, 13, 3])
    with tarfile.open(folder / "part-001.tar", "a") as archive:
        add(archive, "bad.left.npy", b"not numbers")
    rows = [f'{{"left": {[float(i % 7)] * 8}, "word": "{chr(97 + i % 26)}b"}}' for i in range(11)]
    (folder / "m.jsonl").write_text("\n".join(rows))
    shards = {"type": "webdataset", "shards": str(folder), **SLOTS}
    rows = {"type": "manifest", "path": str(folder / "m.jsonl"), "slots": {"left": "left", "word": "word"},
            "modalities": SLOTS["modalities"]}  # fmt: skip
    return {"type": "mixed", "sources": {"shards": shards, "rows": rows}, "ratios": {"shards": 3, "rows": 1}}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_sigkill_at_random_steps_of_a_stream_changes_nothing(make_config, tmp_path, workers):
    from omni import config as configs

    made = make_config(
        on_bad="skip",
        objectives=[{"type": "info_nce", "slots": ["left", "word"]}],
        default_hooks={"checkpoint": {"interval": 2}},
        stages=[{"name": "align", "max_iters": STEPS // 2}, {"name": "heads", "max_iters": STEPS // 2}],
    )
    made["model"].update(slots={"left": "stripe", "word": "word"}, missing=[])
    made["processor"] = {"left": {"modality": "stripe"}, "word": {}}
    data = make_data(tmp_path / "data")
    made["train_dataloader"] = {"dataset": data, "batch_size": 6, "num_workers": workers, "slot_dropout": {"left": 0.1}}
    configs.dump(made, tmp_path / "run.py")
    finish(start(tmp_path / "run.py", tmp_path / "whole"))

    rng, killed, more = random.Random(workers), 0, ()
    while killed < KILLS:
        process = start(tmp_path / "run.py", tmp_path / "parts", *more)
        goal = progress(tmp_path / "parts") + rng.randint(1, STEPS // (KILLS + 1) - 1)
        while progress(tmp_path / "parts") < goal and process.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.05)
        assert process.poll() is None, process.communicate()[0]
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed, more = killed + 1, ("--resume",)
    finish(start(tmp_path / "run.py", tmp_path / "parts", "--resume"))
    whole, parts = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert [name for name, value in whole.items() if not torch.equal(value, parts[name])] == []
    lists = [(tmp_path / name / "bad_items.jsonl").read_text() for name in ("whole", "parts")]
    assert lists[0] == lists[1] and lists[0].count("\n") == 1
