"""What shapes learn from, as pure functions: occupancy, signed distance, points."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError


def occupancy_loss(logits_BP: Tensor, occupancy_BP: Tensor, valid_BP: Tensor, *, balance: float) -> Tensor:
    """Binary cross entropy, a mean over samples, in which the few points inside count as much as wanted.

    In each sample, points inside together have the share q of the weight, points outside 1 - q, where q lies between
    their share p of the points (``balance`` 0: every point counts alike) and one half (1): q = (1 - balance) p +
    balance / 2. A sample with points of one kind only weighs them alike. With a constant prediction the least loss is
    at sigmoid(logit) = q.

    Args:
        logits_BP: float. occupancy_BP: in 0..1. valid_BP: bool; samples without a valid point count 0.

    Returns:
        Scalar, float32 or float64.

    Raises:
        ConfigError: balance outside of 0..1.
    """
    if not 0 <= balance <= 1:
        raise ConfigError(f"balance={balance} must lie in 0..1.")
    real = valid_BP.to(logits_BP.dtype)
    inside = occupancy_BP.to(logits_BP.dtype).masked_fill(~valid_BP, 0.0)
    outside = real - inside
    count_B, in_B, out_B = (x.sum(1) for x in (real, inside, outside))
    share_B = in_B / count_B.clamp(min=1)
    both_B = (in_B > 0) & (out_B > 0)
    q_B = torch.where(both_B, (1 - balance) * share_B + balance / 2, share_B)
    weight = (
        inside * (q_B / in_B.clamp(min=1e-6))[:, None] + outside * ((1 - q_B) / out_B.clamp(min=1e-6))[:, None]
    )  # fmt: skip
    per_point = F.binary_cross_entropy_with_logits(logits_BP, inside, reduction="none")
    return mean_of((weight * per_point).sum(1), count_B > 0)


def overlap_loss(logits_BP: Tensor, occupancy_BP: Tensor, valid_BP: Tensor) -> Tensor:
    """One minus the soft IoU of probabilities p and occupancies o, sum p o / sum (p + o - p o), a mean over samples
    (Rahman and Wang 2016). Samples with nothing inside count 0."""
    real = valid_BP.to(logits_BP.dtype)
    p, o = logits_BP.sigmoid() * real, occupancy_BP.to(logits_BP.dtype).masked_fill(~valid_BP, 0.0)
    both = (p * o).sum(1)
    union = (p + o).sum(1) - both
    some_B = o.sum(1) > 0
    return mean_of(1 - both / union.clamp(min=1e-6), some_B)


def distance_loss(predicted_BP: Tensor, distance_BP: Tensor, valid_BP: Tensor, *, clamp: float) -> Tensor:
    """|prediction - distance| where the distance is within -clamp..clamp; farther away only whether the prediction is
    far enough on the right side; all divided by clamp. Mean over a sample's points, then over samples.

    That is |clip(prediction) - clip(distance)| of Park et al. 2019 (DeepSDF, equation 4), with a slope also where the
    prediction is beyond the clamp and should not be.

    Raises:
        ConfigError: clamp is not above 0.
    """
    if not clamp > 0:
        raise ConfigError(f"clamp={clamp} must be above 0.")
    truth = distance_BP.to(predicted_BP.dtype).masked_fill(~valid_BP, 0.0)
    miss = torch.where(truth >= clamp, (clamp - predicted_BP).clamp(min=0), (predicted_BP - truth).abs())
    miss = torch.where(truth <= -clamp, (predicted_BP + clamp).clamp(min=0), miss) / clamp
    count_B = valid_BP.sum(1)
    per_sample = torch.where(valid_BP, miss, torch.zeros_like(miss)).sum(1) / count_B.clamp(min=1)
    return mean_of(per_sample, count_B > 0)


def chamfer_loss(
    predicted_BN3: Tensor, truth_BM3: Tensor, valid_BM: Tensor, *, squared: bool = True
) -> Tensor:  # fmt: skip
    """Mean (squared) distances to the nearest point, both ways added, a mean over samples (Fan et al. 2017,
    equation 5). Samples without a valid true point count 0.

    Args:
        predicted_BN3: all points are real. truth_BM3, valid_BM: padding is left out.
    """
    has_B = valid_BM.any(1)
    truth_BM3 = truth_BM3.to(predicted_BN3.dtype)
    with torch.no_grad():  # which points are nearest; gradients flow through these pairs alone
        gap_BNM = torch.cdist(predicted_BN3, truth_BM3, compute_mode="donot_use_mm_for_euclid_dist")
        near_BN = gap_BNM.masked_fill(~valid_BM[:, None], torch.inf).argmin(2)
        near_BM = gap_BNM.argmin(1)
    there_BN = (predicted_BN3 - _taken(truth_BM3, near_BN)).square().sum(2)
    back_BM = (truth_BM3 - _taken(predicted_BN3, near_BM)).square().sum(2)
    if not squared:
        tiny = torch.finfo(there_BN.dtype).eps ** 2  # the root has no slope at 0
        there_BN, back_BM = (there_BN + tiny).sqrt(), (back_BM + tiny).sqrt()
    back_B = torch.where(valid_BM, back_BM, torch.zeros_like(back_BM)).sum(1) / valid_BM.sum(1).clamp(min=1)
    return mean_of(there_BN.mean(1) + back_B, has_B)


def _taken(points_BN3: Tensor, index_BK: Tensor) -> Tensor:
    return points_BN3.gather(1, index_BK[..., None].expand(-1, -1, 3))


def mean_of(values_B: Tensor, real_B: Tensor) -> Tensor:
    """Mean over the real samples; 0 with a graph where there is none."""
    kept = torch.where(real_B, values_B, torch.zeros_like(values_B))
    return kept.sum() / real_B.sum().clamp(min=1)
