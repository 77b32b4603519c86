"""The shared transformer over any number of slots: concatenate, attend together, route each token to its expert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from omni.core.layers import NORM_EPS, Block
from omni.errors import ConfigError, InputError
from omni.types import CoreOutput, TokenSequence


class OmniCore(nn.Module):
    """The ONE-PEACE encoder without its adapters.

    Attention, its norms and LayerScale are shared; feed-forward experts and the last norm belong to a modality. Slots
    of one modality share them. The position bias between different slots is zero.

    Args:
        width, num_layers, num_heads, ffn_width: D, number of blocks, H, F.
        modalities: names for which experts are built.
        layer_scale: start value of LayerScale, or None for no LayerScale.
        drop_path: rate of the last block; it grows linearly from 0 at the first.
        mask_padding: padded keys take no part in attention. Off only to compare with code that forgets them.

    Raises:
        ConfigError: D is not a multiple of H, or there is no modality.
    """

    def __init__(
        self,
        *,
        width: int,
        num_layers: int,
        num_heads: int,
        ffn_width: int,
        modalities: Sequence[str],
        layer_scale: float | None = 1e-6,
        drop_path: float = 0.0,
        mask_padding: bool = True,
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise ConfigError(f"width {width} is not a multiple of num_heads {num_heads}; change one of the two.")
        if not modalities:
            raise ConfigError("The core needs at least one modality; name some in `slots`.")
        self.width, self.num_heads, self.mask_padding = width, num_heads, mask_padding
        modalities = sorted(set(modalities))
        last = max(num_layers - 1, 1)
        self.layers = nn.ModuleList(
            Block(
                width=width,
                num_heads=num_heads,
                ffn_width=ffn_width,
                modalities=modalities,
                layer_scale=layer_scale,
                drop_path=drop_path * index / last,
            )
            for index in range(num_layers)
        )
        self.final_norms = nn.ModuleDict({name: nn.LayerNorm(width, eps=NORM_EPS) for name in modalities})

    def forward(self, segments: Mapping[str, TokenSequence], *, return_layers: bool = False) -> CoreOutput:
        """Encode one or more slots in one sequence.

        Args:
            segments: slot -> TokenSequence, all with B samples; their order is the order of the tokens.
            return_layers: also return the states after each block.

        Returns:
            CoreOutput; pooled states are the summary token's, or the mean over valid tokens.

        Raises:
            InputError: no slot; a modality without expert; batches of different size.
        """
        self._check(segments)
        spans = slot_spans(segments)
        tokens_BLD, valid_BL = _join(segments)
        valid_or_none = None if _all_true(valid_BL) else valid_BL
        if valid_or_none is not None:
            tokens_BLD = tokens_BLD.masked_fill(~valid_BL[..., None], 0.0)
        biases = self._biases(segments, spans, valid_or_none, tokens_BLD)
        routes = [(segments[slot].modality, span) for slot, span in spans.items()]
        layers = []
        for index, block in enumerate(self.layers):
            tokens_BLD = block(tokens_BLD, bias_BHLL=biases[index % len(biases)], spans=routes)
            if return_layers:
                layers.append(tokens_BLD)
        hidden = _cat([self.final_norms[name](tokens_BLD[:, span]) for name, span in routes])
        pooled = {slot: pool(hidden[:, span], segments[slot]) for slot, span in spans.items()}
        return CoreOutput(hidden_BLD=hidden, valid_BL=valid_BL, spans=spans, pooled=pooled, layers=tuple(layers))

    def _check(self, segments: Mapping[str, TokenSequence]) -> None:
        if not segments:
            raise InputError("The core was given no slot; pass at least one.")
        sizes = {slot: sequence.tokens_BLD.shape[0] for slot, sequence in segments.items()}
        if len(set(sizes.values())) > 1:
            raise InputError(f"Slots of one sequence need equally many samples, not {sizes}.")
        for slot, sequence in segments.items():
            if sequence.modality not in self.final_norms:
                raise InputError(
                    f"Slot {slot!r} needs the expert {sequence.modality!r}, but these weights have only "
                    f"{', '.join(self.final_norms)}. Load a model that was built with this modality."
                )
            if len(sequence.bias) not in (0, 1, len(self.layers)):
                raise InputError(
                    f"Slot {slot!r} has {len(sequence.bias)} bias tensors for {len(self.layers)} layers; "
                    "an adapter gives none, one, or one a layer."
                )

    def _biases(
        self,
        segments: Mapping[str, TokenSequence],
        spans: Mapping[str, slice],
        valid_BL: Tensor | None,
        tokens_BLD: Tensor,
    ) -> list[Tensor | None]:
        """What is added to the logits: one (1 or B, H, 1 or L, L) for all layers, or one a layer; built once."""
        device = tokens_BLD.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tokens_BLD.dtype
        count = max(1, *(len(sequence.bias) for sequence in segments.values()))
        mask_BL = valid_BL if self.mask_padding else None
        biases = []
        for index in range(count):
            parts = {slot: item.bias[index % len(item.bias)] for slot, item in segments.items() if item.bias}
            bias = self._block_diagonal(parts, spans, tokens_BLD)
            biases.append(_mask_keys(bias, mask_BL, dtype))
        return biases

    def _block_diagonal(
        self, parts: Mapping[str, Tensor], spans: Mapping[str, slice], tokens_BLD: Tensor
    ) -> Tensor | None:
        if not parts:
            return None
        length = tokens_BLD.shape[1]
        if len(spans) == 1:
            return next(iter(parts.values()))
        batch = max(part.shape[0] for part in parts.values())
        joint = tokens_BLD.new_zeros(batch, self.num_heads, length, length)
        for slot, part in parts.items():
            joint[:, :, spans[slot], spans[slot]] = part.to(joint.dtype)
        return joint


def slot_spans(segments: Mapping[str, TokenSequence]) -> dict[str, slice]:
    """slot -> slice of the joined token axis."""
    spans, start = {}, 0
    for slot, sequence in segments.items():
        stop = start + sequence.tokens_BLD.shape[1]
        spans[slot], start = slice(start, stop), stop
    return spans


def take_rows(sequence: TokenSequence, rows: Tensor) -> TokenSequence:
    """Samples of a sequence by index or mask; what all samples share stays shared."""

    def take(value: Tensor) -> Tensor:
        return value if value.shape[0] == 1 and sequence.valid_BL.shape[0] > 1 else value[rows]

    return TokenSequence(
        tokens_BLD=sequence.tokens_BLD[rows],
        valid_BL=sequence.valid_BL[rows],
        modality=sequence.modality,
        positions_BLP=None if sequence.positions_BLP is None else take(sequence.positions_BLP),
        summary_index=sequence.summary_index,
        bias=tuple(take(item) for item in sequence.bias),
    )


def pool(hidden_BLD: Tensor, sequence: TokenSequence) -> Tensor:
    """(B, D): the summary token's state, or the mean over valid tokens (zeros where there is none)."""
    if sequence.summary_index is not None:
        return hidden_BLD[:, sequence.summary_index]
    weight_BL = sequence.valid_BL.to(hidden_BLD.dtype)
    total = torch.einsum("bld,bl->bd", hidden_BLD, weight_BL)
    return total / weight_BL.sum(1, keepdim=True).clamp(min=1.0)


def _join(segments: Mapping[str, TokenSequence]) -> tuple[Tensor, Tensor]:
    tokens = _cat([sequence.tokens_BLD for sequence in segments.values()])
    return tokens, _cat([sequence.valid_BL for sequence in segments.values()])


def _cat(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), 1)


def _all_true(valid_BL: Tensor) -> bool:
    """Whether there is no padding at all; never asked while a graph is traced, where the answer would be frozen."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return bool(valid_BL.all())


def _mask_keys(bias: Tensor | None, valid_BL: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """The bias with the lowest finite number at padded keys (minus infinity would give a row without any key NaN)."""
    if valid_BL is None:
        return None if bias is None else bias.to(dtype)
    padded = ~valid_BL[:, None, None, :]
    lowest = torch.finfo(dtype).min
    if bias is None:
        return torch.zeros(padded.shape, dtype=dtype, device=valid_BL.device).masked_fill(padded, lowest)
    return bias.to(dtype).masked_fill(padded, lowest)
