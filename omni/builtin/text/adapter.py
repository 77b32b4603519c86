"""Token ids to a token sequence: embedding, learnt class token, absolute positions, log-bucket position bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omni.builtin.text.vocabulary import PAD_ID, VOCAB_SIZE
from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.core.layers import init_linear
from omni.core.positions import AbsolutePositions1d, LogBucketBias
from omni.errors import ConfigError, InputError
from omni.types import TokenSequence

BIASES = ("shared", "per_layer", "none")


class TextAdapter(ModalityAdapter):
    """The text adapter of ONE-PEACE (2023).

    Args:
        modality, width, num_heads, num_layers: see ModalityAdapter.
        vocab_size: V; the default is the shipped BPE's.
        max_length: places for tokens, class token included; 514 as published.
        bucket: of the position bias (256 as published).
        relative_bias: "shared" (one table for all layers), "per_layer" or "none".

    Raises:
        ConfigError: unknown relative_bias.
    """

    def __init__(
        self,
        *,
        modality: str,
        width: int,
        num_heads: int,
        num_layers: int,
        vocab_size: int = VOCAB_SIZE,
        max_length: int = 514,
        bucket: int = 256,
        relative_bias: str = "shared",
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        self.class_token = nn.Parameter(torch.empty(width))
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions = AbsolutePositions1d(width=width, max_length=max_length)
        if relative_bias not in BIASES:
            raise ConfigError(f"relative_bias is one of {', '.join(BIASES)}, not {relative_bias!r}.")
        tables = num_layers if relative_bias == "per_layer" else 1
        self.bias = None
        if relative_bias != "none":
            self.bias = LogBucketBias(num_heads=num_heads, bucket=bucket, num_tables=tables)
        init_linear(self.class_token)
        init_linear(self.embedding.weight)
        with torch.no_grad():
            self.embedding.weight[PAD_ID].zero_()

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Embed ids.

        Args:
            inputs: ids_BL int64 (B, L) and valid_BL bool (B, L).
            keep_BL: (B, 1 + L), see ModalityAdapter.

        Returns:
            TokenSequence of 1 + L tokens, the class token first.

        Raises:
            InputError: more tokens than places, or an id beyond the vocabulary.
        """
        ids_BL = inputs["ids_BL"]
        batch, length = ids_BL.shape[0], ids_BL.shape[1] + 1
        if length > len(self.positions.weight):
            raise InputError(
                f"{self.modality} has {length - 1} tokens, but this model has places for "
                f"{len(self.positions.weight) - 1}; shorten it, or set truncate=True and max_length in its tokenizer."
            )
        self._check_ids(ids_BL)
        words = self.embedding(ids_BL)
        tokens = torch.cat((self.class_token.expand(batch, 1, -1), words), 1) + self.positions(length)
        valid = inputs["valid_BL"]
        sequence = TokenSequence(
            tokens_BLD=tokens,
            valid_BL=torch.cat((valid.new_ones(batch, 1), valid), 1),
            modality=self.modality,
            positions_BLP=torch.arange(length, device=tokens.device, dtype=tokens.dtype)[None, :, None],
            bias=() if self.bias is None else self.bias(length),
        )
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)

    def _check_ids(self, ids_BL: Tensor) -> None:
        """Only on the CPU, where looking costs no synchronisation; elsewhere the look-up itself fails."""
        if ids_BL.device.type != "cpu" or torch.compiler.is_compiling() or not ids_BL.numel():
            return
        if int(ids_BL.max()) >= self.embedding.num_embeddings:
            raise InputError(
                f"{self.modality} has the token id {int(ids_BL.max())}, but the model's vocabulary has "
                f"{self.embedding.num_embeddings}; use the tokenizer that the model was trained with."
            )
