"""Sampling balanced over groups: each group gets the same share of the draws, or a power of its size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from omni.config_schema import SAMPLERS, known
from omni.data.shuffling import mix, permutation, weighted_choices
from omni.engine.sampling import Draw, EpochBatchSampler
from omni.errors import ConfigError
from omni.plugin.suggest import did_you_mean
from omni.types import Sample

BLOCK = 1 << 20


class BalancedBatchSampler(EpochBatchSampler):
    """Endless batches in which the groups come in fixed shares, whatever their sizes in the data set.

    Which group comes next follows a golden-ratio sequence, so that every stretch of draws, a batch too, has the shares
    to within a few draws. A group is gone through in a random order, each sample once, before it begins again in
    another one; a small group so comes several times an epoch, a large one may need several epochs. Each round of a
    group has its own augmentation.

    An epoch is nominal: as many draws as there are samples. The processes take disjoint parts of each global batch.

    Args:
        groups: (size,) number of each sample's group.
        power: shares are proportional to (size of the group) ** power: 0 = all alike, 1 = as in the data set.
        batch_size, seed, shuffle, rank, world: as of EpochBatchSampler; without shuffle each group keeps its order.
    """

    def __init__(
        self,
        groups: np.ndarray,
        *,
        power: float = 0.0,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(len(groups), batch_size=batch_size, seed=seed, shuffle=shuffle, rank=rank, world=world)
        self.global_batch = batch_size * world
        self.members = [np.flatnonzero(groups == number) for number in range(int(groups.max()) + 1)]
        sizes = np.array([len(item) for item in self.members], np.float64)
        self.shares = sizes**power / (sizes**power).sum()
        self._orders: dict[int, tuple[int, np.ndarray]] = {}  # of each group the last round's

    def __iter__(self) -> Iterator[list[Draw]]:
        """Batches of (round of the group, index) draws."""
        step = self.start
        given = self._given(step * self.global_batch)
        while True:
            chosen = weighted_choices(self.shares, self._choice_seed, step * self.global_batch, self.global_batch)
            rounds, indices = self._members(chosen, given)
            given += np.bincount(chosen, minlength=len(given))
            mine = np.array_split(np.arange(self.global_batch), self.world)[self.rank]
            yield [(int(rounds[at]), int(indices[at])) for at in mine]
            step += 1

    def order(self, epoch: int) -> Tensor:
        """Not used: an epoch is no permutation here."""
        raise NotImplementedError

    @property
    def _choice_seed(self) -> int:
        return mix(self.seed, "balanced")

    def _given(self, count: int) -> np.ndarray:
        """How many of the first ``count`` draws of all processes went to each group."""
        totals = np.zeros(len(self.members), np.int64)
        for at in range(0, count, BLOCK):
            chosen = weighted_choices(self.shares, self._choice_seed, at, min(BLOCK, count - at))
            totals += np.bincount(chosen, minlength=len(totals))
        return totals

    def _members(self, chosen: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) rounds and (N,) indices of draws, by their groups and what was drawn of each before."""
        rounds, indices = np.zeros_like(chosen), np.zeros_like(chosen)
        for group in np.unique(chosen):
            places = np.flatnonzero(chosen == group)
            members = self.members[group]
            turns, at = np.divmod(given[group] + np.arange(len(places)), len(members))
            rounds[places] = turns
            for turn in np.unique(turns):
                now = turns == turn
                indices[places[now]] = members[self._order(int(group), int(turn))[at[now]]]
        return rounds, indices

    def _order(self, group: int, turn: int) -> np.ndarray:
        known = self._orders.get(group)
        if known is None or known[0] != turn:
            size = len(self.members[group])
            order = permutation(size, mix(self.seed, "balanced", group, turn)) if self.shuffle else np.arange(size)
            known = self._orders[group] = (turn, order)
        return known[1]


def sampler_settings(config: Any, *, what: str) -> dict[str, Any] | None:
    """``by`` (a tuple of names) and ``power`` of ``sampler=dict(type="balanced", ...)``; None = no sampler.

    Raises:
        ConfigError: another type, no field, or a power that is no number of at least 0.
    """
    if config is None:
        return None
    kind = config.get("type") if isinstance(config, Mapping) else None
    if kind not in SAMPLERS:
        raise ConfigError(
            f"{what}: sampler is {config!r}; it must be a dictionary with a type, one of {', '.join(SAMPLERS)}."
            f"{did_you_mean(str(kind), SAMPLERS)}"
        )
    known(config, ("type", *SAMPLERS[kind]), f"{what}: sampler")
    by, power = config.get("by"), config.get("power", 0.0)
    names = (by,) if isinstance(by, str) else tuple(by or ())
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{what}: sampler needs `by`, a field of the samples' targets or metadata, or a list.")
    if isinstance(power, bool) or not isinstance(power, (int, float)) or not 0 <= power < float("inf"):
        raise ConfigError(f"{what}: sampler.power is {power!r}; 0 draws groups evenly, 1 by their size.")
    return {"by": names, "power": float(power)}


def group_numbers(samples: Iterable[Sample], by: Sequence[str]) -> np.ndarray:
    """(size,) int64, the number of each sample's group: samples with equal fields are one group.

    Raises:
        ConfigError: a sample lacks a field, or its value is no word or number.
    """
    numbers: dict[tuple[Any, ...], int] = {}
    found = [numbers.setdefault(tuple(_field(sample, name) for name in by), len(numbers)) for sample in samples]
    return np.asarray(found, np.int64)


def _field(sample: Sample, name: str) -> Any:
    source = sample.targets if name in sample.targets else sample.meta
    if name not in source:
        fields = [*sample.targets, *sample.meta]
        raise ConfigError(
            f"sampler: sample {sample.id!r} has no {name!r} in its targets or metadata; it has "
            f"{', '.join(fields) or 'none'}.{did_you_mean(name, fields)}"
        )
    value = source[name]
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    if not isinstance(value, (str, int, float, bool)):
        raise ConfigError(
            f"sampler: {name!r} of sample {sample.id!r} is a {type(value).__name__}; groups are told apart by a word "
            "or a number."
        )
    return value
