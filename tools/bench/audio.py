"""The waveform stem against the published convolutions: the same numbers, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni_plugin_audio.stems import KERNELS_AND_STRIDES, WaveStem
from tools.bench.timing import bfloat16_row, interleave, row

CONV_WIDTH, BATCH, SECONDS, RATE, THREADS = 512, 4, 10, 16_000, 2
TARGETS = {torch.float32: 1.4, torch.bfloat16: 2.2}


class PublishedExtractor(nn.Module):
    """Seven convolutions with channels first, each with a norm over transposed channels and a GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [1] + [width] * len(KERNELS_AND_STRIDES)
        self.convs = nn.ModuleList(
            nn.Conv1d(sizes[index], sizes[index + 1], kernel, stride, bias=False)
            for index, (kernel, stride) in enumerate(KERNELS_AND_STRIDES)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in KERNELS_AND_STRIDES)

    def forward(self, wave_BT: Tensor) -> Tensor:
        """(B, T) -> (B, L, C)."""
        signal = wave_BT[:, None]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            signal = F.gelu(norm(conv(signal).transpose(1, 2)).transpose(1, 2))
        return signal.transpose(1, 2)


def _pair() -> tuple[WaveStem, PublishedExtractor]:
    torch.manual_seed(0)
    ours, peer = WaveStem(width=8, conv_width=CONV_WIDTH), PublishedExtractor(CONV_WIDTH)
    with torch.no_grad():
        for layer, conv, norm in zip(ours.layers, peer.convs, peer.norms, strict=True):
            conv.weight.copy_(layer.weight)
            layer.norm.weight.add_(0.1 * torch.randn(CONV_WIDTH))
            layer.norm.bias.add_(0.1 * torch.randn(CONV_WIDTH))
            norm.load_state_dict(layer.norm.state_dict())
    return ours, peer


def _difference(ours: WaveStem, peer: PublishedExtractor, wave_BT: Tensor) -> float:
    """The largest difference of outputs and of weight gradients, relative to the largest value of each."""
    outputs = ours.extract(wave_BT), peer(wave_BT)
    for module, output in zip((ours, peer), outputs, strict=True):
        module.zero_grad()
        (output.float() * torch.linspace(-1, 1, CONV_WIDTH)).sum().backward()
    pairs = [outputs]
    for layer, conv, norm in zip(ours.layers, peer.convs, peer.norms, strict=True):
        pairs += [(layer.weight.grad, conv.weight.grad), (layer.norm.weight.grad, norm.weight.grad)]
    return max(float((x - y).detach().abs().max() / y.detach().abs().max()) for x, y in pairs)


def _step(module: nn.Module, extract: Any, wave_BT: Tensor, dtype: torch.dtype) -> None:
    module.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        output = extract(wave_BT)
    output.float().square().mean().backward()


def bench_audio_stem(*, repeats: int = 5, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Forward and backward of the extractor on 10 s x 4 clips, float32 and bfloat16 autocast, median of interleaved
    runs on two threads; the outputs and gradients of the two are compared first.

    Raises:
        AssertionError: the two do not compute the same numbers.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        ours, peer = _pair()
        short_BT = torch.randn(2, 16_123)
        difference = _difference(ours, peer, short_BT)
        assert difference < 1e-4, f"stem and published convolutions differ by {difference:.2e}"
        wave_BT = torch.randn(BATCH, int(seconds * RATE))
        rows = []
        for dtype, target in TARGETS.items():
            ours_s, peer_s = interleave(
                lambda dtype=dtype: _step(ours, ours.extract, wave_BT, dtype),
                lambda dtype=dtype: _step(peer, peer, wave_BT, dtype),
                repeats=repeats,
                warmup=1,
            )
            name = f"audio stem against published convolutions, {seconds:g} s x {BATCH}, {str(dtype)[6:]}"
            if dtype == torch.bfloat16:
                made = bfloat16_row(name, ours_s, peer_s, at_least=target)
            else:
                made = row(name, ours_s, peer_s, target=f">= {target} x faster", reached=peer_s / ours_s >= target)
            rows.append(made | {"max_relative_difference": difference})
    finally:
        torch.set_num_threads(before)
    return rows
