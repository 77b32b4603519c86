"""The gated product of a feed-forward expert, in one matrix product."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def gated_ffn(tokens_BLD: Tensor, gate_up_weight: Tensor) -> Tensor:
    """GELU(W0 x) * (W1 x) with W0 and W1 stacked (2F, D): (B, L, F)."""
    gate, up = F.linear(tokens_BLD, gate_up_weight).chunk(2, -1)
    return F.gelu(gate) * up
