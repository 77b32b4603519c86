"""The feature pyramid on one plain map of patch tokens (ViTDet, Li et al. 2022), and its shared tower."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni.types import CoreOutput

SCALES = (4.0, 2.0, 1.0, 0.5, 0.25)
_GROUPS = 8


class Pyramid(nn.Module):
    """Patch tokens (B, h * w, D) -> maps (B, C, s h, s w), one for each scale s, through a tower that all levels share.

    Scale 2 is a transposed convolution of stride 2, 4 is two of them, 1 a linear map, 1/2 and 1/4 a maximum over
    2 x 2 or 4 x 4 cells before it; each with a norm over groups of channels. The tower is ``depth`` 3 x 3
    convolutions with norm and SiLU, each added to its input.

    Args:
        width: D. channels: C, a multiple of 8. scales: which levels, of 4, 2, 1, 0.5, 0.25.
        depth: of the tower.

    Raises:
        ConfigError: other scales or channels.
    """

    def __init__(self, *, width: int, channels: int, scales: Sequence[float], depth: int) -> None:
        super().__init__()
        if not scales or any(scale not in SCALES for scale in scales):
            raise ConfigError(f"pyramid: scales {list(scales)} must be some of {list(SCALES)}.")
        if channels % _GROUPS or channels < _GROUPS:
            raise ConfigError(f"pyramid: channels {channels} must be a multiple of {_GROUPS}.")
        self.scales = tuple(float(scale) for scale in scales)
        self.levels = nn.ModuleList(_level(width, channels, scale) for scale in self.scales)
        self.tower = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(_GROUPS, channels), nn.SiLU())
            for _ in range(depth)
        )

    def forward(self, map_BDHW: Tensor) -> list[Tensor]:
        """One map a scale."""
        found = []
        for level in self.levels:
            features = level(map_BDHW)
            for layer in self.tower:
                features = features + layer(features)
            found.append(features)
        return found


def _level(width: int, channels: int, scale: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    if scale < 1:
        layers = [nn.MaxPool2d(round(1 / scale), ceil_mode=True), nn.Conv2d(width, channels, 1)]
    elif scale == 1:
        layers = [nn.Conv2d(width, channels, 1)]
    else:
        layers = [nn.ConvTranspose2d(width, channels, 2, 2)]
        if scale == 4:
            layers += [nn.GroupNorm(_GROUPS, channels), nn.GELU(), nn.ConvTranspose2d(channels, channels, 2, 2)]
    return nn.Sequential(*layers, nn.GroupNorm(_GROUPS, channels), nn.SiLU())


def token_map(core_output: CoreOutput, slot: str, grid: Sequence[int] | None, *, summary: int = 1) -> Tensor:
    """(B, D, h, w): a slot's patch tokens as a map.

    Args:
        slot: its name. grid: (rows, columns); None = as many of both as the tokens give.
        summary: tokens before the first patch (a class token).

    Raises:
        InputError: the slot is not there, some of its tokens are padding, or their number is not that of the grid.
    """
    if slot not in core_output.spans:
        has = ", ".join(core_output.spans) or "none"
        raise InputError(f"This head reads the patches of slot {slot!r}, which is not there (slots: {has}). Give it.")
    tokens_BLD = core_output.tokens(slot)[:, summary:]
    count = tokens_BLD.shape[1]
    rows, columns = (math.isqrt(count),) * 2 if grid is None else grid
    if rows * columns != count or not count:
        raise InputError(
            f"Slot {slot!r} has {count} patch tokens, which are no grid of {rows} x {columns}. Use a transform that "
            "gives every picture one size, and set the head's `grid` to its rows and columns of patches."
        )
    if not bool(core_output.valid(slot).all()):
        raise InputError(
            f"Slot {slot!r} is absent or padded in some samples of the batch; this head needs the whole picture."
        )
    return tokens_BLD.transpose(1, 2).unflatten(2, (rows, columns)).contiguous()


def flat(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, h, w) of all levels -> (B, P, C), level by level, row by row."""
    return torch.cat([item.flatten(2).transpose(1, 2) for item in maps], 1)


class LabelMatch(nn.Module):
    """Regions against labels: ``exp(s) * <r, e> + b`` with unit vectors r and e, a learnt scale and bias.

    The form of SigLIP (Zhai et al. 2023, section 3.2) on regions; ``s`` starts at log 10, ``b`` so that few match. The
    embeddings of labels are standardised first (each number of E by its mean and spread over the labels of a batch, in
    evaluation by their running values, as batch normalisation does): an untrained text tower gives all labels nearly
    one direction, and it would take hundreds of steps until regions could tell them apart.

    Args:
        width: of the region features. embedding_width: E of the model.
        bias: the first b.
    """

    def __init__(self, *, width: int, embedding_width: int, bias: float = -5.0) -> None:
        super().__init__()
        self.project = nn.Linear(width, embedding_width)
        nn.init.normal_(self.project.weight, std=width**-0.5)
        nn.init.zeros_(self.project.bias)
        self.spread = nn.BatchNorm1d(embedding_width, affine=False, eps=1e-7)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def embed(self, features: Tensor) -> Tensor:
        """(..., C) -> (..., E) unit vectors."""
        return F.normalize(self.project(features), dim=-1)

    def standardise(self, labels_KE: Tensor) -> Tensor:
        """(K, E) by the batch's own mean and spread in training, if it has two labels; else by the running ones."""
        if self.training and len(labels_KE) > 1:
            return self.spread(labels_KE)
        mean_E, variance_E = self.spread.running_mean, self.spread.running_var
        assert mean_E is not None and variance_E is not None
        return F.batch_norm(labels_KE, mean_E, variance_E, eps=self.spread.eps)

    def forward(self, regions: Tensor, labels_KE: Tensor) -> Tensor:
        """(..., E) unit vectors and K label embeddings (any length) -> logits (..., K).

        Raises:
            InputError: the labels have another width.
        """
        if labels_KE.ndim != 2 or labels_KE.shape[1] != regions.shape[-1]:
            raise InputError(
                f"Label embeddings must be (K, {regions.shape[-1]}), not {tuple(labels_KE.shape)}; encode the labels "
                "with the same model."
            )
        labels_KE = F.normalize(self.standardise(labels_KE.to(regions.dtype)), dim=-1)
        return self.log_scale.clamp(max=math.log(100.0)).exp() * (regions @ labels_KE.T) + self.bias
