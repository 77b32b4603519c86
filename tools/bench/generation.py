"""Generating tokens, against transformers' BART decoder of equal size, both through transformers' ``generate``."""

from __future__ import annotations

from typing import Any

import torch

from omni.core.token_decoder import TokenDecoder
from omni.heads.generation import generate
from tools.bench.timing import interleave, row

BATCH, TOKENS, MEMORY, VOCABULARY = 32, 20, 65, 16_384
WIDTH, LAYERS, HEADS, PEER_FFN = 96, 2, 4, 384
BEGIN, PAD, END = 0, 1, 2
MOST = 1.1


def bench_generation() -> list[dict[str, Any]]:
    """32 samples, 20 tokens each, greedily and by three beams. Both are given the states that they read (65 tokens, a
    third of the samples shorter); reading them into keys and values is part of what is timed."""
    torch.manual_seed(0)
    hidden = torch.randn(BATCH, MEMORY, WIDTH)
    valid = torch.ones(BATCH, MEMORY, dtype=torch.bool)
    valid[::3, MEMORY // 2 :] = False
    ours, peer = _ours(), _peer()
    sizes = [sum(item.numel() for item in set(model.parameters())) for model in (ours, peer.model.decoder)]
    rows = []
    for beams in (1, 3):
        options = {"num_beams": beams, "min_new_tokens": TOKENS}

        def run_ours(options: dict[str, Any] = options) -> torch.Tensor:
            memory = ours.read(hidden, valid)
            return generate(
                ours, memory, batch=BATCH, begin_id=BEGIN, end_id=END, pad_id=PAD, max_new_tokens=TOKENS,
                options=options,
            )  # fmt: skip

        def run_peer(options: dict[str, Any] = options) -> torch.Tensor:
            from transformers.modeling_outputs import BaseModelOutput

            return peer.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=hidden), attention_mask=valid.long(),
                max_new_tokens=TOKENS, do_sample=False, **options,
            )  # fmt: skip

        with torch.inference_mode():
            made = [run_ours(), run_peer()]
            if made[0].shape != (BATCH, TOKENS) or made[1].shape != (BATCH, TOKENS + 1):
                raise RuntimeError(f"not the same work: {[tuple(item.shape) for item in made]}")
            ours_s, peer_s = interleave(run_ours, run_peer, repeats=7, warmup=1)
        how = "greedy" if beams == 1 else f"{beams} beams"
        words = f"<= {MOST} x BART's time"
        found = row(
            f"generation, {BATCH} x {TOKENS} tokens, {how}", ours_s, peer_s, target=words,
            reached=ours_s <= MOST * peer_s,
        )  # fmt: skip
        rows.append({**found, "parameters": sizes})
    return rows


def _ours() -> TokenDecoder:
    """The gated feed-forward has three matrices, so two thirds of the peer's hidden units."""
    return TokenDecoder(
        width=WIDTH, num_layers=LAYERS, num_heads=HEADS, ffn_width=2 * PEER_FFN // 3, vocab_size=VOCABULARY,
        max_length=TOKENS + 1,
    ).eval()  # fmt: skip


def _peer() -> Any:
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=VOCABULARY, d_model=WIDTH, encoder_layers=1, decoder_layers=LAYERS, encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS, encoder_ffn_dim=PEER_FFN, decoder_ffn_dim=PEER_FFN,
        max_position_embeddings=TOKENS + 1, bos_token_id=BEGIN, pad_token_id=PAD, eos_token_id=END,
        decoder_start_token_id=BEGIN, forced_eos_token_id=None,
    )  # fmt: skip
    return BartForConditionalGeneration(config).eval()
