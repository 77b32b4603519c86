"""The latent table's ceilings against closed forms, and against playing the game."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from omni.errors import ConfigError
from omni_plugin_clinic.latents import (
    NUM_XRAYS,
    QUERIES,
    all_latents,
    draw_candidates,
    draw_latents,
    exact_ceiling,
    frozen_ceiling,
    query_table,
    score_table,
)


def uniform_over(matching: int, *, kinds: int = NUM_XRAYS, count: int = 10) -> Fraction:
    """Top-1 where ``matching`` of the kinds, the right one among them, cannot be told apart: the right one is guessed
    among those of the candidates that match, kinds / (matching * count) * P(at least one of count matches)."""
    none = Fraction(comb(kinds - matching, count), comb(kinds, count))
    return Fraction(kinds, matching * count) * (1 - none)


def test_ceilings_are_those_of_the_closed_form():
    assert exact_ceiling("both") == 1
    assert exact_ceiling("neither") == Fraction(1, 10)
    assert exact_ceiling("ecg") == exact_ceiling("labs") == uniform_over(10)
    assert exact_ceiling("pairwise") == uniform_over(5)
    assert [round(float(exact_ceiling(query)), 4) for query in ("ecg", "pairwise")] == [0.2, 0.3935]


def test_the_radiograph_follows_from_both_and_its_shadow_from_neither():
    whole = all_latents()
    assert len(np.unique(np.stack([whole.ecg_N, whole.labs_N]), axis=1).T) == 100
    for shown in (whole.ecg_N, whole.labs_N):
        counts = np.zeros((10, 5))
        np.add.at(counts, (shown, whole.s_N), 1)
        assert (counts == 2).all()
        assert all(len(np.unique(whole.x_N[shown == value])) >= 2 for value in range(10))


def test_whole_hundreds_have_the_frequencies_of_the_population():
    drawn = draw_latents(300, "some", "seed")
    states = np.stack([drawn.c_N, drawn.f_N, drawn.e_N, drawn.l_N])
    _, counts = np.unique(states, axis=1, return_counts=True)
    assert len(counts) == 100 and (counts == 3).all()
    assert (draw_latents(100, "some", "seed").x_N == drawn.x_N[:100]).all()
    assert (draw_latents(100, "other").x_N != drawn.x_N[:100]).any()


def test_frozen_candidates_differ_and_their_ceiling_is_played():
    latents = draw_latents(200, "test")
    candidates = draw_candidates(latents, "test")
    own = np.arange(200)[:, None]
    assert ((candidates == own).sum(1) == 1).all()
    assert all(len(set(latents.x_N[row].tolist())) == 10 for row in candidates)
    assert 0.05 < ((candidates == own).argmax(1) == 0).mean() < 0.16  # the right one may stand anywhere
    rng = np.random.default_rng(0)
    whole = {key: row for row, key in enumerate(zip(*_states(all_latents()), strict=True))}
    for query in QUERIES:
        rows = [whole[key] for key in zip(*_states(latents), strict=True)]
        scores = score_table(query)[np.array(rows)[:, None], latents.x_N[candidates]]
        played = []
        for _ in range(60):
            noisy = np.where(np.isneginf(scores), -1e9, scores) + 1e-6 * rng.random(scores.shape)
            played.append((candidates[np.arange(200), noisy.argmax(1)] == own[:, 0]).mean())
        assert np.mean(played) == pytest.approx(frozen_ceiling(query, latents, candidates), abs=0.015)
    table = query_table(latents, candidates)
    assert table["both"]["frozen"] == 1 and table["neither"]["frozen"] == pytest.approx(0.1)


def test_too_few_kinds_and_unknown_queries_are_refused():
    with pytest.raises(ConfigError, match="10 candidates"):
        draw_candidates(draw_latents(5, "few"), "seed")
    with pytest.raises(ConfigError, match="not 'labels'"):
        score_table("labels")


def _states(latents):
    return [column.tolist() for column in (latents.c_N, latents.f_N, latents.e_N, latents.l_N)]
