"""Whole sharded runs on two processes end where one process ends; checkpoints go from one to the other."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file

HERE = Path(__file__).parent
STEPS = 8
CASES = {"plain": 2e-6, "stages": 2e-6, "bfloat16": 1e-4}  # how far apart weights may be


class Killed(Exception):
    pass


def config(case, *, processes, folder):
    """The config of a case; two processes take half of each batch."""
    from toy_training import base_config

    made = base_config(
        default_hooks={"checkpoint": {"interval": 4}, "logger": {"interval": 1}},
        train_cfg={"max_iters": STEPS, "val_interval": 4},
        ema={"decay": 0.9},
    )
    made["model"].update(drop_path=0.0, layer_scale=0.5)  # at 1e-6 all summaries start alike, and ranks are noise
    made["train_dataloader"]["batch_size"] = 12 // processes
    made["val_dataloader"] = {"dataset": {"type": "toy_triples", "size": 5, "seed": 1}, "batch_size": 2}
    made["val_evaluator"] = [{"type": "retrieval", "query": ["left"], "target": "word", "label": "class"}]
    # a large eps: Adam divides rounding noise by itself where gradients vanish
    made["optim_wrapper"] = {
        "optimizer": {"type": "AdamW", "lr": 3e-3, "eps": 1e-2}, "clip_grad": {"max_norm": 1.0},
        "accumulative_counts": 2,
    }  # fmt: skip
    if processes == 2:
        made["strategy"] = {"type": "fsdp"}
    if case == "bfloat16":
        made["optim_wrapper"]["dtype"] = "bfloat16"
    if case == "stages":
        made["load_from"] = str(folder / "one" / "plain" / "model")
        made["load_except"] = ["adapters.word"]
        made["stages"] = [
            {"name": "align", "max_iters": 4},
            {"name": "heads", "max_iters": 4, "freeze": ["adapters.stripe", "core", "!core.layers.*.experts.word"],
             "cache": ["left", "right"]},
        ]  # fmt: skip
        made["export"] = "best"
        made["default_hooks"]["checkpoint"]["save_best"] = retrieval_numbers(folder)[0]
    return made


def retrieval_numbers(folder):
    lines = (folder / "one" / "plain" / "scalars.jsonl").read_text().splitlines()
    record = next(item for item in map(json.loads, lines) if item["kind"] == "val")
    return [key for key in record if key not in ("stage", "kind", "step") and not key.startswith("val_")]


def start_toys():
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    import toy_modalities
    import toy_training

    from omni.plugin import catalog

    catalog.reset()
    catalog.register(toy_modalities, "toy_modalities")
    catalog.register(toy_training, "toy_training")


def stop_at(step):
    """A run that stops dead after a step; returns what undoes it."""
    from omni.engine import hooks

    original = hooks.RecordHook.after_train_iter

    def after(self, runner, *args, **kwargs):
        if runner.iter + 1 == step:
            raise Killed
        original(self, runner, *args, **kwargs)

    hooks.RecordHook.after_train_iter = after
    return lambda: setattr(hooks.RecordHook, "after_train_iter", original)


def stopped(made, folder, step):
    from omni.engine import train

    undo = stop_at(step)
    try:
        with pytest.raises(Killed):
            train(made, work_dir=folder, quiet=True)
    finally:
        undo()


def worker(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=90))  # fail, do not hang
    start_toys()
    from omni.engine import train

    for case in CASES:
        train(config(case, processes=2, folder=folder), work_dir=folder / "two" / case, quiet=True)
    made = config("plain", processes=2, folder=folder)
    stopped(made, folder / "two" / "crossed", 5)
    if rank == 0:
        shutil.copytree(folder / "two" / "crossed", folder / "two" / "resumed")
    dist.barrier()
    train(made, work_dir=folder / "two" / "resumed", resume=True, quiet=True)
    result = train(made, work_dir=folder / "one" / "crossed", resume=True, quiet=True)
    assert result.model.training is False and not any(hasattr(p, "to_local") for p in result.model.parameters())
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    from test_processes import free_port

    from omni.engine import train
    from omni.plugin import catalog

    folder = tmp_path_factory.mktemp("runs")
    start_toys()
    for case in CASES:
        train(config(case, processes=1, folder=folder), work_dir=folder / "one" / case, quiet=True)
    made = config("plain", processes=1, folder=folder)
    stopped(made, folder / "one" / "crossed", 5)
    mp.spawn(worker, args=(free_port(), folder), nprocs=2)
    train(made, work_dir=folder / "two" / "crossed", resume=True, quiet=True)
    yield folder
    catalog.reset()


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def distance(a, b):
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def numbers(folder, *names):
    lines = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
    first = ("stage", "kind", "step")
    return [[*(line[key] for key in first), *(line[name] for name in names if name in line)] for line in lines]


def start_weights():
    from omni.core.model import ModelConfig, OmniModel
    from omni.engine import seeding

    seeding.seed_everything(0, "init")
    made = config("plain", processes=1, folder=None)
    return OmniModel(ModelConfig.from_dict(made["model"])).state_dict()


@pytest.mark.parametrize("case", CASES)
def test_two_processes_end_where_one_does(runs, case):
    one, two = runs / "one" / case, runs / "two" / case
    assert distance(weights(one), weights(two)) < CASES[case]
    assert distance(weights(one), start_weights()) > 10 * CASES[case]
    expected, found = (numbers(path, "loss", "grad_norm", *retrieval_numbers(runs)) for path in (one, two))
    assert len(expected) == len(found) > STEPS
    for a, b in zip(expected, found, strict=True):
        assert a[:3] == b[:3] and a[3:] == pytest.approx(b[3:], rel=2e-2 if case == "bfloat16" else 1e-4, abs=1e-6)


def test_a_stopped_run_goes_on_bit_for_bit(runs):
    assert distance(weights(runs / "two" / "plain"), weights(runs / "two" / "resumed")) == 0.0
    log = (runs / "two" / "resumed" / "checkpoints" / "train" / "log.txt").read_text()
    assert "resumed from" in log


def test_checkpoints_go_from_one_process_to_two_and_back(runs):
    for name in ("one", "two"):
        assert distance(weights(runs / "one" / "plain"), weights(runs / name / "crossed")) < 2e-6


def test_checkpoints_hold_whole_plain_tensors(runs):
    from omni.engine import checkpoint

    one, two = (
        checkpoint.load(runs / name / "plain" / "checkpoints" / "train" / f"step_{STEPS:08d}.pth")
        for name in ("one", "two")
    )
    shapes = [
        {
            "weights": {key: value.shape for key, value in state["state_dict"].items()},
            "average": {key: value.shape for key, value in state["ema"]["average"].items()},
            "optimizer": {
                (index, key): getattr(value, "shape", None)
                for index, entries in state["optimizer"]["state"].items()
                for key, value in entries.items()
            },
        }
        for state in (one, two)
    ]
    assert shapes[0] == shapes[1] and len(shapes[0]["optimizer"]) > 50


def test_the_folder_loads_whole_and_in_part(runs):
    import omni

    folder = runs / "two" / "plain" / "model"
    words = omni.load(folder).encode(word=["ad", "be"])["word"]
    again = omni.load(folder, slots=["word"]).encode(word=["ad", "be"])["word"]
    assert words.shape == (2, 8) and torch.equal(words, again)
