"""Stems: each lead by itself, millivolts and mask -> one vector a stretch of time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.errors import ConfigError

NORM_EPS = 1e-5


class PatchStem(nn.Module):
    """Patches in time: one linear map of a patch's samples and of which of them were recorded, so that a gap is not
    read as a flat line.

    Args:
        width: D.
        patch: samples of a patch.
    """

    def __init__(self, *, width: int, patch: int) -> None:
        super().__init__()
        self.stride = patch
        self.projection = nn.Linear(2 * patch, width)

    def forward(self, signal_RT: Tensor, valid_RT: Tensor) -> Tensor:
        """Embed leads.

        Args:
            signal_RT: (R, T) float, R leads of any samples, T a multiple of the stride; zero where not valid.
            valid_RT: (R, T) bool.

        Returns:
            (R, T / stride, D).
        """
        both = torch.stack((signal_RT, valid_RT.to(signal_RT.dtype)), 1)
        patches = both.unflatten(2, (-1, self.stride)).transpose(1, 2).flatten(2)
        return self.projection(patches)


class ConvStem(nn.Module):
    """Convolutions in time, the same for every lead: each layer a strided convolution with windows that overlap, a norm
    over channels and a GELU. What was not recorded is zero before every layer, so that padding and gaps are not seen.

    Args:
        width: D.
        channels: of the layers.
        strides: of the layers; a kernel is twice the stride plus one. Their product is the samples of a token.

    Raises:
        ConfigError: no strides, or strides below 1.
    """

    def __init__(self, *, width: int, channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(int(stride) for stride in strides)
        if not self.strides or min(self.strides) < 1 or channels < 1:
            raise ConfigError(f"conv_strides {list(strides)} must be whole numbers from 1 on, and conv_width positive.")
        self.stride = math.prod(self.strides)
        sizes = [2] + [channels] * len(self.strides)
        self.layers = nn.ModuleList(
            nn.Conv1d(sizes[index], sizes[index + 1], 2 * stride + 1, stride, padding=(stride + 2) // 2)
            for index, stride in enumerate(self.strides)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels, eps=NORM_EPS) for _ in self.strides)
        self.projection = nn.Linear(channels, width)

    def forward(self, signal_RT: Tensor, valid_RT: Tensor) -> Tensor:
        """As PatchStem."""
        hidden = torch.stack((signal_RT, valid_RT.to(signal_RT.dtype)), 1)
        for layer, norm, stride in zip(self.layers, self.norms, self.strides, strict=True):
            valid_RT = valid_RT.unflatten(1, (-1, stride)).any(2)
            hidden = layer(hidden)[..., : valid_RT.shape[1]]
            hidden = F.gelu(norm(hidden.transpose(1, 2))).transpose(1, 2)
            hidden = hidden.masked_fill(~valid_RT[:, None], 0.0)
        return self.projection(hidden.transpose(1, 2))


def time_features(steps_L: Tensor, *, width: int) -> Tensor:
    """Sines and cosines of the time step (Vaswani et al. 2017, section 3.5): any length.

    Args:
        steps_L: time steps.
        width: D, even.

    Returns:
        (L, D) float32.
    """
    rates = torch.exp(torch.arange(0, width, 2, device=steps_L.device) * (-math.log(10_000.0) / width))
    angles = steps_L.float()[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), 1)
