"""Retrieval metrics against a plain float64 reference, closed forms and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omni.errors import ConfigError, InputError, OmniError
from omni.metrics.retrieval import Retrieval, class_gallery, positive_ranks, retrieval_numbers
from omni.types import SlotEmbedding, TrainedGroup


def slow_ranks(queries, candidates, query_labels, candidate_labels):
    """One query and one candidate at a time, float64."""
    ranks = []
    for query, label in zip(queries.double().numpy(), query_labels.tolist(), strict=True):
        scores = [float(np.dot(query, candidate)) for candidate in candidates.double().numpy()]
        right = max(s for s, other in zip(scores, candidate_labels.tolist(), strict=True) if other == label)
        wrong = [s for s, other in zip(scores, candidate_labels.tolist(), strict=True) if other != label]
        ranks.append(1 + sum(s >= right for s in wrong))
    return ranks


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_ranks_equal_the_slow_reference_with_several_positives(chunk):
    torch.manual_seed(0)
    queries, candidates = torch.randn(40, 8), torch.randn(60, 8)
    query_labels, candidate_labels = torch.randint(0, 10, (40,)), torch.arange(60) % 10
    found = positive_ranks(queries, candidates, query_labels, candidate_labels, chunk=chunk)
    assert found.tolist() == slow_ranks(queries, candidates, query_labels, candidate_labels)


def test_ties_count_against_the_query():
    labels = torch.arange(5)
    assert positive_ranks(torch.ones(5, 3), torch.ones(5, 3), labels, labels).tolist() == [5] * 5
    assert positive_ranks(torch.eye(5), torch.eye(5), labels, labels).tolist() == [1] * 5


def test_numbers():
    numbers = retrieval_numbers(torch.tensor([1, 2, 3, 10]), candidates=20, ks=(1, 5))
    assert numbers.recall == {1: 0.25, 5: 0.75} and numbers.median_rank == 2.5
    assert numbers.standard_error == pytest.approx((0.25 * 0.75 / 4) ** 0.5)
    assert numbers.to_dict() == {"r1": 0.25, "r5": 0.75, "median_rank": 2.5, "queries": 4, "candidates": 20}


def test_chance_of_random_embeddings():
    torch.manual_seed(0)
    labels = torch.arange(400)
    ranks = positive_ranks(torch.randn(400, 64), torch.randn(400, 64), labels, labels)
    recall = retrieval_numbers(ranks, candidates=400, ks=(40,)).recall[40]
    assert abs(recall - 0.1) < 4 * (0.1 * 0.9 / 400) ** 0.5


def test_what_cannot_be_measured():
    with pytest.raises(InputError, match="1 of 2 queries have no right candidate, the first is number 1"):
        positive_ranks(torch.ones(2, 3), torch.ones(1, 3), torch.tensor([0, 1]), torch.tensor([0]))
    with pytest.raises(InputError, match="not finite"):
        positive_ranks(torch.full((1, 3), float("nan")), torch.ones(1, 3), torch.zeros(1), torch.zeros(1))
    with pytest.raises(InputError, match="no query"):
        retrieval_numbers(torch.zeros(0), candidates=3)


def test_class_gallery_is_the_mean():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    means, labels = class_gallery(embeddings, torch.tensor([7, 7, 2]))
    assert labels.tolist() == [2, 7] and means.tolist() == [[3.0, 4.0], [0.5, 0.5]]
    unit, _ = class_gallery(embeddings, torch.tensor([7, 7, 2]), unit=True)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(2))


def outputs(count, seed, *, present=None, labels=None, groups=()):
    generator = torch.Generator().manual_seed(seed)
    everyone = torch.ones(count, dtype=torch.bool)
    made = {
        slot: SlotEmbedding(values_BE=torch.randn(count, 6, generator=generator), present_B=everyone)
        for slot in ("a", "b", "c")
    }
    if present is not None:
        made["b"].present_B = present
    made["targets"] = {} if labels is None else {"class": labels}
    made["trained_groups"] = groups
    return made


@pytest.mark.parametrize("score", ["multilinear", "pair_sum", "cosine_sum"])
def test_metric_agrees_with_the_definition_of_the_score(score):
    metric = Retrieval(query=["b", "c"], target="a", score=score, ks=(1, 3))
    batches = [outputs(9, 0), outputs(5, 1)]
    for batch in batches:
        metric.update(batch)
    a, b, c = (torch.cat([batch[slot].values_BE for batch in batches]) for slot in "abc")
    if score == "cosine_sum":
        a, b, c = (F.normalize(value, dim=1) for value in (a, b, c))
    scores = (b * c) @ a.T if score == "multilinear" else b @ a.T + c @ a.T
    ranks = 1 + (scores > scores.diag()[:, None]).sum(1)
    found = metric.compute()
    assert found["r1"] == pytest.approx(float((ranks <= 1).float().mean()))
    assert found["r3"] == pytest.approx(float((ranks <= 3).float().mean()))
    assert found["queries"] == found["candidates"] == 14 and found["left_out"] == 0


def test_merging_processes_equals_one_process():
    def metric(*batches):
        made = Retrieval(query=["b", "c"], target="a", score="multilinear")
        for batch in batches:
            made.update(batch)
        return made

    first, second = outputs(9, 0), outputs(5, 1)
    merged = metric()
    merged.merge([metric(first).state(), metric(second).state()])
    assert merged.score is not None and merged.compute() == metric(first, second).compute()


def test_absent_samples_are_left_out_and_counted():
    present = torch.tensor([True, False, True, True])
    metric = Retrieval(query=["b"], target="a", score="cosine", ks=(1,))
    metric.update(outputs(4, 0, present=present))
    assert metric.compute()["left_out"] == 1 and metric.compute()["queries"] == 3
    metric.reset()
    metric.update(outputs(2, 0, present=torch.zeros(2, dtype=torch.bool)))
    with pytest.raises(InputError, match="No sample had all"):
        metric.compute()


def test_classes():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    metric = Retrieval(query=["b", "c"], target="a", score="multilinear", label="class", ks=(1,))
    batch = outputs(6, 3, labels=labels)
    metric.update(batch)
    means = batch["a"].values_BE.view(3, 2, 6).mean(1)
    right = ((batch["b"].values_BE * batch["c"].values_BE) @ means.T).argmax(1) == labels
    found = metric.compute()
    assert found["r1"] == pytest.approx(float(right.float().mean())) and found["candidates"] == 3
    with pytest.raises(ConfigError, match="target 'class'"):
        metric.update(outputs(2, 0))


def test_score_comes_from_the_trained_groups():
    groups = (TrainedGroup(slots=("a", "b", "c"), score="multilinear"),)
    auto, named = Retrieval(query=["b", "c"], target="a"), Retrieval(query=["b", "c"], target="a", score="multilinear")
    for metric in (auto, named):
        metric.update(outputs(9, 0, groups=groups))
    assert auto.compute() == named.compute()
    with pytest.raises(OmniError, match="do not mean anything together"):
        Retrieval(query=["b"], target="a").update(outputs(9, 0, groups=groups))


def test_settings_that_cannot_be_meant():
    with pytest.raises(ConfigError, match="'dot' is not known"):
        Retrieval(query=["b"], target="a", score="dot")
    with pytest.raises(ConfigError, match="do not fit"):
        Retrieval(query=["b", "c"], target="a", score="cosine")
    with pytest.raises(ConfigError, match="do not fit"):
        Retrieval(query=["a"], target="a", score="multilinear")
    with pytest.raises(ConfigError, match="needs the slot 'z'"):
        Retrieval(query=["z"], target="a", score="cosine").update(outputs(2, 0))


def test_is_registered():
    from omni.registry import METRICS

    assert METRICS.build({"type": "retrieval", "query": ["b"], "target": "a"}).query == ["b"]
    assert METRICS.get("recall") is Retrieval


def test_every_sample_of_the_class_is_right_among_items():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    metric = Retrieval(query=["b"], target="a", score="cosine", label="class", candidates="items", ks=(1,))
    batch = outputs(6, 3, labels=labels)
    metric.update(batch)
    scores = F.normalize(batch["b"].values_BE, dim=1) @ F.normalize(batch["a"].values_BE, dim=1).T
    found = metric.compute()
    assert found["candidates"] == 6 and found["r1"] == pytest.approx(
        float((labels[scores.argmax(1)] == labels).float().mean())
    )
    with pytest.raises(ConfigError, match="with a label 'items'"):
        Retrieval(query=["b"], target="a", candidates="items")


def test_two_metrics_of_one_evaluator_need_prefixes():
    from omni.engine.building import build_metrics

    first, second = dict(type="retrieval", query=["b"], target="a"), dict(type="retrieval", query=["a"], target="b")
    with pytest.raises(ConfigError, match="'retrieval' and 'retrieval_1' both report 'r1'.*prefix"):
        build_metrics([first, second])
    with pytest.raises(ConfigError, match="both report 'x_r1'"):
        build_metrics([{**first, "prefix": "x"}, {**second, "prefix": "x"}])
    built = build_metrics([first, {**second, "prefix": "back"}])
    for metric in built.values():
        metric.update(outputs(9, 0, groups=(TrainedGroup(slots=("a", "b"), score="cosine"),)))
    numbers = {key: value for metric in built.values() for key, value in metric.compute().items()}
    assert set(numbers) == {name for metric in built.values() for name in metric.names}
    assert {"r1", "back_r1", "map", "back_median_rank"} <= set(numbers)
