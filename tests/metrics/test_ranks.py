"""Ranks and average precision from tiles: against slow float64 loops, torchmetrics, and what must not score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omni.errors import InputError
from omni.metrics import ranks as module
from omni.metrics.ranks import Positives, positive_ranks, rank_positives

SHAPES = [(512, 4096), (1, 1), (7, 5), (64, 13), (3, 1000)]


def slow(queries, candidates, right_QC):
    """Best rank and average precision, one query at a time, float64, ties against the query."""
    best, precision = [], []
    for query, right in zip(queries.double().numpy(), right_QC.numpy(), strict=True):
        scores = candidates.double().numpy() @ query
        rising = sorted(scores[right], reverse=True)
        before = [int((scores[~right] >= score).sum()) for score in rising]
        best.append(1 + before[0])
        precision.append(np.mean([(i + 1) / (i + 1 + count) for i, count in enumerate(before)]))
    return best, precision


def labelled(queries=50, candidates=90, classes=6, width=12):
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(count, width, generator=generator) for count in (queries, candidates)]
    labels = torch.randint(0, classes, (queries,), generator=generator)
    return *made, labels, torch.randperm(candidates, generator=generator) % classes


@pytest.mark.parametrize("rows,columns", SHAPES)
@pytest.mark.parametrize("loop", [0, 100])
def test_classes_against_the_slow_reference(rows, columns, loop, monkeypatch):
    monkeypatch.setattr(module, "LOOP_MAX", loop)
    queries, candidates, labels, candidate_labels = labelled()
    positives = Positives.from_labels(labels, candidate_labels)
    found = rank_positives(queries, candidates, positives, rows=rows, columns=columns)
    best, precision = slow(queries, candidates, labels[:, None] == candidate_labels[None])
    assert found.best_Q.tolist() == best
    np.testing.assert_allclose(found.precision_Q.numpy(), precision, rtol=1e-12)


@pytest.mark.parametrize("budget", [1, 20, 2**20])
def test_ragged_pairs_in_any_order_and_twice(budget, monkeypatch):
    monkeypatch.setattr(module, "THRESHOLDS", budget)
    monkeypatch.setattr(module, "GATHERED", 12 * budget)
    queries, candidates, *_ = labelled()
    right_QC = torch.rand(50, 90, generator=torch.Generator().manual_seed(1)) < torch.linspace(0.02, 0.9, 50)[:, None]
    right_QC[torch.arange(50), torch.arange(50)] = True
    pairs = right_QC.nonzero()
    pairs = torch.cat([pairs, pairs[::3]])[torch.randperm(len(pairs) + len(pairs[::3]))]
    positives = Positives.from_pairs(pairs[:, 0], pairs[:, 1], queries=50)
    assert positives.count_Q.tolist() == right_QC.sum(1).tolist()
    found = rank_positives(queries, candidates, positives, rows=16, columns=11)
    best, precision = slow(queries, candidates, right_QC)
    assert found.best_Q.tolist() == best
    np.testing.assert_allclose(found.precision_Q.numpy(), precision, rtol=1e-12)


def test_against_torchmetrics():
    from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP, RetrievalMRR

    queries, candidates, labels, candidate_labels = labelled(queries=30)
    right_QC = labels[:, None] == candidate_labels[None]
    found = rank_positives(queries, candidates, Positives.from_labels(labels, candidate_labels))
    scores_QC = (queries @ candidates.T).sigmoid()
    index = torch.arange(30)[:, None].expand_as(scores_QC)
    given = (scores_QC.flatten(), right_QC.flatten())
    assert float(found.precision_Q.mean()) == pytest.approx(float(RetrievalMAP()(*given, index.flatten())), abs=1e-6)
    assert float((1 / found.best_Q).mean()) == pytest.approx(float(RetrievalMRR()(*given, index.flatten())), abs=1e-6)
    for k in (1, 3, 5):
        peer = RetrievalHitRate(top_k=k)(*given, index.flatten())
        assert float((found.best_Q <= k).float().mean()) == pytest.approx(float(peer), abs=1e-6)


def test_one_right_candidate_gives_the_reciprocal_rank():
    queries, candidates, *_ = labelled(queries=90)
    everyone = torch.arange(90)
    found = rank_positives(queries, candidates, Positives.from_labels(everyone, everyone))
    torch.testing.assert_close(found.precision_Q, 1 / found.best_Q.double())


@pytest.mark.parametrize("width", [3, 16, 100, 512, 768, 1024])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_constant_model_comes_last(width, seed):
    """Whatever the kernels round: float32 products of equal vectors differ from tile to tile."""
    point = F.normalize(torch.randn(width, generator=torch.Generator().manual_seed(seed)) + seed, dim=0)
    everyone = torch.arange(300)
    same = point.expand(300, width).contiguous()
    for rows, columns in ((512, 4096), (7, 13), (1, 1000)):
        found = rank_positives(same, same, Positives.from_labels(everyone, everyone), rows=rows, columns=columns)
        assert found.best_Q.tolist() == [300] * 300
    half = rank_positives(same, same, Positives.from_labels(everyone % 2, everyone % 2))
    assert half.best_Q.tolist() == [151] * 300 and float(half.precision_Q.max()) < 0.5


def test_a_model_that_is_constant_but_for_rounding_comes_last():
    """Embeddings of one point in half precision and back, with noise of the last bit of float32."""
    point = F.normalize(torch.randn(64, generator=torch.Generator().manual_seed(0)), dim=0)
    noise = 2e-8 * torch.randn(200, 64, generator=torch.Generator().manual_seed(1))
    made, everyone = point + noise, torch.arange(200)
    assert rank_positives(made, made, Positives.from_labels(everyone, everyone)).best_Q.min() == 200


def test_ties_among_right_candidates_do_not_hurt():
    candidates = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    positives = Positives.from_pairs(torch.tensor([0, 0]), torch.tensor([0, 1]), queries=1)
    found = rank_positives(torch.tensor([[1.0, 0.0]]), candidates, positives)
    assert found.best_Q.tolist() == [1] and found.precision_Q.tolist() == [1.0]


def test_scores_are_compared_by_the_queries_own_size():
    """A query that is a million times shorter (products of many slots) is ranked as well as a long one."""
    queries, candidates, labels, candidate_labels = labelled()
    positives = Positives.from_labels(labels, candidate_labels)
    small, large = (rank_positives(queries * size, candidates, positives) for size in (1e-6, 1.0))
    assert small.best_Q.tolist() == large.best_Q.tolist()


def test_what_cannot_be_ranked():
    with pytest.raises(InputError, match="not finite"):
        positive_ranks(torch.full((1, 3), 1e30), torch.full((1, 3), 1e30), torch.zeros(1), torch.zeros(1))
    with pytest.raises(InputError, match="1 of 2 queries have no right candidate"):
        rank_positives(
            torch.ones(2, 3),
            torch.ones(1, 3),
            Positives.from_pairs(torch.zeros(1).long(), torch.zeros(1).long(), queries=2),
        )
    nobody = torch.zeros(0, dtype=torch.long)
    assert len(positive_ranks(torch.zeros(0, 3), torch.ones(2, 3), nobody, torch.arange(2))) == 0
