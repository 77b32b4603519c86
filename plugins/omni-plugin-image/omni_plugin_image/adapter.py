"""Pictures of any size and aspect -> tokens: stem, class token, 2d positions, relative position bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.core.positions import AbsolutePositions2d, GridBias
from omni.errors import ConfigError, InputError
from omni.types import TokenSequence
from omni_plugin_image.stems import STEMS

BIASES = ("shared", "per_layer", "none")


class ImageAdapter(ModalityAdapter):
    """The image adapter of ONE-PEACE (2023), for any grid of patches.

    A picture of h x w patches becomes a class token and h * w tokens, row by row. In a batch of different sizes each
    picture is embedded by its own grid: positions and bias do not depend on the others or on padding.

    Parameters for converters: ``class_token`` (1, 1, D); ``stem.*`` (see omni_plugin_image.stems); ``positions.weight``
    (gh * gw + 1, D), class token first; ``bias.tables.{i}`` ((2 gh - 1)(2 gw - 1) + 3, H).

    Args:
        modality, width, num_heads, num_layers: as in ModalityAdapter.
        stem: "hmlp" (patches of 16), "patch", or "conv" (patches of 8, 16, 32, ...).
        patch_size: P in pixels.
        image_size: the size that the position tables are made for, a side or (height, width) in pixels. Other sizes
            read the absolute table bicubically (float32) and the bias table by geometric splines (omni.core.positions).
        relative_bias: "shared" (one table for all layers), "per_layer" or "none".
        parity: "published" bounds the ratio of the bias table's geometric sequence as the published code does.

    Attributes:
        channels: C of the pixels; subclasses of other modalities have other numbers.

    Raises:
        ConfigError: a size that is no multiple of the patch size, an unknown stem or bias.
    """

    channels: ClassVar[int] = 3

    def __init__(
        self,
        *,
        modality: str = "image",
        width: int,
        num_heads: int,
        num_layers: int,
        stem: str = "hmlp",
        patch_size: int = 16,
        image_size: int | Sequence[int] = 224,
        relative_bias: str = "shared",
        parity: str = "default",
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        height, wide = (image_size, image_size) if isinstance(image_size, int) else image_size
        if stem not in STEMS:
            raise ConfigError(f"The image adapter has the stems {', '.join(STEMS)}, not {stem!r}.")
        if relative_bias not in BIASES:
            raise ConfigError(f"relative_bias is one of {', '.join(BIASES)}, not {relative_bias!r}.")
        if min(height, wide) < patch_size or height % patch_size or wide % patch_size:
            raise ConfigError(f"image_size {height} x {wide} must be a multiple of patch_size {patch_size}.")
        self.patch_size = patch_size
        grid = (height // patch_size, wide // patch_size)
        self.stem = STEMS[stem](width=width, patch_size=patch_size, channels=self.channels)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        self.positions = AbsolutePositions2d(width=width, grid=grid)
        tables = num_layers if relative_bias == "per_layer" else 1
        self.bias = None
        if relative_bias != "none":
            self.bias = GridBias(num_heads=num_heads, grid=grid, num_tables=tables, published=parity == "published")

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Embed pictures.

        Args:
            inputs: ``pixels_BCHW`` float, normalised, sides multiples of the patch size; where pictures have different
                sizes also ``sizes_B2`` int64, height and width in pixels of the real part (top left) of each.
            keep_BL: (B, L) over class token and patches, L of the largest picture; None = all.

        Returns:
            TokenSequence, L = 1 + patches of the largest picture; smaller ones are padded at the end. positions_BLP are
            (row, column), the class token's are (-1, -1).

        Raises:
            InputError: not pictures of C channels, or sides that the patch size does not divide.
        """
        pixels = inputs["pixels_BCHW"]
        self._check(pixels)
        patches = self._patches(pixels.to(self.class_token.dtype))
        sizes = inputs.get("sizes_B2")
        if sizes is None:
            sequence = self._one_grid(patches)
        else:
            sequence = self._many_grids(patches, self._grids(sizes, patches))
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)

    def _check(self, pixels: Tensor) -> None:
        if pixels.dim() != 4 or pixels.shape[1] != self.channels:
            raise InputError(
                f"The {self.modality} adapter needs pixels of shape (B, {self.channels}, H, W), "
                f"not {tuple(pixels.shape)}."
            )
        height, width = pixels.shape[2:]
        if min(height, width) < self.patch_size or height % self.patch_size or width % self.patch_size:
            raise InputError(
                f"Pictures of {height} x {width} pixels do not divide into patches of {self.patch_size}; resize them "
                "to multiples of it (its transform does)."
            )

    def _patches(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, h, w, C, P, P), a view."""
        size = self.patch_size
        return pixels.unflatten(3, (-1, size)).unflatten(2, (-1, size)).permute(0, 2, 4, 1, 3, 5)

    def _grids(self, sizes_B2: Tensor, patches: Tensor) -> list[tuple[int, int]]:
        size, (height, width) = self.patch_size, patches.shape[1:3]
        grids = [(int(tall), int(wide)) for tall, wide in sizes_B2.tolist()]
        for row, (tall, wide) in enumerate(grids):
            if tall % size or wide % size or not (0 < tall <= height * size and 0 < wide <= width * size):
                raise InputError(
                    f"sizes_B2[{row}] = {tall} x {wide} must be multiples of {size} within the batch's "
                    f"{height * size} x {width * size} pixels."
                )
        return [(tall // size, wide // size) for tall, wide in grids]

    def _one_grid(self, patches: Tensor) -> TokenSequence:
        batch, height, width = patches.shape[:3]
        tokens = self.stem(patches).flatten(1, 2)
        tokens = torch.cat((self.class_token.to(tokens.dtype).expand(batch, -1, -1), tokens), 1)
        tokens = tokens + self.positions(height, width).to(tokens.dtype)
        return TokenSequence(
            tokens_BLD=tokens,
            valid_BL=torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device),
            modality=self.modality,
            positions_BLP=_coordinates(height, width, tokens.device)[None],
            bias=() if self.bias is None else self.bias(height, width),
        )

    def _many_grids(self, patches: Tensor, grids: list[tuple[int, int]]) -> TokenSequence:
        device, (high, wide) = patches.device, patches.shape[1:3]
        row, column = torch.arange(high, device=device), torch.arange(wide, device=device)
        grid_B2 = torch.tensor(grids, device=device)
        real = (row[None, :, None] < grid_B2[:, :1, None]) & (column[None, None, :] < grid_B2[:, 1:, None])
        count = [1 + height * width for height, width in grids]
        length = max(count)
        valid_BL = torch.arange(length, device=device)[None] < torch.tensor(count, device=device)[:, None]
        embedded = self.stem(patches[real])  # only real patches, picture by picture, row by row
        per_picture = embedded.split([number - 1 for number in count])
        class_token = self.class_token[0].to(embedded.dtype)
        tables = {grid: self.positions(*grid)[0].to(embedded.dtype) for grid in set(grids)}
        tokens = torch.stack(
            [
                F.pad(torch.cat((class_token, item)) + tables[grid], (0, 0, 0, length - number))
                for item, grid, number in zip(per_picture, grids, count, strict=True)
            ]
        )
        places = {grid: _coordinates(*grid, device) for grid in set(grids)}
        positions = torch.stack([F.pad(places[grid], (0, 0, 0, length - len(places[grid]))) for grid in grids])
        return TokenSequence(
            tokens_BLD=tokens,
            valid_BL=valid_BL,
            modality=self.modality,
            positions_BLP=positions,
            bias=self._many_biases(grids, length),
        )

    def _many_biases(self, grids: list[tuple[int, int]], length: int) -> tuple[Tensor, ...]:
        if self.bias is None:
            return ()
        made = {}
        for height, width in set(grids):
            extra = length - 1 - height * width
            made[height, width] = [F.pad(bias, (0, extra, 0, extra)) for bias in self.bias(height, width)]
        return tuple(torch.cat([made[grid][table] for grid in grids]) for table in range(len(self.bias.tables)))


def _coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """(1 + height * width, 2) float: row and column of each token, -1 for the class token."""
    row = torch.arange(height, device=device).repeat_interleave(width)
    column = torch.arange(width, device=device).repeat(height)
    return F.pad(torch.stack((row, column), -1).float(), (0, 0, 1, 0), value=-1.0)
