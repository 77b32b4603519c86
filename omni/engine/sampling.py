"""Which samples make up which batch: a function of seed, step and rank, so that resuming needs no skipping."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from omni.data.buckets import bucketed_order
from omni.engine import seeding

Draw = tuple[int, int]  # (epoch, index in the data set)


class EpochBatchSampler(Sampler[list[Draw]]):
    """Endless batches: every epoch is a new permutation; a remainder smaller than the global batch is left out.

    The global batch of all processes is a run of the permutation; each process takes its own part of it in rank order,
    so that W processes of B samples see what one process of W x B would see.

    Args:
        size: samples in the data set.
        batch_size: of this process. A data set smaller than the global batch makes one batch an epoch.
        seed: of the permutations.
        shuffle: False = in the data set's order.
        rank, world: of this process, and how many there are.

    Attributes:
        start: number of the first batch that iteration gives; set it to resume.
    """

    def __init__(
        self, size: int, *, batch_size: int, seed: int, shuffle: bool = True, rank: int = 0, world: int = 1
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world = world
        self.start = 0
        self.batches_per_epoch = max(1, size // (batch_size * world))
        self.global_batch = min(size, batch_size * world)

    def __len__(self) -> int:
        return self.batches_per_epoch

    def order(self, epoch: int) -> Tensor:
        """(size,) indices of an epoch."""
        if not self.shuffle:
            return torch.arange(self.size)
        return torch.randperm(self.size, generator=seeding.generator(self.seed, "order", epoch))

    def __iter__(self) -> Iterator[list[Draw]]:
        step, epoch, order = self.start, -1, torch.empty(0, dtype=torch.int64)
        while True:
            if step // self.batches_per_epoch != epoch:
                epoch = step // self.batches_per_epoch
                order = self.order(epoch)
            at = step % self.batches_per_epoch * self.global_batch
            chosen = order[at : at + self.global_batch].tensor_split(self.world)[self.rank]
            yield [(epoch, index) for index in chosen.tolist()]
            step += 1


class BucketBatchSampler(EpochBatchSampler):
    """Batches of samples of like length (see omni.data.buckets); every global batch is, over all processes.

    Args:
        lengths: of all samples, by index.
        pool: global batches of a pool.
        batch_size, seed, shuffle, rank, world: as of EpochBatchSampler.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        *,
        pool: int,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(len(lengths), batch_size=batch_size, seed=seed, shuffle=shuffle, rank=rank, world=world)
        self.lengths = lengths
        self.pool = pool

    def order(self, epoch: int) -> Tensor:
        """(size,) indices of an epoch."""
        seed = seeding.mix(self.seed, "buckets", epoch) if self.shuffle else None
        order = super().order(epoch).numpy()
        return torch.from_numpy(bucketed_order(order, self.lengths, batch=self.global_batch, pool=self.pool, seed=seed))


class EvaluationSampler(Sampler[list[Draw]]):
    """The whole data set once, in order, in batches; each process takes a contiguous part."""

    def __init__(self, size: int, *, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.mine = torch.arange(size).tensor_split(world)[rank].tolist()
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.mine) // self.batch_size)

    def __iter__(self) -> Iterator[list[Draw]]:
        for at in range(0, len(self.mine), self.batch_size):
            yield [(0, index) for index in self.mine[at : at + self.batch_size]]


def keep_slots(present_BZ: Tensor, rates_Z: Tensor, generator: torch.Generator) -> Tensor:
    """Slot dropout: which slots of which samples stay.

    Args:
        present_BZ: (B, Z) bool, the Z slots that each sample has.
        rates_Z: (Z,) chance of dropping each.
        generator: CPU generator.

    Returns:
        (B, Z) bool, a subset of ``present_BZ``. A sample that would lose every slot keeps one, chosen at random.
    """
    kept = present_BZ & (torch.rand(present_BZ.shape, generator=generator) >= rates_Z)
    spare = torch.rand(present_BZ.shape, generator=generator).masked_fill(~present_BZ, -1.0).argmax(1, keepdim=True)
    one = torch.zeros_like(kept).scatter(1, spare, True) & present_BZ
    return torch.where(kept.any(1, keepdim=True), kept, one)
