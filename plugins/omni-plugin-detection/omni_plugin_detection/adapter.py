"""Pictures -> tokens by convolutions that overlap: for heads that must tell where things are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.adapter import keep_tokens
from omni.errors import ConfigError
from omni.types import TokenSequence
from omni_plugin_image.adapter import ImageAdapter

_EPS = 1e-5


class ConvImageAdapter(ImageAdapter):
    """The image adapter with an overlapping stem (Xiao et al. 2021, "Early convolutions help ...").

    3 x 3 convolutions of stride 2 with a norm over channels and GELU, from ``channels[0]`` on, until one cell a patch
    is left; after each from the second on ``depth`` 3 x 3 convolutions, each added to its input. Class token, positions
    and bias are those of the image adapter. Windows cross patches, so a token that is hidden is still seen in part by
    its neighbours: it is for supervised tasks, not for masked prediction.

    Args:
        modality, width, num_heads, num_layers, patch_size, image_size, relative_bias, parity: as of ImageAdapter;
            ``patch_size`` is a power of two from 4 on.
        channels: of the convolutions, one for each halving of the sides but the last, which has the width.
        depth: further convolutions a level.

    Raises:
        ConfigError: another patch size, or another number of channels than it needs.
    """

    def __init__(
        self, *, modality: str = "image", width: int, num_heads: int, num_layers: int, patch_size: int = 16,
        image_size: int | Sequence[int] = 224, channels: Sequence[int] = (24, 48, 96), depth: int = 1,
        relative_bias: str = "shared", parity: str = "default",
    ) -> None:  # fmt: skip
        super().__init__(
            modality=modality, width=width, num_heads=num_heads, num_layers=num_layers, stem="patch",
            patch_size=patch_size, image_size=image_size, relative_bias=relative_bias, parity=parity,
        )  # fmt: skip
        steps = patch_size.bit_length() - 1
        if patch_size < 4 or patch_size & (patch_size - 1) or len(channels) != steps - 1:
            raise ConfigError(
                f"image_conv: patches of {patch_size} need a power of two from 4 on, and channels for "
                f"{max(steps - 1, 1)} convolutions before the last; {list(channels)} are {len(channels)}."
            )
        sizes = [self.channels, *channels, width]
        self.stem = nn.Identity()
        self.down = nn.ModuleList(nn.Conv2d(sizes[i], sizes[i + 1], 3, 2, 1) for i in range(steps))
        self.norms = nn.ModuleList(nn.LayerNorm(size, eps=_EPS) for size in sizes[1:])
        self.blocks = nn.ModuleList(
            nn.ModuleList(_Block(size) for _ in range(depth if 0 < i < steps - 1 else 0))
            for i, size in enumerate(sizes[1:])
        )
        self.last = nn.Linear(width, width)

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """As ImageAdapter.forward; where pictures have different sizes, what lies outside of one is zero for every
        convolution, so that it does not matter how large the others are."""
        pixels = inputs["pixels_BCHW"]
        self._check(pixels)
        sizes = inputs.get("sizes_B2")
        map_BHWD = self._embed(pixels.to(self.class_token.dtype), sizes)
        if sizes is None:
            sequence = self._one_grid(map_BHWD)
        else:
            sequence = self._many_grids(map_BHWD, self._grids(sizes, map_BHWD))
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)

    def _embed(self, pixels_BCHW: Tensor, sizes_B2: Tensor | None) -> Tensor:
        """(B, h, w, D)."""
        features = pixels_BCHW.contiguous(memory_format=torch.channels_last)  # the norms then need no copies
        for step, (down, norm, blocks) in enumerate(zip(self.down, self.norms, self.blocks, strict=True)):
            features = _masked(F.gelu(_norm(down(features), norm)), sizes_B2, 2 ** (step + 1))
            for block in blocks:
                features = _masked(block(features), sizes_B2, 2 ** (step + 1))
        return self.last(features.permute(0, 2, 3, 1))


class _Block(nn.Module):
    """A 3 x 3 convolution with norm and GELU, added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.LayerNorm(channels, eps=_EPS)

    def forward(self, features: Tensor) -> Tensor:
        return features + F.gelu(_norm(self.conv(features), self.norm))


def _norm(features: Tensor, norm: nn.Module) -> Tensor:
    """A norm over the channels of (B, C, H, W)."""
    return norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _masked(features: Tensor, sizes_B2: Tensor | None, stride: int) -> Tensor:
    """(B, C, H, W) with zeros outside of each picture, whose height and width in pixels ``sizes_B2`` says."""
    if sizes_B2 is None:
        return features
    row = torch.arange(features.shape[2], device=features.device)
    column = torch.arange(features.shape[3], device=features.device)
    size_B2 = sizes_B2.to(features.device) // stride
    inside = (row[:, None] < size_B2[:, :1, None]) & (column[None] < size_B2[:, 1:, None])
    return features * inside[:, None].to(features.dtype)
