"""Learnt queries that read whatever the core holds, and turn into latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni.types import CoreOutput

NORM_EPS = 1e-5


def init_linears(module: nn.Module, *, gain: float = 1.0) -> None:
    """Weights with a spread of gain / sqrt(inputs), so that what differs between samples is not drowned; biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=gain * part.in_features**-0.5)
            nn.init.zeros_(part.bias)


class ReaderBlock(nn.Module):
    """q += CrossAttention(LN q, tokens); q += SelfAttention(LN q); q += MLP(LN q): a transformer decoder's block
    (Vaswani et al. 2017), norms first, as planes are made in LRM (Hong et al. 2024, section 3.2).

    Args:
        hidden: width of the queries. num_heads: of both attentions.
    """

    def __init__(self, *, hidden: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.cross_norm, self.self_norm, self.mlp_norm = (nn.LayerNorm(hidden, eps=NORM_EPS) for _ in range(3))
        self.cross_q, self.cross_kv = nn.Linear(hidden, hidden), nn.Linear(hidden, 2 * hidden)
        self.cross_out, self.self_out = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.self_qkv = nn.Linear(hidden, 3 * hidden)
        self.mlp = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden))

    def forward(self, queries_BQD: Tensor, context_BLD: Tensor, valid_BL: Tensor) -> Tensor:
        """Read the valid tokens; every row has one."""
        q = self.cross_q(self.cross_norm(queries_BQD))
        k, v = self.cross_kv(context_BLD).chunk(2, 2)
        read = self._attend(q, k, v, valid_BL[:, None, None])
        queries_BQD = queries_BQD + self.cross_out(read)
        q, k, v = self.self_qkv(self.self_norm(queries_BQD)).chunk(3, 2)
        queries_BQD = queries_BQD + self.self_out(self._attend(q, k, v, None))
        return queries_BQD + self.mlp(self.mlp_norm(queries_BQD))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (x.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class Reader(nn.Module):
    """Q learnt queries -> (B, Q, hidden), by cross-attention to all valid tokens of the core's output.

    Each query starts from a linear map of its own of the mean token, beside what it has learnt: from queries that are
    the same for every sample the first steps see next to nothing of the sample. A learnt token stands beside the
    core's, so that nothing is read of padding, however much of it there is.

    Args:
        width: D of the core. queries: Q. hidden: their width. depth: blocks. num_heads: of attention.

    Raises:
        ConfigError: sizes that are not positive, or a hidden width that the heads do not divide.
    """

    def __init__(self, *, width: int, queries: int, hidden: int, depth: int, num_heads: int) -> None:
        super().__init__()
        if min(queries, hidden, depth, num_heads) < 1 or hidden % num_heads:
            raise ConfigError(
                f"A shape head needs queries ({queries}), depth ({depth}) and num_heads ({num_heads}) above 0, and a "
                f"hidden width ({hidden}) that num_heads divides."
            )
        self.enter = nn.Sequential(nn.LayerNorm(width, eps=NORM_EPS), nn.Linear(width, hidden))
        self.blank = nn.Parameter(torch.empty(1, 1, hidden))
        self.queries = nn.Parameter(torch.empty(1, queries, hidden))
        self.start = nn.Sequential(nn.LayerNorm(hidden, eps=NORM_EPS), nn.Linear(hidden, queries * hidden))
        self.blocks = nn.ModuleList(ReaderBlock(hidden=hidden, num_heads=num_heads) for _ in range(depth))
        self.leave = nn.LayerNorm(hidden, eps=NORM_EPS)
        init_linears(self)
        nn.init.trunc_normal_(self.blank, std=0.02)
        nn.init.trunc_normal_(self.queries, std=0.5)  # queries that are alike would stay alike for long

    def forward(self, core_output: CoreOutput) -> Tensor:
        """Read ``hidden_BLD`` where ``valid_BL``; padding changes nothing, whatever it holds."""
        valid_BL = core_output.valid_BL
        tokens = self.enter(core_output.hidden_BLD.masked_fill(~valid_BL[..., None], 0.0))
        context = torch.cat((self.blank.expand(len(tokens), -1, -1).to(tokens.dtype), tokens), 1)
        valid_BL = F.pad(valid_BL, (1, 0), value=True)
        mean = (context * valid_BL[..., None]).sum(1) / valid_BL.sum(1, keepdim=True)
        queries = self.queries.to(tokens.dtype) + self.start(mean).unflatten(1, self.queries.shape[1:])
        for block in self.blocks:
            queries = block(queries, context, valid_BL)
        return self.leave(queries)


def check_rows(core_output: CoreOutput, who: str) -> None:
    """Raise an InputError if a sample has no token at all: there is nothing to predict a shape from."""
    empty_B = ~core_output.valid_BL.any(1)
    if bool(empty_B.any()):
        row = int(empty_B.nonzero()[0])
        raise InputError(f"{who}: sample {row} has none of the slots, so there is nothing to make a shape of.")
