"""Several processes of one job, as torchrun starts them: who am I, how many are we, wait for each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

PATIENCE = timedelta(days=30)  # a dead process ends the others through torchrun, not by running out of time


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those of the job: its rank, and how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            import torch.distributed as dist

            dist.barrier()


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join the processes that torchrun started (over gloo: only barriers are needed); alone without torchrun."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    if "RANK" not in os.environ or world == 1:
        yield Processes()
        return
    import torch.distributed as dist

    started_here = not dist.is_initialized()
    if started_here:
        dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Processes(rank=dist.get_rank(), world=dist.get_world_size())
    finally:
        if started_here:
            dist.destroy_process_group()


def own_device(device: str | None) -> str | None:
    """The device of this process: where several share a machine and none is named by number, each has its own GPU."""
    import torch

    if "LOCAL_RANK" not in os.environ or device not in (None, "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
