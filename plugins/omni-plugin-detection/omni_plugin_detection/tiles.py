"""Tiled inference: where the tiles of a large picture lie, and one detection of each thing from what they found."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_area

from omni.errors import ConfigError
from omni_plugin_detection.head import Detections

CUT = 2.0  # a box that ends within so many pixels of a tile's inner border is taken as cut there


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A part of a picture: x0, y0, x1, y1 in pixels; and which of its sides (left, top, right, bottom) lie inside the
    picture."""

    box: tuple[int, int, int, int]
    inner: tuple[bool, bool, bool, bool]


def make_tiles(height: int, width: int, *, tile: int, overlap: float) -> list[Tile]:
    """Tiles of ``tile`` x ``tile`` pixels that cover a picture, row by row; neighbours share at least ``overlap`` of
    their side. The last of a row and of a column end at the picture's border. A side shorter than a tile is one tile's.

    Raises:
        ConfigError: a tile below 1 pixel, or an overlap outside 0..0.9.
    """
    if tile < 1 or not 0 <= overlap <= 0.9:
        raise ConfigError(f"tiles: tile={tile} must be at least 1 pixel, overlap={overlap} from 0 to 0.9.")
    rows, columns = _starts(height, tile, overlap), _starts(width, tile, overlap)
    made = []
    for top in rows:
        for left in columns:
            right, bottom = min(left + tile, width), min(top + tile, height)
            inner = (left > 0, top > 0, right < width, bottom < height)
            made.append(Tile(box=(left, top, right, bottom), inner=inner))
    return made


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    if length <= tile:
        return [0]
    step = max(1, int(tile * (1 - overlap)))
    starts = list(range(0, length - tile, step))
    return [*starts, length - tile]


def is_cut(boxes_N4: Tensor, tile: Tile, *, margin: float = CUT) -> Tensor:
    """(N,) bool: boxes (pixels of the whole picture) that end at a border of the tile that lies inside the picture."""
    left, top, right, bottom = tile.box
    ends = torch.stack(
        (boxes_N4[:, 0] - left, boxes_N4[:, 1] - top, right - boxes_N4[:, 2], bottom - boxes_N4[:, 3]), 1
    )
    return ((ends <= margin) & torch.tensor(tile.inner, device=boxes_N4.device)).any(1)


def merge(
    found: Detections,
    cut_N: Tensor,
    tile_N: Tensor,
    *,
    inside: float = 0.6,
    piece: float = 0.3,
    joined: float = 0.2,
    most: int = 100,
) -> Detections:
    """One detection a thing, best first.

    Whole boxes come before cut ones, the better before the worse; a box of which ``inside`` lies within a kept one of
    the same label is left out (overlap over the smaller box, as in SAHI, Akyon et al. 2022), a cut one already where
    ``piece`` of it lies within a whole one, since where a piece ends is told badly. Cut boxes of different
    tiles that are left and overlap by ``joined`` of the smaller are pieces of one thing that is larger than the
    overlap of the tiles: they become the box around them, with the best score.

    Args:
        found: of all tiles, pixels of the whole picture. cut_N: ``is_cut``. tile_N: number of the tile.
    """
    order = torch.argsort(cut_N.float() * 2 - found.scores_N, stable=True)
    boxes, scores, labels = found.boxes_N4[order].clone(), found.scores_N[order].clone(), found.labels_N[order]
    cut, tile = cut_N[order], tile_N[order]
    share_NN = overlap_of_smaller(boxes, boxes)
    kept: list[int] = []
    for row in range(len(boxes)):
        if not any(
            labels[row] == labels[old] and share_NN[row, old] > (piece if cut[row] and not cut[old] else inside)
            for old in kept
        ):
            kept.append(row)
    groups: list[list[int]] = []
    for row in kept:
        pieces = [
            group for group in groups
            if cut[row] and any(
                cut[old] and tile[old] != tile[row] and labels[old] == labels[row] and share_NN[row, old] > joined
                for old in group
            )
        ]  # fmt: skip
        groups = [group for group in groups if group not in pieces] + [[row, *(item for p in pieces for item in p)]]
    rows = [
        (torch.cat((boxes[g, :2].amin(0), boxes[g, 2:].amax(0))), scores[g].max(), labels[g[0]]) for g in groups
    ]  # fmt: skip
    if not rows:
        return found
    made = [torch.stack([row[item] for row in rows]) for item in range(3)]
    best = made[1].argsort(descending=True, stable=True)[:most]
    return Detections(boxes_N4=made[0][best], scores_N=made[1][best], labels_N=made[2][best])


def overlap_of_smaller(first_N4: Tensor, second_M4: Tensor) -> Tensor:
    """(N, M): intersection over the smaller of the two boxes."""
    low = torch.maximum(first_N4[:, None, :2], second_M4[None, :, :2])
    high = torch.minimum(first_N4[:, None, 2:], second_M4[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    return shared / torch.minimum(box_area(first_N4)[:, None], box_area(second_M4)[None]).clamp(min=1e-9)
