"""Gathering across processes with gradient, padded to the largest count.

Every process computes the same global loss on the gathered tensors. DistributedDataParallel averages gradients over the
processes, so the backward of a gather gives each process ``world_size`` times its own slice of the gradient: the
average is then exactly the gradient that one process would have had on the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number; 0 without torch.distributed."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = rows.shape[0]
        pieces = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(pieces, rows.contiguous())
        return torch.cat(pieces)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        start = rank() * ctx.count
        return gradient[start : start + ctx.count] * world_size()


@dataclass(frozen=True, kw_only=True)
class GatheredRows:
    """How the rows of all processes lie behind one another.

    Attributes:
        counts: rows of each process.
        longest: the largest of them: what each process's rows are padded to before a collective.
    """

    counts: tuple[int, ...]

    @property
    def longest(self) -> int:
        """The largest count."""
        return max(self.counts)

    def gather(self, rows: Tensor) -> Tensor:
        """(B, ...) of this process -> (N, ...) of all, in rank order and without the padding, with gradient."""
        if len(self.counts) == 1:
            return rows
        missing = self.longest - rows.shape[0]
        if missing:
            rows = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])
        if rows.dtype == torch.bool:  # not every backend moves bool
            padded = _GatherRows.apply(rows.to(torch.uint8)).bool()
        else:
            padded = _GatherRows.apply(rows)
        if all(count == self.longest for count in self.counts):
            return padded
        starts = [index * self.longest for index in range(len(self.counts))]
        return torch.cat([padded[at : at + count] for at, count in zip(starts, self.counts, strict=True)])


def agree_on_rows(count: int, device: torch.device) -> GatheredRows:
    """Exchange the batch sizes of all processes (they may differ). One small collective."""
    if world_size() == 1:
        return GatheredRows(counts=(count,))
    return GatheredRows(counts=tuple(_exchange(count, device)))


def largest(value: int, device: torch.device) -> int:
    """The largest of all processes' values. One small collective."""
    return value if world_size() == 1 else max(_exchange(value, device))


def mean_over_processes(values_K: Tensor, count: int) -> tuple[Tensor, int]:
    """Means over what all processes hold, with gradient, and how many things those are; zeros where nobody has any.

    Args:
        values_K: this process's means over its ``count`` things; of none, anything finite.
    """
    if world_size() == 1:
        return values_K * float(count > 0), count
    sums = torch.cat([values_K * count, values_K.new_tensor([count])])
    summed = GatheredRows(counts=(1,) * world_size()).gather(sums[None]).sum(0)
    total = int(summed[-1].detach())
    return summed[:-1] / max(total, 1), total


def _exchange(value: int, device: torch.device) -> list[int]:
    mine = torch.tensor([value], dtype=torch.int64, device=device)
    pieces = [torch.empty_like(mine) for _ in range(world_size())]
    dist.all_gather(pieces, mine)
    return [int(piece) for piece in pieces]
