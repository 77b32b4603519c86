"""The small decoder of masked prediction: visible states in, states of every token out (ONE-PEACE, 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from omni.core.adapter import kept_indices
from omni.core.encoder import OmniCore
from omni.core.layers import init_linear
from omni.core.positions import AbsolutePositions1d, AbsolutePositions2d
from omni.errors import ConfigError, InputError
from omni.types import CoreOutput, TokenSequence


@dataclass(kw_only=True)
class DenoisedTokens:
    """One slot's states for a denoising loss, over the tokens of its unmasked sequence, summary token included.

    Attributes:
        student_BLD: what the decoder predicts from the visible tokens.
        teacher_BLD: the encoder's final states of the unmasked input, without gradient.
        masked_BL: True = was hidden from the student (always a valid token).
        valid_BL: True = real token that may be a target; the summary token is not one.
    """

    student_BLD: Tensor
    teacher_BLD: Tensor
    masked_BL: Tensor
    valid_BL: Tensor


class Denoiser(nn.Module):
    """Linear to the decoder's width, mask tokens at hidden places, absolute positions, a small core, Linear back.

    The small core has no LayerScale, no position bias and no drop path, as published.

    Args:
        core_width: D of the encoder.
        modalities: names.
        width, num_layers, num_heads, ffn_width: of the decoder.
        positions: modality -> {"max_length": tokens} of a 1d table or {"grid": [height, width]} of a 2d one, both with
            a place for the summary token. A modality that is not named gets a 1d table of 1026 places.
        mask_padding: padded keys take no part in the decoder's attention. Off only to compare with published code.
    """

    def __init__(
        self,
        *,
        core_width: int,
        modalities: Sequence[str],
        width: int,
        num_layers: int,
        num_heads: int,
        ffn_width: int,
        positions: Mapping[str, Mapping[str, Any]] | None = None,
        mask_padding: bool = True,
    ) -> None:
        super().__init__()
        named = positions or {}
        self.embeds = nn.ModuleDict({name: nn.Linear(core_width, width) for name in modalities})
        self.outs = nn.ModuleDict({name: nn.Linear(width, core_width) for name in modalities})
        self.mask_tokens = nn.ParameterDict({name: nn.Parameter(torch.empty(width)) for name in modalities})
        self.positions = nn.ModuleDict({name: _positions(width, named.get(name, {})) for name in modalities})
        for name in modalities:
            init_linear(self.mask_tokens[name])
            for linear in (self.embeds[name], self.outs[name]):
                init_linear(linear.weight)
                nn.init.zeros_(linear.bias)
        self.core = OmniCore(
            width=width,
            num_layers=num_layers,
            num_heads=num_heads,
            ffn_width=ffn_width,
            modalities=modalities,
            layer_scale=None,
            mask_padding=mask_padding,
        )

    def forward(
        self, visible: CoreOutput, *, keep: Mapping[str, Tensor], whole: Mapping[str, TokenSequence]
    ) -> dict[str, Tensor]:
        """Predict the states of all tokens.

        Args:
            visible: the encoder's output on the kept tokens, one span a slot.
            keep: slot -> (B, L) bool, the tokens that were kept; a slot that is not named kept all.
            whole: slot -> the unmasked sequence: its mask, positions and modality are read.

        Returns:
            slot -> (B, L, D) in the encoder's width.
        """
        segments = {}
        for slot, sequence in whole.items():
            keep_BL = sequence.valid_BL if slot not in keep else keep[slot] & sequence.valid_BL
            segments[slot] = TokenSequence(
                tokens_BLD=self._fill(slot, visible, keep_BL, sequence),
                valid_BL=sequence.valid_BL,
                modality=sequence.modality,
                summary_index=sequence.summary_index,
            )
        output = self.core(segments)
        return {slot: self.outs[whole[slot].modality](output.tokens(slot)) for slot in whole}

    def _fill(self, slot: str, visible: CoreOutput, keep_BL: Tensor, sequence: TokenSequence) -> Tensor:
        """(B, L, D'): embedded visible states at their places, the mask token elsewhere, positions added."""
        states = self.embeds[sequence.modality](visible.tokens(slot))
        mask_token = self.mask_tokens[sequence.modality].to(states.dtype)
        index_BK, valid_BK = kept_indices(keep_BL)
        batch, length = keep_BL.shape
        rows = torch.arange(batch, device=keep_BL.device)[:, None].expand_as(index_BK)
        tokens = mask_token.expand(batch, length, -1)
        tokens = tokens.index_put((rows[valid_BK], index_BK[valid_BK]), states[valid_BK])
        table = self.positions[sequence.modality]
        if isinstance(table, AbsolutePositions1d):
            if length > len(table.weight):
                raise InputError(
                    f"Slot {slot!r} has {length} tokens, but the decoder has places for {len(table.weight)}; "
                    "shorten the input or raise `max_length` of the decoder's positions."
                )
            return tokens + table(length)
        return tokens + _grid_positions(table, sequence)


def _positions(width: int, options: Mapping[str, Any]) -> AbsolutePositions1d | AbsolutePositions2d:
    options = dict(options)
    if "grid" in options:
        grid = options.pop("grid")
        table: AbsolutePositions1d | AbsolutePositions2d = AbsolutePositions2d(width=width, grid=tuple(grid))
    else:
        table = AbsolutePositions1d(width=width, max_length=int(options.pop("max_length", 1026)))
    if options:
        raise ConfigError(f"The decoder's positions know max_length or grid, not {', '.join(options)}.")
    return table


def _grid_positions(table: AbsolutePositions2d, sequence: TokenSequence) -> Tensor:
    """Positions of a slot on a grid: from its (row, column) coordinates, or as a square when it has none."""
    where = sequence.positions_BLP
    length = sequence.valid_BL.shape[1]
    if where is None:
        side = math.isqrt(length - 1)
        if side * side != length - 1:
            raise InputError(f"{length - 1} tokens are no square grid; the adapter must give positions_BLP.")
        return table(side, side)
    rest = where[:, 1:].round().long()
    height, width = (int(size) for size in rest.flatten(0, 1).amax(0) + 1)
    index = rest[..., 0].clamp(0, height - 1) * width + rest[..., 1].clamp(0, width - 1) + 1
    index = torch.cat((torch.zeros_like(index[:, :1]), index), 1)
    return table(height, width)[0][index]
