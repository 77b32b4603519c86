"""The core's training step against a plain transformer of equal size, and in bfloat16 against its own float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.encoder import OmniCore
from omni.core.positions import LogBucketBias
from omni.types import TokenSequence
from tools.bench.timing import bfloat16_row, interleave, row

WIDTH, HEADS, LAYERS, BATCH, LENGTHS, THREADS = 256, 4, 2, 64, (65, 257), 2


class PlainBlock(nn.Module):
    """Pre-LN attention and GELU feed-forward of 3F/2 hidden units, as any textbook has it."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.ffn = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=bias)
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return tokens + self.ffn(self.norm2(tokens))


class PlainCore(nn.Module):
    """A stack of plain blocks with a last norm and the same learnt additive bias."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PlainBlock(WIDTH, HEADS, WIDTH * 4 * 3 // 2) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            bias = bias.to(torch.get_autocast_dtype("cpu"))
        for layer in self.layers:
            tokens = layer(tokens, bias)
        return self.norm(tokens)[:, 0]


def _steps(length: int, *, bf16: bool = False) -> dict[str, Callable[[], Any]]:
    """One training step (forward, backward, AdamW) of each core, on the same tokens."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    tokens = torch.randn(BATCH, length, WIDTH)
    valid = torch.ones(BATCH, length, dtype=torch.bool)
    core = OmniCore(width=WIDTH, num_layers=LAYERS, num_heads=HEADS, ffn_width=4 * WIDTH, modalities=["any"])
    steps = {}
    for name, module in (("ours", core), ("plain", PlainCore())):
        bias = LogBucketBias(num_heads=HEADS)
        optimizer = torch.optim.AdamW([*module.parameters(), *bias.parameters()], lr=1e-4, fused=True)

        def step(module: nn.Module = module, bias: LogBucketBias = bias, optimizer: Any = optimizer) -> None:
            inputs = tokens.clone().requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                if isinstance(module, OmniCore):
                    sequence = TokenSequence(tokens_BLD=inputs, valid_BL=valid, modality="any", bias=bias(length))
                    pooled = module({"any": sequence}).pooled["any"]
                else:
                    pooled = module(inputs, bias(length)[0])
            pooled.float().square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

        steps[name] = step
    return steps


def bench_core_step() -> list[dict[str, Any]]:
    """Time of our step over the plain transformer's."""
    rows = []
    for length in LENGTHS:
        steps = _steps(length)
        ours, peer = interleave(steps["ours"], steps["plain"])
        name = f"core training step, {length} tokens (ratio ours / plain)"
        ratio = ours / peer
        rows.append(row(name, ours, peer, target="<= 1.10 x plain", reached=ratio <= 1.10, ratio=ratio))
    return rows


def bench_core_bf16() -> list[dict[str, Any]]:
    """How many times faster the step is under bfloat16 autocast than in float32."""
    rows = []
    for length in LENGTHS:
        half, full = _steps(length, bf16=True)["ours"], _steps(length)["ours"]
        ours, peer = interleave(half, full)
        rows.append(bfloat16_row(f"core bf16 step against fp32, {length} tokens", ours, peer, at_least=1.7))
    return rows
