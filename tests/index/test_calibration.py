"""Calibrated scores, exclusion, and items of several slots, against their definitions on all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omni.errors import ConfigError, InputError, OmniError
from omni.index import Index
from omni.index.calibration import Moments
from omni.types import TrainedGroup

E, N = 12, 80
PAIRS = [TrainedGroup(slots=pair, score="cosine") for pair in (("a", "q"), ("b", "q"), ("a", "r"), ("b", "r"))]


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def z(scores_QN, dim=1):
    return (scores_QN - scores_QN.mean(dim, keepdim=True)) / scores_QN.std(dim, keepdim=True, correction=0)


def cosines(query, gallery):
    return F.normalize(query, dim=1).double() @ F.normalize(gallery, dim=1).double().T


def test_moments_add_and_subtract():
    rows = random(50, E).numpy()
    whole, parts = Moments.of(rows), Moments.of(rows[:20]) + Moments.of(rows[20:])
    np.testing.assert_allclose(parts.outer_EE, whole.outer_EE)
    less = whole - Moments.of(rows[20:])
    np.testing.assert_allclose(less.sum_E, rows[:20].astype(float).sum(0), atol=1e-9)
    assert less.count == 20
    found = whole.background(random(3, E).numpy(), np.array([0.0, 1.0, 2.0]))
    scores = random(3, E).double() @ torch.from_numpy(rows).double().T + torch.tensor([0.0, 1, 2])[:, None]
    np.testing.assert_allclose(found.mean_Q, scores.mean(1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.std_Q, scores.std(1, correction=0), rtol=1e-9)


@pytest.mark.parametrize("score", ["cosine", "pair_sum", "multilinear"])
def test_calibrated_scores_have_mean_0_and_deviation_1(score, tmp_path):
    slots = ("a", "q") if score == "cosine" else ("a", "q", "r")
    index = Index(slot="a", width=E, trained_groups=[TrainedGroup(slots=slots, score=score)])
    gallery = 3 * random(N, E) + 1
    index.add(gallery)
    queries = {slot: random(4, E, seed=number) for number, slot in enumerate(slots[1:], 1)}
    index.delete(["3", "4"])
    kept = torch.cat([gallery[:3], gallery[5:]])
    if score == "cosine":
        expected = z(cosines(queries["q"], kept))
    elif score == "pair_sum":
        expected = z((queries["q"] + queries["r"]).double() @ kept.double().T)
    else:
        expected = z((queries["q"] * queries["r"]).double() @ kept.double().T)
    index.save(tmp_path / "gallery")
    for held in (index, Index.open(tmp_path / "gallery")):
        scores, rows = held.search_rows(queries, k=N, calibrated=True)
        assert scores.shape == (4, N - 2)
        np.testing.assert_allclose(scores, np.take_along_axis(expected.numpy(), rows, 1), atol=2e-5)
        assert abs(scores.mean()) < 1e-5 and scores.std(1) == pytest.approx(1, abs=1e-5)


def two_slots(missing_b=()):
    index = Index(slots=["a", "b"], width=E, trained_groups=PAIRS)
    a = random(N, E)
    b = 0.05 * random(N, E, seed=1) + 2.0  # cosines of another size altogether
    b[list(missing_b)] = float("nan")
    index.add({"a": a, "b": b}, ids=[f"item {row}" for row in range(N)])
    return index, a, b


def test_slots_are_compared_by_z():
    missing = range(0, N, 3)
    index, a, b = two_slots(missing)
    query = random(5, E, seed=2)
    have = torch.tensor([row not in missing for row in range(N)])
    by_b = torch.full((5, N), -torch.inf, dtype=torch.float64)
    by_b[:, have] = z(cosines(query, b[have]))
    both = torch.stack([z(cosines(query, a)), by_b])
    best, which = both.max(0)
    for row, results in enumerate(index.search_embeddings({"q": query}, k=N)):
        order = best[row].argsort(descending=True).tolist()
        assert [r.id for r in results] == [f"item {i}" for i in order]
        assert [r.slot for r in results] == ["ab"[which[row, i]] for i in order]
        np.testing.assert_allclose([r.score for r in results], best[row][order], atol=2e-4)
    found = {r.slot for r in index.search_embeddings({"q": query}, k=10)[0]}
    assert found == {"a", "b"}  # raw cosines would put all of one slot first
    (one,) = index.search_embeddings({"q": query[:1]}, k=N, target="b")
    assert len(one) == int(have.sum()) and {r.slot for r in one} == {"b"}
    np.testing.assert_allclose(one[0].score, cosines(query[:1], b[have]).max(), atol=1e-5)


def test_which_slots_are_searched():
    index, a, _ = two_slots()
    own = index.search_embeddings({"a": a[:1]}, k=1, target="a")[0][0]
    assert (own.id, own.slot) == ("item 0", "a") and own.score == pytest.approx(1, abs=1e-5)
    with pytest.raises(OmniError, match="a and b do not mean"):
        index.search_embeddings({"a": a[:1]})
    with pytest.raises(InputError, match="no slot 'c'; it holds a, b"):
        index.search_embeddings({"q": a[:1]}, target="c")
    with pytest.raises(ConfigError, match="unless they are calibrated"):
        index.search_embeddings({"q": a[:1]}, calibrated=False)
    assert torch.equal(index.embeddings("a"), a)
    for wrong, told in (
        (a, "give embeddings by slot: a, b"),
        ({"c": a}, "no slot 'c'"),
        ({"a": a, "b": a[:3]}, "numbers of rows differ: a 80, b 3"),
        ({"a": torch.full((2, E), float("nan"))}, "Item 0 has none of the slots"),
    ):
        with pytest.raises(InputError, match=told):
            index.add(wrong)
    index.add({"b": a[:2]}, ids=["only b", "only b too"])
    assert index.embeddings("a")[-2:].isnan().all() and len(index) == N + 2


def test_exclusion_is_the_weighted_difference_of_z():
    index, a, _ = two_slots()
    query, other, third = random(2, E, seed=3), random(1, E, seed=4), random(1, E, seed=5)
    expected = z(cosines(query, a)) - 0.7 * z(cosines(other, a)) - 0.7 * z(cosines(third, a))
    scores, rows = index.search_rows(
        {"q": query}, k=N, target="a", exclude=[{"q": other}, {"r": third}], exclude_weight=0.7
    )
    np.testing.assert_allclose(scores, np.take_along_axis(expected.numpy(), rows, 1), atol=2e-4)
    assert (rows == expected.argsort(dim=1, descending=True).numpy()).all()
    for weight in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="exclude_weight"):
            index.search_rows({"q": query}, exclude={"q": other}, exclude_weight=weight)


def test_what_is_excluded_takes_the_other_slots_of_the_query():
    index = Index(slot="a", width=E, trained_groups=[TrainedGroup(slots=("a", "q", "r"), score="multilinear")])
    gallery = random(N, E)
    index.add(gallery)
    q, r, bad = (random(1, E, seed=seed) for seed in (1, 2, 3))
    expected = z((q * r).double() @ gallery.double().T) - 0.5 * z((bad * r).double() @ gallery.double().T)
    scores, rows = index.search_rows({"q": q, "r": r}, k=N, exclude={"q": bad})
    np.testing.assert_allclose(scores, np.take_along_axis(expected.numpy(), rows, 1), atol=1e-4)


def test_items_that_no_query_tells_apart():
    index = Index(slot="a", width=E, trained_groups=PAIRS)
    index.add(torch.ones(3, E) * torch.tensor([[1.0], [2.0], [3.0]]))
    scores, _ = index.search_rows({"q": random(2, E)}, k=3, calibrated=True)
    assert np.isfinite(scores).all() and np.abs(scores).max() < 1e-3
