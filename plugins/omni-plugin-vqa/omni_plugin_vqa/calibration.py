"""How far an answer's chance can be trusted: temperature scaling, calibration error, and when to abstain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import InputError

LOWEST, HIGHEST, HALVINGS = 1e-3, 1e3, 200


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """What a threshold on the chance does: ``threshold``; of the answers kept the ``accuracy``; the share ``coverage``
    of all questions that is answered."""

    threshold: float
    accuracy: float
    coverage: float


def fit_temperature(logits_BK: Tensor, labels_B: Tensor) -> float:
    """The temperature T that minimises the cross-entropy of ``logits / T`` (Guo et al. 2017, "On Calibration of Modern
    Neural Networks").

    The derivative with respect to b = 1/T is the mean over samples of ``E_softmax(b z)[z] - z_label``, which grows with
    b, so bisection finds its one zero. Where every label has its sample's highest logit the best T is 0, where labels
    are no better than chance it is infinite; the answer stays within 0.001 and 1000.

    Args:
        logits_BK: of held-out samples. labels_B: their indices.

    Raises:
        InputError: no samples, or shapes that do not fit.
    """
    _check(logits_BK, labels_B)
    logits = logits_BK.double()
    of_label = logits.gather(1, labels_B[:, None].long()).squeeze(1)

    def slope(sharpness: float) -> float:
        return float(((logits * sharpness).softmax(1) * logits).sum(1).sub(of_label).mean())

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(low) >= 0:
        return HIGHEST
    if slope(high) <= 0:
        return LOWEST
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / (low * high) ** 0.5


def calibration_error(chances_B: Tensor, right_B: Tensor, *, bins: int = 15) -> float:
    """Expected calibration error: over equal bins of the chance, the mean of ``|accuracy - mean chance|`` weighted by
    how many samples fall into each.

    Raises:
        InputError: no samples, or chances outside 0..1.
    """
    if chances_B.ndim != 1 or chances_B.shape != right_B.shape or not len(chances_B):
        raise InputError("calibration_error takes as many chances as answers that are right or wrong, at least one.")
    if bool((chances_B < 0).any()) or bool((chances_B > 1).any()):
        raise InputError("calibration_error: a chance lies outside 0..1.")
    place_B = (chances_B * bins).long().clamp(max=bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, place_B, (right_B.double() - chances_B.double()))
    return float(gaps.abs().sum() / len(chances_B))


def threshold_for(chances_B: Tensor, right_B: Tensor, *, accuracy: float) -> Abstention:
    """The lowest threshold at which the answers kept (chance >= threshold) are right as often as wanted.

    Args:
        accuracy: wanted of the answers that are kept, in (0, 1].

    Raises:
        InputError: not even the surest answers are right as often.
    """
    if not 0 < accuracy <= 1:
        raise InputError(f"threshold_for: accuracy is {accuracy!r}; it must be above 0 and at most 1.")
    order = chances_B.argsort(descending=True, stable=True)
    sorted_B, hits_B = chances_B[order], right_B[order].double().cumsum(0)
    kept_B = torch.arange(1, len(order) + 1, dtype=torch.float64)
    last_of_tie_B = torch.ones(len(order), dtype=torch.bool)
    last_of_tie_B[:-1] = sorted_B[:-1] != sorted_B[1:]
    good = torch.nonzero((hits_B / kept_B >= accuracy) & last_of_tie_B).flatten()
    if not len(good):
        raise InputError(
            f"threshold_for: not even the surest answers are right in {accuracy:.0%} of cases; "
            "ask for less, or train on."
        )
    last = int(good[-1])
    return Abstention(
        threshold=float(sorted_B[last]),
        accuracy=float(hits_B[last] / kept_B[last]),
        coverage=(last + 1) / len(order),
    )


def negative_log_likelihood(logits_BK: Tensor, labels_B: Tensor, *, temperature: float = 1.0) -> float:
    """Mean cross-entropy of ``logits / temperature``."""
    _check(logits_BK, labels_B)
    return float(F.cross_entropy(logits_BK.double() / temperature, labels_B.long()))


def _check(logits_BK: Tensor, labels_B: Tensor) -> None:
    if logits_BK.ndim != 2 or labels_B.shape != logits_BK.shape[:1] or not len(labels_B):
        raise InputError(
            f"Calibration takes logits (B, K) and labels (B,) of at least one sample, not {tuple(logits_BK.shape)} and "
            f"{tuple(labels_B.shape)}."
        )
