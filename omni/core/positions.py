"""Positions: learnt absolute tables, and relative position biases that are added to the attention logits.

Relative ids follow ONE-PEACE (2023), section "model architecture": a 1d axis has logarithmic buckets, a 2d grid has one
id an offset, and three more ids belong to the summary token (as query, as key, with itself). Tables start at zero.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.resampling import ANY_RATIO, PUBLISHED_RATIOS, offset_matrix

SUMMARY_IDS = 3  # query is the summary token; key is the summary token; both are


def at_least_float32(values: Tensor) -> Tensor:
    """Half types as float32, others as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def log_bucket_ids(length: int, *, bucket: int, max_distance: int = 1024) -> Tensor:
    """Relative position ids of a 1d axis.

    With mid = bucket // 2 a distance d = query - key keeps its own id while |d| <= mid; further away ids grow with the
    logarithm, so that |d| = max_distance - 1 falls into the last bucket. Longer distances share that last bucket.

    Args:
        length: L.
        bucket: half the number of ids, at least 4.
        max_distance: distance (tokens) at which the buckets end.

    Returns:
        (L, L) int64 in [0, 2 * bucket - 1).
    """
    mid = bucket // 2
    distance = torch.arange(length, device="cpu")
    spread = math.log((max_distance - 1) / mid)
    far = mid + torch.ceil(torch.log(distance.clamp(min=mid).double() / mid) / spread * (mid - 1)).long()
    steps = torch.where(distance <= mid, distance, far).clamp(max=bucket - 1)
    offset = distance[:, None] - distance[None, :]
    return torch.sign(offset) * steps[offset.abs()] + bucket - 1


def grid_ids(height: int, width: int, *, grid: tuple[int, int] | None = None) -> Tensor:
    """Relative position ids of a row-major 2d grid of tokens.

    Args:
        height, width: size of the grid; L = height * width.
        grid: the size of the grid that the table was made for, if larger.

    Returns:
        (L, L) int64 in [0, (2 * grid_height - 1) * (2 * grid_width - 1)).
    """
    grid_height, grid_width = grid or (height, width)
    index = torch.arange(height * width, device="cpu")
    row, column = index // width, index % width
    down = row[:, None] - row[None, :] + grid_height - 1
    right = column[:, None] - column[None, :] + grid_width - 1
    return down * (2 * grid_width - 1) + right


def add_summary_ids(ids_LL: Tensor, *, num_ids: int) -> Tensor:
    """Put the summary token first: its row, column and corner take the ids num_ids, num_ids + 1 and num_ids + 2.

    Args:
        ids_LL: (L, L) ids in [0, num_ids).

    Returns:
        (L + 1, L + 1) int64.
    """
    ids = F.pad(ids_LL, (1, 0, 1, 0))
    ids[0, :] = num_ids
    ids[:, 0] = num_ids + 1
    ids[0, 0] = num_ids + 2
    return ids


@lru_cache(maxsize=32)
def _log_ids(length: int, bucket: int, summary: bool) -> Tensor:
    with torch.inference_mode(False):
        ids = log_bucket_ids(length, bucket=bucket)
        return add_summary_ids(ids, num_ids=2 * bucket - 1) if summary else ids


@lru_cache(maxsize=32)
def _grid_ids(height: int, width: int, grid: tuple[int, int], summary: bool) -> Tensor:
    with torch.inference_mode(False):
        ids = grid_ids(height, width, grid=grid)
        num_ids = (2 * grid[0] - 1) * (2 * grid[1] - 1)
        return add_summary_ids(ids, num_ids=num_ids) if summary else ids


class _RelativeBias(nn.Module):
    """Tables (N_ids, H), zero at the start, one for all layers or one a layer."""

    def __init__(self, *, num_ids: int, num_heads: int, num_tables: int) -> None:
        super().__init__()
        self.num_ids = num_ids
        self.num_heads = num_heads
        self.tables = nn.ParameterList(nn.Parameter(torch.zeros(num_ids, num_heads)) for _ in range(num_tables))

    def look_up(self, table: Tensor, ids_LL: Tensor) -> Tensor:
        """(1, H, L, L) contiguous bias of one table."""
        length = ids_LL.shape[-1]
        flat = ids_LL.reshape(1, -1).to(table.device).expand(table.shape[1], -1)
        return table.t().gather(1, flat).view(1, -1, length, length)


class LogBucketBias(_RelativeBias):
    """Position bias of a 1d axis in logarithmic buckets.

    Args:
        num_heads: H.
        bucket: 256 for words, 512 for frames in ONE-PEACE; the table has 2 * bucket - 1 + 3 rows.
        num_tables: 1 = shared by all layers, or the number of layers.
        summary: the first token is a summary token.
    """

    def __init__(self, *, num_heads: int, bucket: int = 256, num_tables: int = 1, summary: bool = True) -> None:
        super().__init__(num_ids=2 * bucket - 1 + SUMMARY_IDS, num_heads=num_heads, num_tables=num_tables)
        self.bucket = bucket
        self.summary = summary

    def forward(self, length: int) -> tuple[Tensor, ...]:
        """Bias of ``length`` tokens, summary token included: one tensor (1, H, L, L) a table."""
        ids = _log_ids(length - int(self.summary), self.bucket, self.summary)
        return tuple(self.look_up(table, ids) for table in self.tables)


class GridBias(_RelativeBias):
    """Position bias of a 2d grid; grids of another size than the table's read it at stretched offsets.

    An axis that is no longer than the table's uses the learnt offsets as they are. A longer one spreads them in a
    geometric sequence (see omni.core.resampling): near offsets stay nearly unchanged, the farthest lands on the
    farthest.

    Args:
        num_heads: H.
        grid: (height, width) in tokens that the table is made for; (2h-1)(2w-1) + 3 rows.
        num_tables: 1 = shared by all layers, or the number of layers.
        summary: the first token is a summary token.
        published: bound the geometric ratio as the published code does.
    """

    def __init__(
        self,
        *,
        num_heads: int,
        grid: tuple[int, int],
        num_tables: int = 1,
        summary: bool = True,
        published: bool = False,
    ) -> None:
        offset_ids = (2 * grid[0] - 1) * (2 * grid[1] - 1)
        super().__init__(num_ids=offset_ids + SUMMARY_IDS, num_heads=num_heads, num_tables=num_tables)
        self.grid = (int(grid[0]), int(grid[1]))
        self.summary = summary
        self.ratios = PUBLISHED_RATIOS if published else ANY_RATIO

    def forward(self, height: int, width: int) -> tuple[Tensor, ...]:
        """Bias of a ``height`` x ``width`` grid and the summary token: one tensor (1, H, L, L) a table."""
        fits = height <= self.grid[0] and width <= self.grid[1]
        grid = self.grid if fits else (height, width)
        ids = _grid_ids(height, width, grid, self.summary)
        tables = self.tables if fits else [self.resized(table, height=height, width=width) for table in self.tables]
        return tuple(self.look_up(table, ids) for table in tables)

    def resized(self, table: Tensor, *, height: int, width: int) -> Tensor:
        """The table (N_ids, H) read at the offsets of a ``height`` x ``width`` grid; differentiable."""
        offsets, summary = table[:-SUMMARY_IDS], table[-SUMMARY_IDS:]
        image_YXH = at_least_float32(offsets).view(2 * self.grid[0] - 1, 2 * self.grid[1] - 1, -1)
        down = offset_matrix(height, self.grid[0], self.ratios).to(image_YXH)
        right = offset_matrix(width, self.grid[1], self.ratios).to(image_YXH)
        read = torch.einsum("ay,bx,yxh->abh", down, right, image_YXH)
        return torch.cat((read.flatten(0, 1).to(table.dtype), summary))


class AbsolutePositions1d(nn.Module):
    """Learnt vectors of ``max_length`` positions (summary token included), truncated-normal at the start.

    Args:
        width: D.
        max_length: rows of the table; ``forward`` expects no longer sequence.
    """

    def __init__(self, *, width: int, max_length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_length, width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, length: int) -> Tensor:
        """(1, L, D)."""
        return self.weight[None, :length]


class AbsolutePositions2d(nn.Module):
    """Learnt vectors of a grid of tokens and, first, of the summary token; other grids read it bicubically.

    Args:
        width: D.
        grid: (height, width) of the table; h * w + 1 rows (without ``summary``: h * w).
        summary: there is a summary token.
    """

    def __init__(self, *, width: int, grid: tuple[int, int], summary: bool = True) -> None:
        super().__init__()
        self.grid = (int(grid[0]), int(grid[1]))
        self.summary = summary
        self.weight = nn.Parameter(torch.empty(self.grid[0] * self.grid[1] + int(summary), width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, height: int, width: int) -> Tensor:
        """(1, [1 +] height * width, D)."""
        if (height, width) == self.grid:
            return self.weight[None]
        first = int(self.summary)
        table = self.weight[first:].t().reshape(1, -1, *self.grid)
        read = F.interpolate(at_least_float32(table), size=(height, width), mode="bicubic", align_corners=False)
        patches = read.flatten(2).transpose(1, 2).to(self.weight.dtype)
        return torch.cat((self.weight[None, :first], patches), 1)
