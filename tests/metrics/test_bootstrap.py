"""Bootstrap intervals: against scipy, the binomial, and clusters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni.errors import ConfigError
from omni.metrics.bootstrap import Bootstrap, bootstrap_intervals
from omni.metrics.retrieval import retrieval_numbers


def width(interval):
    return interval.high - interval.low


def test_the_mean_agrees_with_scipy_and_with_the_binomial():
    from scipy.stats import bootstrap, norm

    hits = (torch.rand(2000, generator=torch.Generator().manual_seed(0)) < 0.3).double()
    found = bootstrap_intervals({"r1": hits}, bootstrap=Bootstrap(resamples=2000))["r1"]
    peer = bootstrap((hits.numpy(),), np.mean, n_resamples=2000, method="percentile", rng=0).confidence_interval
    assert found.low == pytest.approx(peer.low, abs=0.002) and found.high == pytest.approx(peer.high, abs=0.002)
    error = float(hits.mean() * (1 - hits.mean()) / 2000) ** 0.5
    assert width(found) == pytest.approx(2 * norm.ppf(0.975) * error, rel=0.06)


def test_the_median_agrees_with_scipy():
    from scipy.stats import bootstrap

    ranks = torch.randint(1, 60, (301,), generator=torch.Generator().manual_seed(0))
    found = bootstrap_intervals({}, {"median_rank": ranks}, bootstrap=Bootstrap(resamples=2000))["median_rank"]
    peer = bootstrap((ranks.numpy(),), np.median, n_resamples=2000, method="percentile", rng=0).confidence_interval
    assert abs(found.low - peer.low) <= 1 and abs(found.high - peer.high) <= 1


def test_clusters_widen_the_interval_by_the_root_of_their_size():
    """Five equal queries a cluster hold what one holds."""
    one = (torch.rand(300, generator=torch.Generator().manual_seed(0)) < 0.4).double()
    five = one.repeat_interleave(5)
    cluster = torch.arange(300).repeat_interleave(5) * 7
    naive = bootstrap_intervals({"r1": five}, bootstrap=Bootstrap())["r1"]
    honest = bootstrap_intervals({"r1": five}, bootstrap=Bootstrap(), cluster_Q=cluster)["r1"]
    alone = bootstrap_intervals({"r1": one}, bootstrap=Bootstrap())["r1"]
    assert width(honest) == pytest.approx(width(alone), rel=1e-12)
    assert width(honest) / width(naive) == pytest.approx(5**0.5, rel=0.15)


def test_it_covers_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(200):
        hits = (torch.rand(150, generator=generator) < 0.4).double()
        found = bootstrap_intervals({"x": hits}, bootstrap=Bootstrap(resamples=200, confidence=0.9))["x"]
        inside += found.low <= 0.4 <= found.high
    assert abs(inside / 200 - 0.9) < 4 * (0.9 * 0.1 / 200) ** 0.5


def test_seeds_and_settings():
    values = {"x": torch.arange(50.0)}
    first, again, other = (bootstrap_intervals(values, bootstrap=Bootstrap(seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert bootstrap_intervals(values, bootstrap=Bootstrap(resamples=0)) == {}
    narrow = bootstrap_intervals(values, bootstrap=Bootstrap(confidence=0.5, seed=1))
    assert width(narrow["x"]) < width(first["x"])
    for wrong in ({"resamples": -1}, {"confidence": 1.0}):
        with pytest.raises(ConfigError, match="bootstrap"):
            Bootstrap(**wrong)


def test_retrieval_numbers_carry_them():
    ranks = torch.tensor([1, 1, 2, 9, 30] * 20)
    numbers = retrieval_numbers(ranks, candidates=40, ks=(1, 5), precision_Q=1 / ranks.double(), bootstrap=Bootstrap())
    assert set(numbers.intervals) == {"r1", "r5", "map", "median_rank"}
    for name, value in (("r1", 0.4), ("r5", 0.6), ("map", numbers.mean_average_precision), ("median_rank", 2.0)):
        assert numbers.intervals[name].low <= value <= numbers.intervals[name].high
    assert numbers.to_dict()["map"] == pytest.approx((1 + 1 + 1 / 2 + 1 / 9 + 1 / 30) / 5)
    with pytest.raises(ConfigError, match="cut-offs"):
        retrieval_numbers(ranks, candidates=40, ks=(0, 5))
