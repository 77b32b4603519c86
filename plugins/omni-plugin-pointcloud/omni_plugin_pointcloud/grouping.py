"""Farthest point sampling and nearest neighbours, exact: they depend neither on the order of the points nor on padding.

Points are sorted by coordinates first, so that every tie is broken by coordinates; squared distances are sums over the
three axes in one order, in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor


def canonical_order(points_BN3: Tensor, features_BNC: Tensor | None, valid_BN: Tensor) -> Tensor:
    """(B, N) int64: points by x, then y, then z, then their features; what is padding comes last.

    Args:
        points_BN3, features_BNC: floats without NaN. valid_BN: bool.
    """
    keys = points_BN3 if features_BNC is None else torch.cat((points_BN3, features_BNC.to(points_BN3.dtype)), 2)
    order_BN = torch.arange(points_BN3.shape[1], device=points_BN3.device).expand(len(points_BN3), -1)
    for column_BN in (*reversed(keys.unbind(2)), (~valid_BN).to(keys.dtype)):
        order_BN = order_BN.gather(1, column_BN.gather(1, order_BN).argsort(dim=1, stable=True))
    return order_BN


def squared_distances(points_BN3: Tensor, center_B3: Tensor) -> Tensor:
    """(B, N)."""
    x, y, z = (points_BN3 - center_B3[:, None]).unbind(2)
    return x * x + y * y + z * z


def farthest_points(points_BN3: Tensor, valid_BN: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Centres as far from each other as can be (Gonzalez 1985; Qi et al. 2017, PointNet++).

    The first is the point farthest from the middle of the bounding box, which unlike the centroid is the same to the
    last bit whatever the order. Each next one is the point farthest from those before. Of several the first is taken.

    Args:
        points_BN3: float32 or float64, in canonical order.
        valid_BN: bool, at least one True a row.
        count: G.

    Returns:
        index_BG int64; valid_BG, False once every place is taken (fewer different places than G); distance_BGN, the
        squared distances of each centre to all points, infinite to padding.
    """
    low_B3 = points_BN3.masked_fill(~valid_BN[..., None], torch.inf).amin(1)
    high_B3 = points_BN3.masked_fill(~valid_BN[..., None], -torch.inf).amax(1)
    rest_BN = squared_distances(points_BN3, (low_B3 + high_B3) / 2).masked_fill(~valid_BN, -1.0)
    picks, valid, distances = [], [], []
    for step in range(count):
        best_B = rest_BN.argmax(1)
        valid.append(rest_BN.gather(1, best_B[:, None])[:, 0] > 0 if step else valid_BN.any(1))
        center_B3 = points_BN3.gather(1, best_B[:, None, None].expand(-1, 1, 3))[:, 0]
        distance_BN = squared_distances(points_BN3, center_B3)
        distances.append(distance_BN.masked_fill(~valid_BN, torch.inf))
        nearer_BN = distance_BN.masked_fill(~valid_BN, -1.0)
        rest_BN = torch.minimum(rest_BN, nearer_BN) if step else nearer_BN
        picks.append(best_B)
    return torch.stack(picks, 1), torch.stack(valid, 1), torch.stack(distances, 1)


def nearest(distance_BGN: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The nearest points of each centre, of equally near ones the first, in the order of their index.

    Args:
        distance_BGN: squared distances, infinite where there is no point.
        count: K, at most N.

    Returns:
        index_BGK int64, valid_BGK bool.
    """
    edge_BG1 = distance_BGN.topk(count, dim=2, largest=False).values[..., -1:]
    nearer_BGN, at_edge_BGN = distance_BGN < edge_BG1, distance_BGN == edge_BG1
    left_BG1 = count - nearer_BGN.sum(2, keepdim=True)
    taken_BGN = nearer_BGN | (at_edge_BGN & (at_edge_BGN.cumsum(2) <= left_BG1))
    index_BGK = taken_BGN.nonzero()[:, 2].view(*distance_BGN.shape[:2], count)
    return index_BGK, distance_BGN.gather(2, index_BGK).isfinite()


def gather_points(values_BNC: Tensor, index_BGK: Tensor) -> Tensor:
    """(B, G, K, C)."""
    batch, groups, count = index_BGK.shape
    flat = index_BGK.reshape(batch, groups * count, 1).expand(-1, -1, values_BNC.shape[2])
    return values_BNC.gather(1, flat).view(batch, groups, count, -1)
