"""Fully sharded training computes what one process computes; a process that lacks a slot keeps step with the others."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

MASKED = [
    {"type": "denoising", "slots": ["right"], "masks": {"right": {"ratio": 0.5}}},
    {"type": "denoising", "slots": ["left", "word"], "masks": {"left": {"ratio": 0.5}, "word": {"ratio": 0.5}},
     "teacher": ["left", "word", "right"]},
    {"type": "info_nce", "slots": ["left", "right"]},
]  # fmt: skip
DECODER = {"width": 8, "num_layers": 1, "num_heads": 2, "ffn_width": 12}
FREEZE = ["adapters.stripe", "core.layers.0"]


def gradients(module):
    from omni.engine.shards import whole

    return {name: whole(p.grad).clone() for name, p in module.named_parameters() if p.grad is not None}


def run(model, placed, batch):
    losses = model(batch=batch, mode="loss")
    losses["loss"].backward()
    found = {
        "parts": {name: float(value.detach()) for name, value in losses.items()},
        "gradients": gradients(placed),
    }
    placed.zero_grad(set_to_none=True)
    return found


def worker(rank, port, folder):
    from test_processes import build

    from omni.engine.freeze import apply_freeze
    from omni.engine.sharded import ShardedStrategy
    from omni.engine.sharded_optim import ShardedOptimWrapper
    from omni.engine.strategy import TrainingDDP

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=90))  # fail, do not hang
    found = {}
    for case in ("plain", "masked", "frozen", "one_group"):
        wrapper, batch = build(MASKED, decoder=DECODER) if case in ("masked", "frozen") else build()
        if case == "frozen":
            apply_freeze(wrapper.model, FREEZE)
        mine = batch(0, 8) if rank == 0 else batch(8, 14)
        ddp = TrainingDDP(wrapper)  # alive until the backward pass: it owns the hooks that average
        expected = run(ddp, wrapper, mine)
        del ddp
        strategy = ShardedStrategy(device=torch.device("cpu"), blocks=case != "one_group", reshard=case != "masked")
        placed = strategy.place(wrapper)
        optim = strategy.optim_wrapper({"optimizer": {"type": "SGD", "lr": 0.1}}, placed)
        assert isinstance(optim, ShardedOptimWrapper)
        held = sum(rows.numel() for rows, _ in optim.pairs)
        found[case] = {"ddp": expected, "fsdp": run(placed, placed, mine), "again": run(placed, placed, mine)}
        found[case]["share"] = held / sum(p.numel() for _, p in optim.pairs)
        average_scalars(found[case], wrapper)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def average_scalars(found, wrapper):
    """What the optimizer wrapper does in its step: scalars are no part of FSDP2."""
    for name in ("fsdp", "again"):
        for value in found[name]["gradients"].values():
            if value.ndim == 0:
                dist.all_reduce(value)
                value /= 2


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    from test_processes import free_port

    folder = tmp_path_factory.mktemp("sharded")
    mp.spawn(worker, args=(free_port(), str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", ["plain", "masked", "frozen", "one_group"])
def test_losses_and_gradients_are_those_of_ddp(results, case):
    for result in results:
        expected = result[case]["ddp"]
        for name in ("fsdp", "again"):  # again: nothing of the first pass is left over
            one = result[case][name]
            assert one["parts"] == pytest.approx(expected["parts"], abs=1e-10)
            assert one["gradients"].keys() == expected["gradients"].keys()
            wrong = {
                key: float((one["gradients"][key] - value).abs().max())
                for key, value in expected["gradients"].items()
                if not torch.allclose(one["gradients"][key], value, atol=1e-10, rtol=1e-9)
            }
            assert not wrong
        assert 0.4 < result[case]["share"] < 0.62  # each holds about half of what trains


def test_the_plain_case_is_that_of_one_process(results):
    from test_processes import build, result

    wrapper, batch = build()
    losses = wrapper(batch(0, 14))
    losses["loss"].backward()
    expected = result(wrapper, losses)
    for one in results:
        assert one["plain"]["fsdp"]["parts"] == pytest.approx(expected["parts"], abs=1e-10)
        for name, value in expected["gradients"].items():
            assert torch.allclose(one["plain"]["fsdp"]["gradients"][name], value, atol=1e-10, rtol=1e-9), name
    from omni.plugin import catalog

    catalog.reset()


def test_the_masked_case_has_a_process_without_the_slot(results):
    assert results[0]["masked"]["fsdp"]["parts"]["denoising/count_right"] > 0
    assert results[1]["masked"]["fsdp"]["parts"]["denoising/count_right"] == 0
