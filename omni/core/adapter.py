"""The base of every modality adapter: raw tensors of one slot in, a token sequence of the core's width out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from omni.types import TokenSequence


class ModalityAdapter(nn.Module, ABC):
    """Turns one slot's tensors into tokens, a mask, positions and an attention bias.

    A subclass is built as ``Adapter(modality=..., width=D, num_heads=H, num_layers=..., **config)``; config keys are
    its own keyword arguments and must be JSON values, since they are saved with the model.

    Args:
        modality: the modality's name in the catalog; put into every TokenSequence.
        width: D, the width of the core.
        num_heads: H, for the position bias.
        num_layers: number of the core's blocks, for adapters with a bias table a layer.
    """

    def __init__(self, *, modality: str, width: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        self.modality = modality
        self.width = width
        self.num_heads = num_heads
        self.num_layers = num_layers

    @abstractmethod
    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Embed one slot.

        Args:
            inputs: what the modality's transform collated; each tensor starts with the batch dimension.
            keep_BL: (B, L) bool over the tokens of the unmasked sequence, summary token included: True = visible to the
                encoder. Every row keeps the same or fewer tokens; rows are padded to the longest. None = all.

        Returns:
            TokenSequence with tokens (B, L or K, D).
        """


def keep_tokens(sequence: TokenSequence, keep_BL: Tensor) -> TokenSequence:
    """Remove the tokens that are not kept (MAE style), with their positions and their rows and columns of the bias.

    Args:
        sequence: L tokens.
        keep_BL: (B, L) bool; tokens that are not valid are never kept.

    Returns:
        TokenSequence of K = max kept tokens a row, in their old order; shorter rows are padded (valid False).
    """
    keep_BL = keep_BL & sequence.valid_BL
    index_BK, valid_BK = kept_indices(keep_BL)
    batch, kept = index_BK.shape
    width = sequence.tokens_BLD.shape[-1]
    tokens = sequence.tokens_BLD.gather(1, index_BK[..., None].expand(batch, kept, width))
    positions = sequence.positions_BLP
    if positions is not None:
        positions = positions.expand(batch, -1, -1)
        positions = positions.gather(1, index_BK[..., None].expand(batch, kept, positions.shape[-1]))
    bias = tuple(_keep_bias(item, index_BK) for item in sequence.bias)
    return TokenSequence(
        tokens_BLD=tokens,
        valid_BL=valid_BK,
        modality=sequence.modality,
        positions_BLP=positions,
        summary_index=sequence.summary_index,
        bias=bias,
    )


def kept_indices(keep_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (B, K) of the True entries of each row, in order, and their mask (B, K); K is the largest count."""
    count_B = keep_BL.sum(1)
    kept = int(count_B.max()) if keep_BL.numel() else 0
    order = torch.argsort(~keep_BL, dim=1, stable=True)[:, :kept]
    valid = torch.arange(kept, device=keep_BL.device)[None] < count_B[:, None]
    return order, valid


def _keep_bias(bias: Tensor, index_BK: Tensor) -> Tensor:
    """Rows and columns of a (1 or B, H, L, L) bias at each sample's kept indices: (B, H, K, K)."""
    batch, kept = index_BK.shape
    heads, length = bias.shape[1], bias.shape[-1]
    rows = bias.expand(batch, -1, -1, -1).gather(2, index_BK[:, None, :, None].expand(batch, heads, kept, length))
    return rows.gather(3, index_BK[:, None, None, :].expand(batch, heads, kept, kept))
