"""Bootstrap intervals of means and medians over queries: percentile intervals (Efron, 1979), seeded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from omni.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Both ends."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How to resample.

    Attributes:
        resamples: how many; 0 = no intervals.
        confidence: of the interval, in (0, 1).
        seed: of the draws; the same seed gives the same interval.
    """

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 0 or not 0 < self.confidence < 1:
            raise ConfigError(
                f"bootstrap: resamples={self.resamples} must be 0 or more and confidence={self.confidence} in (0, 1)."
            )


def bootstrap_intervals(
    means: Mapping[str, Tensor],
    medians: Mapping[str, Tensor] | None = None,
    *,
    bootstrap: Bootstrap,
    cluster_Q: Tensor | None = None,
) -> dict[str, Interval]:
    """Percentile intervals of the mean of each of ``means`` and the median of each of ``medians``.

    Queries that belong together (five captions of one picture) are drawn together, as one cluster: drawn apart, they
    would pass for independent and the interval would be too narrow.

    Args:
        means, medians: name -> (Q,) values.
        cluster_Q: (Q,) int64; None = every query on its own.

    Returns:
        name -> Interval; nothing if there are no resamples.
    """
    values = {**means, **(medians or {})}
    count = len(next(iter(values.values()))) if values else 0
    if not bootstrap.resamples or not count:
        return {}
    member_Q = torch.arange(count) if cluster_Q is None else torch.unique(cluster_Q, return_inverse=True)[1]
    clusters = int(member_Q.max()) + 1
    stacked_QM = (
        torch.stack([value.double() for value in means.values()], 1) if means else torch.zeros(count, 0).double()
    )
    ordered = [torch.sort(value.double()) for value in (medians or {}).values()]
    generator = torch.Generator().manual_seed(bootstrap.seed)
    drawn = torch.empty(bootstrap.resamples, len(values), dtype=torch.float64)
    for number in range(bootstrap.resamples):
        picked = torch.randint(clusters, (clusters,), generator=generator)
        weight_Q = torch.bincount(picked, minlength=clusters)[member_Q]
        drawn[number, : len(means)] = (weight_Q.double() @ stacked_QM) / weight_Q.sum()
        for place, (rising_Q, order_Q) in enumerate(ordered, len(means)):
            drawn[number, place] = _weighted_median(rising_Q, weight_Q[order_Q])
    tail = (1 - bootstrap.confidence) / 2
    ends = drawn.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64), dim=0)
    return {name: Interval(low=float(ends[0, i]), high=float(ends[1, i])) for i, name in enumerate(values)}


def _weighted_median(rising_Q: Tensor, weight_Q: Tensor) -> float:
    """The median of the values, each repeated as often as its whole-numbered weight says."""
    reach_Q = weight_Q.cumsum(0)
    total = int(reach_Q[-1])
    middle = torch.tensor([(total - 1) // 2, total // 2])
    return float(rising_Q[torch.searchsorted(reach_Q, middle, right=True)].mean())
