"""Points of feature maps, their boxes, and which point learns which box (SimOTA); pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

CENTRE_RADIUS = 2.5  # of the centre region, in strides (YOLOX)
MOST_POINTS = 10  # whose overlap says how many points a box gets
IOU_WEIGHT = 3.0
_FAR = 1e5
_TINY = 1e-8
_LARGEST_LOG = 4.0


@dataclass(frozen=True, kw_only=True)
class Points:
    """The points of all levels, in a row.

    Attributes:
        centre_P2: x, y in fractions of the picture. stride_P2: width and height of a cell, in fractions.
    """

    centre_P2: Tensor
    stride_P2: Tensor


def make_points(grids: Sequence[tuple[int, int]], *, device: torch.device | str = "cpu") -> Points:
    """The middles of the cells of (rows, columns) grids, level by level, row by row; float32."""
    centres, strides = [], []
    for rows, columns in grids:
        y = (torch.arange(rows, device=device) + 0.5) / rows
        x = (torch.arange(columns, device=device) + 0.5) / columns
        centres.append(torch.stack((x.repeat(rows), y.repeat_interleave(columns)), 1))
        strides.append(torch.tensor([[1 / columns, 1 / rows]], device=device).expand(rows * columns, 2))
    return Points(centre_P2=torch.cat(centres), stride_P2=torch.cat(strides))


def decode(raw_BP4: Tensor, points: Points, *, size: float = 4.0) -> Tensor:
    """Raw numbers to boxes x0, y0, x1, y1 in fractions (YOLOX, Ge et al. 2021).

    middle = centre + raw[:2] * stride; side = exp(raw[2:]) * size * stride.

    Args:
        size: of a box whose raw numbers are 0, in strides.
    """
    middle = points.centre_P2 + raw_BP4[..., :2] * points.stride_P2
    half = raw_BP4[..., 2:].clamp(max=_LARGEST_LOG).exp() * points.stride_P2 * (size / 2)
    return torch.cat((middle - half, middle + half), -1)


def pairwise_iou(first_BN4: Tensor, second_BP4: Tensor) -> Tensor:
    """(B, N, P): intersection over union of each picture's boxes."""
    return torch.stack([box_iou(a, b) for a, b in zip(first_BN4, second_BP4, strict=True)])


@torch.no_grad()
def sim_ota(
    boxes_BN4: Tensor, valid_BN: Tensor, predicted_BP4: Tensor, objectness_BP: Tensor, points: Points
) -> tuple[Tensor, Tensor]:
    """Which true box each point learns (SimOTA of YOLOX, Ge et al. 2021, section 2.1).

    The cost of a pair is -log of the point's objectness - 3 log IoU; only points within 2.5 strides of a box's middle
    and inside the box may learn it. (Points that are only one of the two cost more, as published.) A box gets as
    many of its cheapest points as the sum of its ten largest IoUs says, at least one; a point that several boxes want
    learns the cheapest. The published cost has the class where objectness stands here: a box's labels need not be
    among those of the batch.

    Args:
        boxes_BN4: true boxes, fractions. valid_BN: which are real.
        predicted_BP4: boxes of the points. objectness_BP: logits.

    Returns:
        index_BP int64 (box of each point; -1 = none) and iou_BP of the point's box with it (0 where none).
    """
    iou_BNP = pairwise_iou(boxes_BN4, predicted_BP4).nan_to_num(0.0)
    inside_BNP, central_BNP = _where(boxes_BN4, points)
    cost_BNP = -torch.nn.functional.logsigmoid(objectness_BP)[:, None] - IOU_WEIGHT * (iou_BNP + _TINY).log()
    allowed_BNP = (inside_BNP | central_BNP) & valid_BN[..., None]
    cost_BNP = cost_BNP + _FAR * ~(inside_BNP & central_BNP)
    cost_BNP = cost_BNP.masked_fill(~allowed_BNP, float("inf"))
    best = iou_BNP.masked_fill(~allowed_BNP, 0.0).topk(min(MOST_POINTS, iou_BNP.shape[2]), 2).values
    wanted_BN = best.sum(2).int().clamp(min=1)
    order_BNP = cost_BNP.argsort(dim=2, stable=True).argsort(dim=2)
    taken_BNP = (order_BNP < wanted_BN[..., None]) & allowed_BNP
    cheapest_BP = cost_BNP.masked_fill(~taken_BNP, float("inf")).argmin(1) if boxes_BN4.shape[1] else None
    if cheapest_BP is None:
        none = torch.full_like(objectness_BP, -1, dtype=torch.long)
        return none, torch.zeros_like(objectness_BP)
    taken_BP = taken_BNP.any(1)
    iou_BP = iou_BNP.gather(1, cheapest_BP[:, None])[:, 0]
    return torch.where(taken_BP, cheapest_BP, -1), torch.where(taken_BP, iou_BP, 0.0)


def _where(boxes_BN4: Tensor, points: Points) -> tuple[Tensor, Tensor]:
    """(B, N, P) twice: the point lies inside the box; it lies within the centre region."""
    centre = points.centre_P2[None, None]
    low, high = boxes_BN4[:, :, None, :2], boxes_BN4[:, :, None, 2:]
    inside = ((centre > low) & (centre < high)).all(-1)
    apart = (centre - (low + high) / 2).abs()
    return inside, (apart < CENTRE_RADIUS * points.stride_P2).all(-1)
