"""Denoising contrast (ONE-PEACE): predicted tokens at masked positions found among the tokens of the unmasked input."""

from __future__ import annotations

from torch import Tensor

from omni.errors import InputError
from omni.objectives.functional._numerics import (
    Reduction,
    as_scale,
    check_mask,
    check_smoothing,
    chunked_logsumexp,
    full_precision,
    reduce_anchors,
    without_autocast,
)


def denoising_contrast(
    student_BLD: Tensor,
    teacher_BLD: Tensor,
    masked_BL: Tensor,
    valid_BL: Tensor,
    scale: float | Tensor = 2.5,
    smoothing: float = 0.1,
    *,
    reduction: Reduction = "mean",
    max_elements: int = 2**24,
) -> Tensor:
    """Cross-entropy of finding the teacher's token at each masked position among all K valid tokens of the local batch.

    loss = (1 - e - e / (K - 1)) (-log p_i) + e / (K - 1) sum_j (-log p_j) with smoothing e: target 1 - e at position i
    and e / (K - 1) at each other. Logits are scale * <s_i, t_j>. No gradient reaches the teacher.

    The published loss uses cosines: pass student and teacher normalised to length 1, as nothing is normalised here.

    Args:
        student_BLD: (B, L, D) predictions, floating point.
        teacher_BLD: (B, L, D) tokens of the same network for the unmasked input.
        masked_BL: (B, L) bool, True = hidden from the student. Positions that are masked and valid are the anchors:
            ``(masked_BL & valid_BL).sum()`` counts them.
        valid_BL: (B, L) bool, True = a real token that is no summary token: these are the candidates.
        scale: positive multiplier (published: 2.5, fixed).
        smoothing: e, at least 0 and below 1; no effect when K = 1.
        reduction: "mean" over anchors, "sum", or "none": (anchors,) in reading order.
        max_elements: logits that exist at once.

    Returns:
        Scalar (or (anchors,)) in float32 or better; 0 with a graph when nothing is masked.

    Raises:
        InputError: shapes, dtypes or options that do not fit.

    Source: Wang et al. 2023 (ONE-PEACE), intra-modal denoising contrast, with the smoothing of the released code.
    """
    if student_BLD.ndim != 3 or student_BLD.shape != teacher_BLD.shape or not student_BLD.is_floating_point():
        raise InputError(
            f"denoising_contrast got student {tuple(student_BLD.shape)} ({student_BLD.dtype}) and teacher "
            f"{tuple(teacher_BLD.shape)}: both must be floating point (B, L, D) of one shape."
        )
    check_mask(masked_BL, tuple(student_BLD.shape[:2]), "masked_BL")
    check_mask(valid_BL, tuple(student_BLD.shape[:2]), "valid_BL")
    check_smoothing(smoothing, "smoothing")
    with without_autocast(student_BLD):
        student, teacher = full_precision(student_BLD, teacher_BLD.detach())
        anchors_BL = masked_BL & valid_BL
        predictions_AD, own_AD, keys_KD = student[anchors_BL], teacher[anchors_BL], teacher[valid_BL]
        loss_A = _token_nll(predictions_AD, own_AD, keys_KD, as_scale(scale, student), smoothing, max_elements)
        return reduce_anchors(loss_A, loss_A.shape[0], reduction)


def _token_nll(
    predictions_AD: Tensor, own_AD: Tensor, keys_KD: Tensor, scale: Tensor, smoothing: float, max_elements: int
) -> Tensor:
    anchors, count = predictions_AD.shape[0], keys_KD.shape[0]
    if anchors == 0:
        return predictions_AD.sum(dim=1)

    def logits(start: int, stop: int) -> Tensor:
        return scale * (predictions_AD @ keys_KD[start:stop].t())

    lse_A = chunked_logsumexp(logits, count, max(1, max_elements // anchors))
    # the weights of the smoothed target sum to 1, so the loss is lse minus the target's mean logit, and the sum of all
    # logits is one dot product with the sum of the candidates
    other = smoothing / (count - 1) if count > 1 else 0.0
    own = 1 - smoothing - other if count > 1 else 1.0
    target_AD = own * own_AD + other * keys_KD.sum(dim=0)
    return lse_A - scale * (predictions_AD * target_AD).sum(dim=1)
