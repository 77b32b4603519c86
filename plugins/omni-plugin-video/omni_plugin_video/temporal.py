"""Positions in time, for clips of any length."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.positions import at_least_float32

SHORTEST_S, LONGEST_S = 0.1, 10_000.0  # periods of the waves over seconds


class StepPositions(nn.Module):
    """A learnt vector a time step.

    A clip of no more steps than the table reads its first rows. A longer clip reads the table linearly stretched over
    the whole clip (its first and last step have the first and last row), so that any length has positions.

    Args:
        width: D.
        steps: rows of the table.
    """

    def __init__(self, *, width: int, steps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(steps, width))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, times_BT: Tensor, count_B: list[int]) -> Tensor:
        """(B, T, D); each row by its own count of steps.

        Args:
            times_BT: (B, T) seconds; only their shape is used.
            count_B: real steps of each clip.
        """
        length = times_BT.shape[1]
        rows = {count: F.pad(self._read(count), (0, 0, 0, length - count)) for count in set(count_B)}
        return torch.stack([rows[count] for count in count_B])

    def _read(self, count: int) -> Tensor:
        if count <= len(self.weight):
            return self.weight[:count]
        table = at_least_float32(self.weight).t()[None]
        read = F.interpolate(table, size=count, mode="linear", align_corners=True)
        return read[0].t().to(self.weight.dtype)


class SecondPositions(nn.Module):
    """Waves of the time in seconds, sines and cosines of periods from 0.1 s to 10000 s, then a linear map: any length
    and any frame rate.

    Args:
        width: D.
        waves: number of periods.
    """

    def __init__(self, *, width: int, waves: int = 32) -> None:
        super().__init__()
        periods = torch.logspace(math.log10(SHORTEST_S), math.log10(LONGEST_S), waves, dtype=torch.float64)
        self.register_buffer("omega_W", (2 * math.pi / periods).float(), persistent=False)
        self.map = nn.Linear(2 * waves, width)
        nn.init.trunc_normal_(self.map.weight, std=0.02)
        nn.init.zeros_(self.map.bias)

    def forward(self, times_BT: Tensor, count_B: list[int]) -> Tensor:
        """(B, T, D)."""
        del count_B
        angle = times_BT.float()[..., None] * self.omega_W.float()
        return self.map(torch.cat((angle.sin(), angle.cos()), -1).to(self.map.weight.dtype))
