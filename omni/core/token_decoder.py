"""A causal decoder over any discrete vocabulary that reads the tokens of any slots.

Embedding and learnt positions -> blocks of causal self-attention, cross-attention to the memory, and a gated
feed-forward -> norm -> logits by the same embedding. Positions are learnt because what is decoded here is short: a
table costs nothing, and no position outside it can be asked for unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.layers import NORM_EPS, GatedExpert, SelfAttention, init_linear
from omni.errors import ConfigError, InputError


class KeyValueCache(Protocol):
    """What the self-attention of a decoder that goes token by token remembers (transformers' DynamicCache does)."""

    def update(self, keys: Tensor, values: Tensor, layer: int, *args: Any) -> tuple[Tensor, Tensor]:
        """Append (B, H, T, d) to the layer's keys and values; all of them so far."""

    def get_seq_length(self) -> int:
        """Tokens so far."""


class TokenCache:
    """A plain KeyValueCache, for use without transformers."""

    def __init__(self) -> None:
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def update(self, keys: Tensor, values: Tensor, layer: int, *args: Any) -> tuple[Tensor, Tensor]:
        """As of KeyValueCache."""
        if layer in self._layers:
            before = self._layers[layer]
            keys, values = torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)
        self._layers[layer] = keys, values
        return keys, values

    def get_seq_length(self) -> int:
        """As of KeyValueCache."""
        return self._layers[min(self._layers)][0].shape[2] if self._layers else 0


@dataclass(kw_only=True)
class Memory:
    """What the cross-attentions read, computed once for a batch.

    Attributes:
        keys_values: of each block with cross-attention: (B, H, L, d) keys, (B, H, L, d) values.
        valid_B11L: bool, which of the tokens are read; None = all.
    """

    keys_values: tuple[tuple[Tensor, Tensor], ...]
    valid_B11L: Tensor | None


@dataclass(kw_only=True)
class DecoderOutput:
    """Results for (R, T) tokens.

    Attributes:
        logits_RTV: of the next token after each.
        hidden_RTD: the states behind the logits, after the last norm.
        unimodal_RTD: after the blocks without cross-attention (CoCa's text states); equal to the embeddings when there
            are none.
    """

    logits_RTV: Tensor
    hidden_RTD: Tensor
    unimodal_RTD: Tensor


class CausalSelfAttention(SelfAttention):
    """The core's self-attention in which a token sees itself and those before it."""

    def causal(self, tokens_BLD: Tensor, *, cache: KeyValueCache | None, layer: int) -> Tensor:
        """(B, T, D) normalised tokens, those of the cache before them -> (B, T, D)."""
        batch, length, width = tokens_BLD.shape
        qkv_bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = F.linear(tokens_BLD, self.qkv_weight, qkv_bias).view(batch, length, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if cache is not None:
            k, v = cache.update(k, v, layer)
        before, mask = k.shape[2] - length, None
        if before and length > 1:
            seen = torch.ones(length, before + length, dtype=torch.bool, device=k.device)
            mask = seen.tril(before)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and length > 1)
        return self.out(self.norm(mixed.transpose(1, 2).flatten(2)))


class CrossAttention(nn.Module):
    """O(LN(softmax(q k^T / sqrt(d) + mask) v)) with keys and values of a memory.

    Args:
        width: D of the queries. memory_width: of the memory. num_heads: H.
        gate: multiply the branch by tanh of a learnt number that begins at 0 (Alayrac et al. 2022, Flamingo), so that a
            trained decoder is not disturbed at the start.
    """

    def __init__(self, *, width: int, memory_width: int, num_heads: int, gate: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(memory_width, 2 * width)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.out = nn.Linear(width, width)
        self.gate = nn.Parameter(torch.zeros(())) if gate else None
        for linear in (self.query, self.key_value, self.out):
            init_linear(linear.weight)
            nn.init.zeros_(linear.bias)

    def read(self, memory_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, (B, H, L, d) each."""
        both = self.key_value(memory_BLD).unflatten(-1, (2, self.num_heads, -1))
        keys, values = both.permute(2, 0, 3, 1, 4).unbind(0)
        return keys.contiguous(), values.contiguous()

    def forward(self, tokens_RTD: Tensor, keys_values: tuple[Tensor, Tensor], valid_B11L: Tensor | None) -> Tensor:
        """(R, T, D) -> (R, T, D); R is B, or a multiple of it whose rows of one sample stand together (beams): they
        share the sample's keys and values."""
        rows, length, width = tokens_RTD.shape
        keys, values = keys_values
        batch = keys.shape[0]
        q = self.query(tokens_RTD).view(batch, rows // batch * length, self.num_heads, -1).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=valid_B11L)
        branch = self.out(self.norm(mixed.transpose(1, 2).reshape(rows, length, width)))
        return branch if self.gate is None else branch * self.gate.tanh()


class DecoderBlock(nn.Module):
    """x += SelfAttention(LN x); x += CrossAttention(LN x, memory) where there is one; x += FFN(LN x)."""

    def __init__(
        self, *, width: int, num_heads: int, ffn_width: int, memory_width: int | None, gate: bool, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = CausalSelfAttention(width=width, num_heads=num_heads)
        self.cross = None
        if memory_width is not None:
            self.cross_norm = nn.LayerNorm(width, eps=NORM_EPS)
            self.cross = CrossAttention(width=width, memory_width=memory_width, num_heads=num_heads, gate=gate)
        self.ffn_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.ffn = GatedExpert(width=width, ffn_width=ffn_width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens_RTD: Tensor,
        *,
        keys_values: tuple[Tensor, Tensor] | None,
        valid_B11L: Tensor | None,
        cache: KeyValueCache | None,
        layer: int,
    ) -> Tensor:
        """One block over (R, T, D)."""
        branch = self.attention.causal(self.attention_norm(tokens_RTD), cache=cache, layer=layer)
        tokens_RTD = tokens_RTD + self.dropout(branch)
        if self.cross is not None and keys_values is not None:
            branch = self.cross(self.cross_norm(tokens_RTD), keys_values, valid_B11L)
            tokens_RTD = tokens_RTD + self.dropout(branch)
        return tokens_RTD + self.dropout(self.ffn(self.ffn_norm(tokens_RTD)))


class Bottleneck(nn.Module):
    """A memory of any length as K tokens: learnt queries attend to it (CoCa's attentional pooler, Yu et al. 2022)."""

    def __init__(self, *, num_tokens: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.query_KD = nn.Parameter(nn.init.trunc_normal_(torch.empty(num_tokens, width), std=0.02))
        self.attention = CrossAttention(width=width, memory_width=width, num_heads=num_heads)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(self, memory_BLD: Tensor, valid_B11L: Tensor | None) -> Tensor:
        """(B, L, D) -> (B, K, D)."""
        query_BKD = self.query_KD.expand(memory_BLD.shape[0], -1, -1)
        return self.norm(self.attention(query_BKD, self.attention.read(memory_BLD), valid_B11L))


class TokenDecoder(nn.Module):
    """See the module.

    Args:
        width: D of the decoder.
        num_layers, num_heads, ffn_width: its size.
        vocab_size: V.
        max_length: the most tokens of a sequence, the begin token included.
        memory_width: of the states that it reads; None = ``width``.
        num_unimodal_layers: so many of the first blocks have no cross-attention (CoCa's unimodal half).
        bottleneck: read the memory through so many learnt queries; 0 = all of its tokens.
        gate: see CrossAttention.
        tied: logits by the embedding's own matrix; False = a map of their own.
        dropout: on every branch.

    Raises:
        ConfigError: sizes that do not fit together.
    """

    def __init__(
        self,
        *,
        width: int,
        num_layers: int,
        num_heads: int,
        ffn_width: int,
        vocab_size: int,
        max_length: int = 64,
        memory_width: int | None = None,
        num_unimodal_layers: int = 0,
        bottleneck: int = 0,
        gate: bool = False,
        tied: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % num_heads or vocab_size < 2 or max_length < 2 or num_layers < 1:
            raise ConfigError(
                f"token decoder: width {width} must be a multiple of {num_heads} heads; at least 2 tokens, 2 places "
                "and 1 layer."
            )
        if not 0 <= num_unimodal_layers <= num_layers or bottleneck < 0:
            raise ConfigError(
                f"token decoder: {num_unimodal_layers} unimodal of {num_layers} layers, a bottleneck of {bottleneck}."
            )
        self.vocab_size, self.max_length, self.num_unimodal_layers = vocab_size, max_length, num_unimodal_layers
        inner = memory_width or width
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions = nn.Parameter(torch.empty(max_length, width))
        self.bottleneck = Bottleneck(num_tokens=bottleneck, width=inner, num_heads=num_heads) if bottleneck else None
        self.layers = nn.ModuleList(
            DecoderBlock(
                width=width,
                num_heads=num_heads,
                ffn_width=ffn_width,
                memory_width=inner if layer >= num_unimodal_layers else None,
                gate=gate,
                dropout=dropout,
            )
            for layer in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.out = None if tied else nn.Linear(width, vocab_size, bias=False)
        for weight in (self.embedding.weight, self.positions, *(() if self.out is None else (self.out.weight,))):
            init_linear(weight)

    def read(self, hidden_BLD: Tensor, valid_BL: Tensor | None = None) -> Memory:
        """The memory of a batch: keys and values of every cross-attention.

        Args:
            hidden_BLD: states of any slots. valid_BL: which of them are real; None = all.

        Raises:
            InputError: a sample of which nothing is real.
        """
        mask = None
        if valid_BL is not None and not bool(valid_BL.all()):
            if not bool(valid_BL.any(1).all()):
                raise InputError("The decoder was given a sample without any real token to read.")
            mask = valid_BL[:, None, None]
        if self.bottleneck is not None:
            hidden_BLD, mask = self.bottleneck(hidden_BLD, mask), None
        crosses = [layer.cross for layer in self.layers if layer.cross is not None]
        return Memory(keys_values=tuple(cross.read(hidden_BLD) for cross in crosses), valid_B11L=mask)

    def forward(
        self, ids_RT: Tensor, memory: Memory | None = None, *, cache: KeyValueCache | None = None
    ) -> DecoderOutput:
        """Logits of the next token after each of ``ids_RT``. Padding belongs behind the real tokens: no token sees what
        comes after it.

        Args:
            ids_RT: (R, T) int64; with a cache the tokens that follow those in it.
            memory: of ``read``, of R samples or of a part of R of which every sample has equally many rows one after
                another (beams). None = the blocks go without cross-attention.

        Raises:
            InputError: more tokens than there are places, or rows that are no multiple of the memory's.
        """
        start = 0 if cache is None else cache.get_seq_length()
        stop = start + ids_RT.shape[1]
        if stop > self.max_length:
            raise InputError(f"{stop} tokens, but this decoder has {self.max_length} places.")
        if memory is not None and memory.keys_values and ids_RT.shape[0] % memory.keys_values[0][0].shape[0]:
            raise InputError(f"{ids_RT.shape[0]} rows for a memory of {memory.keys_values[0][0].shape[0]} samples.")
        states = self.embedding(ids_RT) + self.positions[start:stop]
        unimodal = states
        for layer, block in enumerate(self.layers):
            place = layer - self.num_unimodal_layers
            reads = memory is not None and place >= 0
            states = block(
                states,
                keys_values=memory.keys_values[place] if reads and memory is not None else None,
                valid_B11L=memory.valid_B11L if memory is not None else None,
                cache=cache,
                layer=layer,
            )
            if place == -1:
                unimodal = states
        hidden = self.final_norm(states)
        weight = self.embedding.weight if self.out is None else self.out.weight
        return DecoderOutput(logits_RTV=F.linear(hidden, weight), hidden_RTD=hidden, unimodal_RTD=unimodal)
