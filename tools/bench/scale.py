"""Training on two processes (gloo, one thread each) beside torch's own DDP and FSDP2 in bare loops."""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from omni.engine.model_wrapper import TrainingModel
from omni.engine.sharded import ShardedStrategy
from omni.engine.shards import blocks_of
from omni.engine.strategy import WholeStrategy
from omni.types import Batch
from tools.bench.timing import row

CONFIG = "omni:configs/examples/three_slots.py"
OPTIMIZER = {"optimizer": {"type": "AdamW", "lr": 1e-3}, "clip_grad": {"max_norm": 1.0}}


def bench_two_processes(*, batch: int = 16, rounds: int = 12) -> list[dict[str, Any]]:
    """A step of the three-slot example (forward, backward, clipping, AdamW), all three run alternately.

    Args:
        batch: samples of each process.
        rounds: timed rounds; the median of the first process counts.

    Returns:
        two rows: ``ddp`` and ``fsdp`` (both through mmengine's optimizer wrapper), each beside what torch itself has of
        the kind over the same module and loss. On two processor cores sharding can only cost against DDP: the second
        row has the bare DDP's time too, as ``ddp_s``.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_worker, args=(port, folder, batch, rounds), nprocs=2)
        times = torch.load(Path(folder) / "times.pt", weights_only=True)
    rows = []
    for name, peer, what in (("ddp", "bare", "DDP"), ("fsdp", "bare_sharded", "FSDP2")):
        title = f"a step on two gloo processes, strategy {name}, against torch's own {what}"
        reached = times[name] <= 1.1 * times[peer]
        made = row(title, times[name], times[peer], target=f"<= 1.1 x bare {what}", reached=reached)
        rows.append(made | {"ddp_s": times["bare"]})
    return rows


def _worker(rank: int, port: int, folder: str, batch: int, rounds: int) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    data = _batch(batch, rank)
    steps = {
        "bare": _bare(data),
        "ddp": _ours(WholeStrategy, data),
        "bare_sharded": _bare_sharded(data),
        "fsdp": _ours(ShardedStrategy, data),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 3):
        for name, step in steps.items():
            dist.barrier()
            start = time.perf_counter()
            step()
            if number >= 3:
                times[name].append(time.perf_counter() - start)
    if rank == 0:
        torch.save({name: statistics.median(values) for name, values in times.items()}, Path(folder) / "times.pt")
    dist.barrier()
    dist.destroy_process_group()


def _wrapper() -> TrainingModel:
    from omni import config as configs
    from omni.core.model import ModelConfig, OmniModel
    from omni.engine.building import build_objectives

    config = configs.load(CONFIG)
    torch.manual_seed(0)
    model = OmniModel(ModelConfig.from_dict(config["model"]))
    return TrainingModel(model, build_objectives(config["objectives"], model)).train()


def _batch(size: int, rank: int) -> Batch:
    """Each modality's own sample value, ``size`` times; the pictures and sounds get noise of their own."""
    from omni import config as configs
    from omni.data.processor import Processor
    from omni.plugin.catalog import get_catalog
    from omni.types import Sample

    catalog = get_catalog()
    processor = Processor(configs.load(CONFIG)["processor"])
    specs = {slot: catalog.get("modality", kind).spec for slot, kind in processor.modalities.items()}
    values = {slot: catalog.resolve(spec.sample)() for slot, spec in specs.items()}
    samples = [Sample(id=f"{rank}-{n}", values=values, targets={"class": 2 * n + rank}) for n in range(size)]
    made = processor.collate([(sample, processor(sample)) for sample in samples])
    generator = torch.Generator().manual_seed(rank)
    for inputs in made.inputs.values():
        for key, value in inputs.items():
            if value.is_floating_point():
                inputs[key] = value + 0.1 * torch.randn(value.shape, generator=generator)
    return made


def _bare(data: Batch) -> Callable[[], None]:
    wrapper = _wrapper()
    return _bare_step(DistributedDataParallel(wrapper), wrapper, data)


def _bare_sharded(data: Batch) -> Callable[[], None]:
    """FSDP2 with a group for each block and one for the rest, as the strategy has them."""
    wrapper = _wrapper()
    scalars = {parameter for parameter in wrapper.parameters() if parameter.ndim == 0}
    options = {"mesh": init_device_mesh("cpu", (2,)), "ignored_params": scalars}
    for block in blocks_of(wrapper):
        fully_shard(block, **options)
    return _bare_step(fully_shard(wrapper, **options), wrapper, data)


def _bare_step(model: Any, wrapper: TrainingModel, data: Batch) -> Callable[[], None]:
    """Forward, backward, clipping, AdamW. Scalars are no DTensors under FSDP2, so each kind is clipped by itself."""
    kinds = [[p for p in wrapper.parameters() if (p.ndim == 0) == scalar] for scalar in (False, True)]
    optimizers = [torch.optim.AdamW(group, lr=1e-3, fused=True) for group in kinds]

    def step() -> None:
        model(batch=data, mode="loss")["loss"].backward()
        for group, optimizer in zip(kinds, optimizers, strict=True):
            torch.nn.utils.clip_grad_norm_(group, 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return step


def _ours(kind: type[WholeStrategy], data: Batch) -> Callable[[], None]:
    strategy = kind(device=torch.device("cpu"))
    placed = strategy.place(_wrapper())
    optim_wrapper = strategy.optim_wrapper(OPTIMIZER, placed)
    model: Any = strategy.wrap(placed)
    return lambda: model.train_step(data, optim_wrapper)
