"""Two processes compute the loss and the gradients of one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

HERE = Path(__file__).parent
TASK = {"type": "task", "slots": ["left", "right"], "head": "kind", "targets": ["class"]}
OBJECTIVES = [
    {"type": "symile", "slots": ["left", "right", "word"]},
    {"type": "info_nce", "slots": ["left", "right", "word"], "labels": "class", "scale": "own"},
    {"type": "joint_pair_sum", "slots": ["left", "right", "word"], "use_missing": False},
    {"type": "grouping_alignment", "slots": ["word", "left", "right"], "shared_width": 8},
    TASK,
    {
        "type": "task",
        "slots": ["left", "right"],
        "head": "kind",
        "targets": ["class"],
        "groups": [["right"], ["left", "right"]],
    },
]
HEADS = {"kind": {"type": "classification", "classes": 6}}


def build(objectives=OBJECTIVES, **changes):
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    import toy_modalities
    import toy_training
    from toy_training import base_config

    from omni.core.model import ModelConfig, OmniModel
    from omni.data.processor import Processor
    from omni.engine import seeding
    from omni.engine.building import build_objectives
    from omni.engine.items import BatchItems
    from omni.engine.model_wrapper import TrainingModel
    from omni.plugin import catalog

    catalog.reset()
    catalog.register(toy_modalities, "toy_modalities")
    catalog.register(toy_training, "toy_training")
    seeding.seed_everything(0)
    config = base_config()
    config["model"].update(drop_path=0.0, layer_scale=0.5, **{"heads": HEADS, **changes})
    model = OmniModel(ModelConfig.from_dict(config["model"]))
    wrapper = TrainingModel(model, build_objectives(objectives, model), seed=5).double()

    class Lopsided(toy_training.ToyTriples):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            if index >= 8:  # nothing of this slot in the second process, and shorter words than in the first
                del sample.values["right"]
                sample.values["word"] = sample.values["word"][:1]
            return sample

    def batch(start, stop):
        made = BatchItems(Lopsided(), Processor(config["processor"])).__getitems__([(0, i) for i in range(start, stop)])
        for values in made.inputs.values():
            values.update({key: value.double() for key, value in values.items() if value.is_floating_point()})
        return made

    return wrapper.train(), batch


def result(wrapper, losses):
    return {
        "loss": losses["loss"].detach(),
        "parts": {name: float(value.detach()) for name, value in losses.items()},
        "gradients": {name: p.grad.clone() for name, p in wrapper.named_parameters() if p.grad is not None},
    }


def worker(rank, port, split, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    wrapper, batch = build()
    start = 0 if rank == 0 else split[0]
    mine = batch(start, start + split[rank])

    from test_grad_cache import Plain

    from omni.engine import grad_cache
    from omni.engine.strategy import TrainingDDP

    model = TrainingDDP(wrapper)  # alive until the backward pass: it owns the hooks that average
    losses = model(batch=mine, mode="loss")
    losses["loss"].backward()
    found = {"ddp": result(wrapper, losses)}
    del model
    wrapper.zero_grad(set_to_none=True)
    losses = grad_cache.backward(wrapper, mine, Plain(), chunk=4)
    grad_cache.average_gradients(wrapper)
    found["grad_cache"] = result(wrapper, losses)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def free_port():
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def one_process():
    wrapper, batch = build()
    losses = wrapper(batch(0, 14))
    losses["loss"].backward()
    yield result(wrapper, losses)
    from omni.plugin import catalog

    catalog.reset()


def test_two_processes_equal_one(one_process, tmp_path):
    mp.spawn(worker, args=(free_port(), (8, 6), str(tmp_path)), nprocs=2)
    for rank in range(2):
        for one in torch.load(tmp_path / f"{rank}.pt").values():
            assert one["parts"] == pytest.approx(one_process["parts"], abs=1e-10)
            wrong = {
                name: float((one["gradients"][name] - value).abs().max())
                for name, value in one_process["gradients"].items()
                if not torch.allclose(one["gradients"][name], value, atol=1e-10, rtol=1e-9)
            }
            assert not wrong
