"""Chamfer distance, F-score and IoU against double loops, scipy's tree and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from omni.errors import ConfigError, InputError
from omni_plugin_three_d.losses import chamfer_loss, distance_loss, occupancy_loss, overlap_loss
from omni_plugin_three_d.metrics import PointIndex, chamfer, f_score, volumetric_iou

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(40, 3)), RNG.normal(size=(25, 3)) + 0.3


def slow_chamfer(first: np.ndarray, second: np.ndarray, power: int) -> float:
    total = 0.0
    for point in first:
        total += min(sum((point[axis] - other[axis]) ** 2 for axis in range(3)) ** 0.5 for other in second) ** power
    return total / len(first)


@pytest.mark.parametrize("squared", [False, True])
def test_chamfer_against_a_double_loop_and_the_tree(squared: bool) -> None:
    found = chamfer(A, B, squared=squared)
    power = 2 if squared else 1
    assert found.accuracy == pytest.approx(slow_chamfer(A, B, power), rel=1e-12)
    assert found.completeness == pytest.approx(slow_chamfer(B, A, power), rel=1e-12)
    assert found.accuracy == pytest.approx((cKDTree(B).query(A)[0] ** power).mean(), rel=1e-12)
    assert found.mean == pytest.approx(found.sum / 2) and found.squared is squared
    back = chamfer(PointIndex(B), PointIndex(A), squared=squared)
    assert (back.accuracy, back.completeness) == (found.completeness, found.accuracy)
    assert chamfer(A, A).sum == 0
    valid = torch.ones(1, len(B), dtype=torch.bool)
    loss = chamfer_loss(torch.from_numpy(A)[None], torch.from_numpy(B)[None], valid, squared=squared)
    assert float(loss) == pytest.approx(found.sum, rel=1e-9)


def test_chamfer_of_shifted_points() -> None:
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3), 3).reshape(-1, 3)
    assert chamfer(grid + (0.1, 0, 0), grid).mean == pytest.approx(0.1)
    assert chamfer(grid + (0.1, 0, 0), grid, squared=True).sum == pytest.approx(0.02)
    assert f_score(grid + (0.1, 0, 0), grid, threshold=0.1 + 1e-9).value == 1
    assert f_score(grid + (0.1, 0, 0), grid, threshold=0.099).value == 0


def test_f_score_against_counting() -> None:
    gaps = np.linalg.norm(A[:, None] - B[None], axis=2)
    found = f_score(A, B, threshold=0.7)
    precision, recall = (gaps.min(1) <= 0.7).mean(), (gaps.min(0) <= 0.7).mean()
    assert (found.precision, found.recall) == (precision, recall) and 0 < precision < 1
    assert found.value == pytest.approx(2 * precision * recall / (precision + recall))
    half = f_score(np.array([[0.0, 0, 0], [9, 9, 9]]), np.zeros((1, 3)), threshold=0.1)
    assert (half.precision, half.recall) == (0.5, 1.0) and half.value == pytest.approx(2 / 3)


def test_iou_of_boxes() -> None:
    first, second = np.zeros((10, 10, 10), bool), np.zeros((10, 10, 10), bool)
    first[:4], second[2:6] = True, True
    assert volumetric_iou(first, second) == pytest.approx(2 / 6)
    assert volumetric_iou(first, first) == 1 and volumetric_iou(first, ~first) == 0
    assert volumetric_iou(np.zeros(5, bool), np.zeros(5, bool)) == 1


def test_what_metrics_refuse() -> None:
    for bad in (np.zeros((0, 3)), np.zeros((3, 2)), np.full((2, 3), np.nan), np.array([["a", "b", "c"]])):
        with pytest.raises(InputError, match="predicted shape"):
            chamfer(bad, A)
    with pytest.raises(ConfigError, match="threshold"):
        f_score(A, B, threshold=0)
    with pytest.raises(InputError, match="bool"):
        volumetric_iou(np.zeros(3), np.zeros(3, bool))
    with pytest.raises(InputError, match="one shape"):
        volumetric_iou(np.zeros(3, bool), np.zeros(4, bool))


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_the_balance_says_where_a_constant_prediction_ends(balance: float) -> None:
    """Of ten points two are inside: the best constant probability is q = (1 - balance) .2 + balance / 2."""
    truth = torch.tensor([[1.0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]], dtype=torch.float64)
    valid = torch.ones_like(truth, dtype=torch.bool)
    valid[:, 10:] = False
    q = (1 - balance) * 0.2 + balance / 2
    logit = torch.tensor(np.log(q / (1 - q)), requires_grad=True)
    loss = occupancy_loss(logit.expand(1, 12), truth, valid, balance=balance)
    assert float(loss) == pytest.approx(-q * np.log(q) - (1 - q) * np.log(1 - q))
    loss.backward()
    assert abs(float(logit.grad)) < 1e-12


def test_losses_leave_padding_out_and_bear_nothing_known() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = (torch.rand(3, 8, generator=generator) > 0.6).double()
    valid = torch.ones(3, 8, dtype=torch.bool)
    valid[1, 5:] = False
    valid[2] = False
    garbage = truth.masked_fill(~valid, torch.nan)
    losses = [
        lambda t: occupancy_loss(logits, t, valid, balance=0.5),
        lambda t: overlap_loss(logits, t, valid),
        lambda t: distance_loss(logits, t, valid, clamp=0.3),
    ]
    for loss in losses:
        assert float(loss(garbage)) == float(loss(truth)) > 0
        (slope,) = torch.autograd.grad(loss(garbage), logits)
        assert slope.isfinite().all() and (slope[~valid] == 0).all() and (slope[valid] != 0).any()
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits[0], truth[0])
    short = torch.nn.functional.binary_cross_entropy_with_logits(logits[1, :5], truth[1, :5])
    assert float(occupancy_loss(logits, truth, valid, balance=0.0)) == pytest.approx(float(plain + short) / 2)
    p, o = logits[0].sigmoid(), truth[0]
    one = 1 - (p * o).sum() / (p + o - p * o).sum()
    p, o = logits[1, :5].sigmoid(), truth[1, :5]
    other = 1 - (p * o).sum() / (p + o - p * o).sum()
    assert float(overlap_loss(logits, truth, valid)) == pytest.approx(float(one + other) / 2)
    none = torch.zeros_like(valid)
    for value in (
        occupancy_loss(logits, truth, none, balance=1.0), overlap_loss(logits, truth, none),
        distance_loss(logits, truth, none, clamp=0.1),
        chamfer_loss(logits[:, :6].reshape(3, 2, 3), truth[:, :6].reshape(3, 2, 3), none[:, :2]),
    ):  # fmt: skip
        assert float(value) == 0 and value.requires_grad
        value.backward(retain_graph=True)
        assert logits.grad.isfinite().all()


def test_distance_loss_is_clamped() -> None:
    truth, valid = torch.tensor([[0.05, 0.9, -0.9]]), torch.ones(1, 3, dtype=torch.bool)
    assert float(distance_loss(torch.tensor([[0.0, 0.1, -5.0]]), truth, valid, clamp=0.1)) == pytest.approx(0.5 / 3)
    wrong = torch.tensor([[0.8, -3.0, 3.0]], requires_grad=True)  # far out on the wrong side: there is a way back
    loss = distance_loss(wrong, truth, valid, clamp=0.1)
    assert float(loss) == pytest.approx((7.5 + 31 + 31) / 3)
    loss.backward()
    assert wrong.grad[0].sign().tolist() == [1, -1, 1]


def test_chamfer_loss_with_padding_and_its_gradient() -> None:
    first = torch.from_numpy(A[:7]).reshape(1, 7, 3).clone().requires_grad_()
    padded = torch.cat((torch.from_numpy(B[:6]), torch.from_numpy(A[:3])))[None]  # padding lies on the prediction
    valid = torch.tensor([[True] * 6 + [False] * 3])
    assert float(chamfer_loss(first, padded, valid)) == pytest.approx(chamfer(A[:7], B[:6], squared=True).sum)
    for squared in (True, False):
        assert torch.autograd.gradcheck(
            lambda points, squared=squared: chamfer_loss(points, padded, valid, squared=squared), (first,), atol=1e-6
        )
