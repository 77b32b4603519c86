"""Reading a table of learnt offsets at the offsets of a larger grid: geometric knots, interpolating cubic spline."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

PUBLISHED_RATIOS = (1.01, 1.5)
ANY_RATIO = (1.0 + 1e-9, 1e6)


@lru_cache(maxsize=64)
def offset_matrix(length: int, trained: int, ratios: tuple[float, float] = ANY_RATIO) -> Tensor:
    """The linear map from values at the offsets -(trained-1) .. trained-1 to values at -(length-1) .. length-1.

    An axis that is no longer than the trained one is cut out of the table. For a longer axis the learnt offsets are
    spread in a geometric sequence 1, 1+q, 1+q+q^2, ... whose last reaches the farthest new offset, and read by the
    cubic spline through them (not-a-knot ends), as BEiT and ONE-PEACE do when they load weights.

    Args:
        length: tokens of the new axis.
        trained: tokens of the axis that the table was made for.
        ratios: bracket of q; published code stops at 1.5 (farther offsets then share the last learnt one).

    Returns:
        (2 * length - 1, 2 * trained - 1) float64.
    """
    new, old = length - 1, trained - 1
    if new <= old:
        return torch.eye(2 * old + 1, dtype=torch.float64)[old - new : old + new + 1]
    if old == 0:
        return torch.ones(2 * new + 1, 1, dtype=torch.float64)
    ratio = geometric_ratio(old, float(new), ratios)
    half = torch.cumsum(ratio ** torch.arange(old, dtype=torch.float64), 0)
    knots = torch.cat((-half.flip(0), torch.zeros(1, dtype=torch.float64), half))
    where = torch.arange(-new, new + 1, dtype=torch.float64).clamp(knots[0], knots[-1])
    return spline_matrix(knots, where)


def geometric_ratio(terms: int, total: float, bracket: tuple[float, float]) -> float:
    """The q within ``bracket`` with 1 + q + ... + q^(terms-1) nearest to ``total``: bisected to 1e-6, last q tried."""
    low, high = bracket
    ratio = low
    while high - low > 1e-6:
        ratio = (low + high) / 2
        with_ratio = math.expm1(min(terms * math.log(ratio), 700.0)) / (ratio - 1)
        low, high = (low, ratio) if with_ratio > total else (ratio, high)
    return ratio


def spline_matrix(knots: Tensor, where: Tensor) -> Tensor:
    """The cubic spline through values at n ``knots`` (not-a-knot; linear for n < 4), as a matrix (len(where), n)."""
    count = len(knots)
    width = knots.diff()
    interval = torch.searchsorted(knots, where, right=True).sub(1).clamp(0, count - 2)
    step = width[interval]
    right = (where - knots[interval]) / step
    left = 1 - right
    unit = torch.eye(count, dtype=knots.dtype)
    read = left[:, None] * unit[interval] + right[:, None] * unit[interval + 1]
    if count < 4:
        return read
    bend = _second_derivatives(width)
    scale = step[:, None] ** 2 / 6
    cubic_left, cubic_right = (left**3 - left)[:, None], (right**3 - right)[:, None]
    return read + scale * (cubic_left * bend[interval] + cubic_right * bend[interval + 1])


def _second_derivatives(width: Tensor) -> Tensor:
    """The (n, n) map from the values at the knots to the spline's second derivatives there."""
    count = len(width) + 1
    left = torch.zeros(count, count, dtype=width.dtype)
    right = torch.zeros_like(left)
    for row in range(1, count - 1):
        before, after = width[row - 1], width[row]
        left[row, row - 1 : row + 2] = torch.stack((before / 6, (before + after) / 3, after / 6))
        right[row, row - 1 : row + 2] = torch.stack((1 / before, -1 / before - 1 / after, 1 / after))
    for row, first in ((0, 0), (count - 1, count - 3)):  # the third derivative does not jump next to the ends
        before, after = width[first], width[first + 1]
        left[row, first : first + 3] = torch.stack((1 / before, -1 / before - 1 / after, 1 / after))
    return torch.linalg.solve(left, right)
