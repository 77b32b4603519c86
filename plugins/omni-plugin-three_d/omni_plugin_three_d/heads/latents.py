"""Latent shapes: three planes, or a grid; numbers at any point of shape space."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.errors import ConfigError
from omni_plugin_three_d.heads.reader import init_linears

WAVES = 3


class Triplane(nn.Module):
    """Three planes of features; a point reads each at its projection (Peng et al. 2020, Convolutional Occupancy
    Networks, section 3.2; Chan et al. 2022, EG3D).

    Args:
        hidden: width of the tokens, 3 * side ** 2 of them. side: tokens along a plane. patch: places of a token along
            each axis. channels: C of a place.
    """

    def __init__(self, *, hidden: int, side: int, patch: int, channels: int) -> None:
        super().__init__()
        self.side, self.patch, self.channels = side, patch, channels
        self.spread = nn.Linear(hidden, channels * patch**2)
        init_linears(self)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)  # over the seams between patches
        self.features = 3 * channels

    @property
    def tokens(self) -> int:
        """How many it is made of."""
        return 3 * self.side**2

    def forward(self, tokens_BQD: Tensor) -> Tensor:
        """(B, 3, C, S, S), S = side * patch; planes yz, xz, xy."""
        side, patch, channels = self.side, self.patch, self.channels
        flat = self.spread(tokens_BQD).view(-1, side, side, channels, patch, patch)
        planes = flat.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, side * patch, side * patch)
        return (planes + self.smooth(F.gelu(planes))).unflatten(0, (-1, 3))

    def read(self, planes_B3CSS: Tensor, points_BP3: Tensor) -> Tensor:
        """(B, P, 3 C): bilinear."""
        pairs = points_BP3[:, :, [[1, 2], [0, 2], [0, 1]]].transpose(1, 2)  # (B, 3, P, 2)
        found = F.grid_sample(
            planes_B3CSS.flatten(0, 1), pairs.flatten(0, 1)[:, None], mode="bilinear", padding_mode="border",
            align_corners=False,
        )  # fmt: skip
        return found.squeeze(2).unflatten(0, (-1, 3)).flatten(1, 2).transpose(1, 2)


class LatentGrid(nn.Module):
    """A grid of features, read trilinearly.

    Args:
        hidden: width of the tokens, side ** 3 of them. side, patch, channels: as of the Triplane.
    """

    def __init__(self, *, hidden: int, side: int, patch: int, channels: int) -> None:
        super().__init__()
        self.side, self.patch, self.channels = side, patch, channels
        self.spread = nn.Linear(hidden, channels * patch**3)
        init_linears(self)
        self.smooth = nn.Conv3d(channels, channels, 3, padding=1)
        self.features = channels

    @property
    def tokens(self) -> int:
        """How many it is made of."""
        return self.side**3

    def forward(self, tokens_BQD: Tensor) -> Tensor:
        """(B, C, S, S, S), axes x, y, z."""
        side, patch, channels = self.side, self.patch, self.channels
        flat = self.spread(tokens_BQD).view(-1, side, side, side, channels, patch, patch, patch)
        grid = flat.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(-1, channels, *(side * patch,) * 3)
        return grid + self.smooth(F.gelu(grid))

    def read(self, grid_BCSSS: Tensor, points_BP3: Tensor) -> Tensor:
        """(B, P, C): trilinear."""
        turned = points_BP3.flip(2)[:, None, None]  # grid_sample counts the last axis first
        found = F.grid_sample(grid_BCSSS, turned, mode="bilinear", padding_mode="border", align_corners=False)
        return found.flatten(2).transpose(1, 2)


KINDS: dict[str, type[Triplane] | type[LatentGrid]] = {"triplane": Triplane, "grid": LatentGrid}


def make_latent(kind: str, **sizes: int) -> Triplane | LatentGrid:
    """By name: "triplane" or "grid".

    Raises:
        ConfigError: another name, or sizes that are not positive.
    """
    if kind not in KINDS:
        raise ConfigError(f"A shape's latent is one of {', '.join(KINDS)}, not {kind!r}.")
    if min(sizes.values()) < 1:
        raise ConfigError(f"The sizes of a shape's latent must be above 0: {sizes}.")
    return KINDS[kind](**sizes)


class PointDecoder(nn.Module):
    """Features read at a point, and the point's own waves (NeRF, Mildenhall et al. 2020, equation 4) -> one number.

    Args:
        features: width of what was read. hidden: units. depth: hidden layers.
    """

    def __init__(self, *, features: int, hidden: int, depth: int) -> None:
        super().__init__()
        widths = [features + 3 + 6 * WAVES, *[hidden] * depth]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.last = nn.Linear(hidden, 1)
        init_linears(self, gain=2**0.5)  # GELU halves a variance
        nn.init.trunc_normal_(self.last.weight, std=0.1 * hidden**-0.5)  # the first field is nearly even

    def forward(self, features_BPC: Tensor, points_BP3: Tensor) -> Tensor:
        """(B, P)."""
        scale = math.pi * 2.0 ** torch.arange(WAVES, dtype=points_BP3.dtype, device=points_BP3.device)
        waves = (points_BP3[..., None] * scale).flatten(2)
        state = torch.cat((features_BPC, points_BP3, waves.sin(), waves.cos()), 2)
        for layer in self.layers:
            state = F.gelu(layer(state))
        return self.last(state).squeeze(2)
