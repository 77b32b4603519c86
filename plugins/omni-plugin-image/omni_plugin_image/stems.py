"""Stems: patches of pixels -> tokens. No window crosses a patch, so that a patch that is left out changes no other."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from omni.errors import ConfigError

NORM_EPS = 1e-5


class HmlpStem(nn.Module):
    """Three convolutions within each 16 x 16 patch (Touvron et al. 2022; ONE-PEACE 2023): k4 s4 to D/4, k2 s2, k2 s2
    to D, with a norm over channels and a GELU after the first two.

    No window crosses a patch, so each layer is a reshape and a matrix product over rows that keep their channels last;
    and a masked patch can be left out before the stem without changing the others.

    ``conv1.weight`` (D/4, 3, 4, 4), ``conv2.weight`` (D/4, D/4, 2, 2), ``conv3.weight`` (D, D/4, 2, 2) and the biases
    have the shapes of ordinary convolutions; ``norm1`` and ``norm2`` are over D/4.

    Args:
        width: D, a multiple of 4.
        patch_size: 16.
        channels: of the pixels.
    """

    def __init__(self, *, width: int, patch_size: int = 16, channels: int = 3) -> None:
        super().__init__()
        if patch_size != 16 or width % 4:
            raise ConfigError(
                f"The hmlp stem has patches of 16 and a width that 4 divides, not {patch_size} and {width}; "
                'use stem="patch" for other sizes.'
            )
        inner = width // 4
        self.conv1 = nn.Conv2d(channels, inner, 4, 4)
        self.norm1 = nn.LayerNorm(inner, eps=NORM_EPS)
        self.conv2 = nn.Conv2d(inner, inner, 2, 2)
        self.norm2 = nn.LayerNorm(inner, eps=NORM_EPS)
        self.conv3 = nn.Conv2d(inner, width, 2, 2)

    def forward(self, patches: Tensor) -> Tensor:
        """Embed patches.

        Args:
            patches: (..., C, 16, 16) pixels, any strides.

        Returns:
            (..., D).
        """
        lead, channels = patches.shape[:-3], patches.shape[-3]
        # y = (half, quarter, pixel), likewise x: rows ordered half y, half x, quarter y, quarter x merge by reshapes
        cells = patches.unflatten(-1, (2, 2, 4)).unflatten(-4, (2, 2, 4))
        axes = len(lead)
        order = [axes + index for index in (1, 4, 2, 5, 0, 3, 6)]
        rows = cells.permute(*range(axes), *order).reshape(-1, channels * 16)
        rows = F.linear(rows, self.conv1.weight.flatten(1), self.conv1.bias)
        rows = F.gelu(self.norm1(rows))
        rows = F.linear(rows.reshape(-1, 4 * rows.shape[-1]), _kernel_first(self.conv2.weight), self.conv2.bias)
        rows = F.gelu(self.norm2(rows))
        rows = F.linear(rows.reshape(-1, 4 * rows.shape[-1]), _kernel_first(self.conv3.weight), self.conv3.bias)
        return rows.view(*lead, -1)


class PatchStem(nn.Module):
    """One linear map a patch (ViT): ``conv.weight`` (D, 3, P, P) and ``conv.bias`` (D) of a convolution k = s = P.

    Args:
        width: D.
        patch_size: P.
        channels: of the pixels.
    """

    def __init__(self, *, width: int, patch_size: int = 16, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, patch_size, patch_size)

    def forward(self, patches: Tensor) -> Tensor:
        """(..., C, P, P) pixels, any strides -> (..., D)."""
        return F.linear(patches.flatten(-3), self.conv.weight.flatten(1), self.conv.bias)


class ConvStem(nn.Module):
    """Convolutions that overlap within each patch: k3 s2 until 2 x 2 cells are left, then a linear map of these.

    Overlapping windows learn from few pictures what patches cut by a grid learn from many (Xiao et al. 2021, "Early
    convolutions help transformers see better"); here they end at the patch, whose border is zero.

    Args:
        width: D, a multiple of 8.
        patch_size: P, a power of two from 8 on; large ones (32) suit the stem best.
        channels: of the pixels.

    Raises:
        ConfigError: another patch size or width.
    """

    def __init__(self, *, width: int, patch_size: int = 16, channels: int = 3) -> None:
        super().__init__()
        steps = patch_size.bit_length() - 2
        if patch_size < 8 or patch_size & (patch_size - 1) or width % 8:
            raise ConfigError(
                f"The conv stem has patches of 8, 16, 32, ... and a width that 8 divides, not {patch_size} and {width}."
            )
        sizes = [channels] + [max(width >> (steps - 1 - step), width // 8) for step in range(steps)]
        self.layers = nn.ModuleList(
            nn.Conv2d(sizes[step], sizes[step + 1], 3, stride=2, padding=1) for step in range(steps)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, size, eps=NORM_EPS) for size in sizes[1:])
        self.map = nn.Linear(4 * width, width)

    def forward(self, patches: Tensor) -> Tensor:
        """(..., C, P, P) pixels, any strides -> (..., D)."""
        lead = patches.shape[:-3]
        cells = patches.reshape(-1, *patches.shape[-3:])
        for layer, norm in zip(self.layers, self.norms, strict=True):
            cells = F.gelu(norm(layer(cells)))
        return self.map(cells.flatten(1)).view(*lead, -1)


STEMS: dict[str, type[nn.Module]] = {"hmlp": HmlpStem, "patch": PatchStem, "conv": ConvStem}


def _kernel_first(weight: Tensor) -> Tensor:
    """(out, in, ky, kx) -> (out, ky * kx * in), the order in which the reshape joins four rows."""
    return weight.permute(0, 2, 3, 1).flatten(1)
