"""Batches by matrix product give what comparing every item gives, and say so where rounding could not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni.index import batch, vectors
from omni.index.batch import RoundedGallery
from omni.index.vectors import SlotVectors


def exact(queries, gallery, k, allowed=None):
    scores = queries.astype(np.float64) @ gallery.astype(np.float64).T
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, rows, 1), rows


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("case", ["plain", "cone", "scales", "negative", "few allowed", "padding"])
def test_equal_to_comparing_every_item(dtype, case):
    gallery, queries, allowed = numbers(9000, 24), numbers(37, 24, seed=1), None
    if case == "cone":  # all cosines near 1
        gallery = gallery * 0.05 + 1.0
    if case == "scales":
        gallery *= np.logspace(-2, 2, 9000, dtype=np.float32)[:, None]
        queries *= np.logspace(-3, 3, 37, dtype=np.float32)[:, None]
    if case == "negative":  # every score is below 0
        gallery, queries = np.abs(gallery), -np.abs(queries)
    if case == "few allowed":
        allowed = np.random.default_rng(2).random(9000) < 0.3
        allowed[:8300] = False  # none in the first tile
    if case == "padding":
        gallery = gallery[:8195]
    found = RoundedGallery(gallery, dtype).search(queries, 10, allowed)
    assert found is not None
    scores, rows = exact(queries, gallery, 10, allowed)
    np.testing.assert_allclose(found[0], scores, rtol=2e-5, atol=1e-5 * np.abs(scores).max())
    assert (found[1] == rows).mean() > 0.995  # those that differ are equal to float32's rounding


def test_ties_are_all_equally_good():
    gallery = np.repeat(numbers(500, 16), 20, axis=0)
    queries = numbers(8, 16, seed=1)
    found = SlotVectors.of(gallery).search(queries, 30)
    np.testing.assert_allclose(found.scores_QK, exact(queries, gallery, 30)[0], rtol=1e-5, atol=1e-5)
    assert all(len(set(rows)) == 30 for rows in found.items_QK)


def test_items_that_rounding_does_not_tell_apart_are_left_to_faiss():
    gallery = 1.0 + 1e-6 * numbers(9000, 16)
    gallery[:4500] *= -1  # so that taking off the mean does not help
    queries = np.abs(numbers(6, 16, seed=1))
    assert RoundedGallery(gallery).search(queries, 5) is None
    found = SlotVectors.of(gallery).search(queries, 5)
    np.testing.assert_allclose(found.scores_QK, exact(queries, gallery, 5)[0], rtol=1e-5)
    assert RoundedGallery(gallery).search(queries * np.float32(1e35), 5) is None  # would overflow


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("part", [0.1, 0.6])
def test_masks_in_batches(part, dtype, monkeypatch):
    monkeypatch.setattr(vectors, "fast_dtype", lambda: dtype)
    monkeypatch.setattr(vectors, "MIN_ITEMS", 100)
    gallery, queries = numbers(8000, 16), numbers(9, 16, seed=1)
    allowed = np.random.default_rng(2).random(8000) < part
    calls = []
    search = batch.RoundedGallery.search
    monkeypatch.setattr(batch.RoundedGallery, "search", lambda *a, **k: calls.append(1) or search(*a, **k))
    for mask in (allowed, None):
        found = SlotVectors.of(gallery).search(queries, 7, allowed=mask)
        scores, rows = exact(queries, gallery, 7, mask)
        np.testing.assert_allclose(found.scores_QK, scores, rtol=1e-5, atol=1e-5)
        assert (found.items_QK == rows).mean() > 0.99
    assert len(calls) == 2


def test_float32_multiplies_the_vectors_themselves_and_tells_a_narrow_cone_apart():
    gallery, queries = 1.0 + 1e-3 * numbers(9000, 16), 1.0 + 1e-3 * numbers(6, 16, seed=1)
    searcher = RoundedGallery(gallery, torch.float32)
    assert searcher.rounded_NE.data_ptr() == searcher.gallery_NE.data_ptr()  # no copy
    found = searcher.search(queries, 5)
    assert found is not None
    exact_scores = queries.astype(np.float64) @ gallery.astype(np.float64).T
    best = np.take_along_axis(exact_scores, found[1], 1)
    kth = -np.sort(-exact_scores, axis=1)[:, 4:5]
    assert (best >= kth - 16 * 2.0**-22 * np.linalg.norm(queries, axis=1)[:, None] * 4.1).all()


def test_many_queries_in_pieces(monkeypatch):
    monkeypatch.setattr(batch, "QUERIES", 50)
    gallery, queries = numbers(5000, 8), numbers(120, 8, seed=1)
    found = RoundedGallery(gallery).search(queries, 3)
    assert found is not None and (found[1] == exact(queries, gallery, 3)[1]).mean() > 0.99
