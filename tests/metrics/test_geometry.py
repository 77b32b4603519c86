"""Alignment, uniformity, modality gap and effective rank: closed forms, float64 references, chunks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omni.errors import InputError
from omni.metrics import geometry
from omni.metrics.geometry import alignment, effective_rank, modality_gap, singular_values, uniformity


def points(count=37, width=8, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + 0.3


def test_alignment():
    x, y = points(), points(seed=1)
    assert alignment(x, 3 * x) == pytest.approx(0, abs=1e-12) and alignment(x, -x) == pytest.approx(4)
    assert alignment(torch.eye(4), torch.eye(4).roll(1, 0)) == pytest.approx(2)
    unit = [F.normalize(value.double(), dim=1) for value in (x, y)]
    assert alignment(x, y) == pytest.approx(float(2 - 2 * (unit[0] * unit[1]).sum(1).mean()))
    assert alignment(x, y, alpha=1) == pytest.approx(float((unit[0] - unit[1]).norm(dim=1).mean()))
    with pytest.raises(InputError, match="pairs"):
        alignment(x, y[:3])


def test_uniformity_of_shapes_with_a_closed_form():
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-6)
    assert uniformity(torch.eye(6)) == pytest.approx(-4, abs=1e-6)  # every squared distance is 2
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8, abs=1e-5)
    circle = torch.tensor([[math.cos(a), math.sin(a)] for a in np.arange(4000) * 2 * math.pi / 4000])
    bessel = float(torch.special.i0e(torch.tensor(4.0, dtype=torch.float64)))  # mean of exp(-2 (2 - 2 cos a))
    mean_with_itself = (bessel * 4000 - 1) / 3999
    assert uniformity(circle) == pytest.approx(math.log(mean_with_itself), abs=1e-5)
    with pytest.raises(InputError, match="two embeddings"):
        uniformity(torch.ones(1, 3))


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_chunks_equal_the_whole_in_float64(chunk, monkeypatch):
    x, y = points(), points(seed=1)
    unit = F.normalize(x.double(), dim=1)
    spread = float(torch.pdist(unit).square().mul(-2).exp().mean().log())
    close = alignment(x, y)
    values = torch.linalg.svdvals(x.double())
    monkeypatch.setattr(geometry, "CHUNK", chunk)
    assert uniformity(x) == pytest.approx(spread, abs=1e-6) and alignment(x, y) == pytest.approx(close)
    torch.testing.assert_close(singular_values(x), values)
    torch.testing.assert_close(
        singular_values(x, centre=True), torch.linalg.svdvals(x.double() - x.double().mean(0)), rtol=1e-6, atol=1e-9
    )


def test_modality_gap():
    x = points()
    assert modality_gap(x, 2 * x) == pytest.approx(0, abs=1e-12)
    assert modality_gap(torch.tensor([[1.0, 0.0]] * 3), torch.tensor([[-2.0, 0.0]])) == pytest.approx(2)
    assert modality_gap(torch.eye(2), torch.tensor([[1.0, 0.0]])) == pytest.approx(0.5**0.5)


def test_effective_rank():
    assert effective_rank(torch.eye(7)) == pytest.approx(7)
    assert effective_rank(torch.eye(7)[:3]) == pytest.approx(3)
    line = torch.arange(1.0, 9)[:, None] * torch.tensor([[1.0, 2.0, 3.0]])
    assert effective_rank(line) == pytest.approx(1, abs=1e-5)
    assert effective_rank(torch.ones(9, 4)) == pytest.approx(1, abs=1e-5)
    assert effective_rank(torch.full((9, 4), 0.3), centre=True) == 0.0
    x = points(width=5)
    share = np.linalg.svd(x.double().numpy(), compute_uv=False)
    share = share / share.sum()
    assert effective_rank(x) == pytest.approx(math.exp(-(share * np.log(share)).sum()))
    assert effective_rank(x, centre=True) > effective_rank(x + 5)
