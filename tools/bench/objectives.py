"""Benchmarks of the objectives against public implementations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from omni.objectives.functional import info_nce


def bench_info_nce(*, batch: int = 1024, width: int = 512, rounds: int = 20, threads: int = 2) -> dict[str, Any]:
    """InfoNCE forward and backward beside open_clip's ClipLoss, the two interleaved.

    Args:
        batch: B.
        width: E.
        rounds: timed rounds; the median counts.
        threads: threads of torch during the measurement (set back afterwards).

    Returns:
        name, ours_s, peer_s (median seconds of a step), ratio (peer over ours), target, and the largest difference of
        the losses and gradients between the two.
    """
    from open_clip.loss import ClipLoss

    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(2, batch, width, generator=generator), dim=-1)
    a_BE, b_BE = (item.clone().requires_grad_() for item in rows.unbind())
    scale = torch.tensor(1 / 0.07, requires_grad=True)
    inputs = (a_BE, b_BE, scale)
    losses: tuple[Callable[..., Tensor], ...] = (info_nce, ClipLoss(local_loss=False, world_size=1))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        results = [_step(loss, inputs)[1] for loss in losses]
        for _ in range(3):
            for loss in losses:
                _step(loss, inputs)
        seconds: list[list[float]] = [[], []]
        for _ in range(rounds):
            for loss, record in zip(losses, seconds, strict=True):
                record.append(_step(loss, inputs)[0])
    finally:
        torch.set_num_threads(before)
    ours, peer = (statistics.median(record) for record in seconds)
    return {
        "name": f"InfoNCE, B={batch}, D={width}, forward and backward, against open_clip's ClipLoss",
        "ours_s": ours,
        "peer_s": peer,
        "ratio": peer / ours,
        "target": ">= 1.5 x faster",
        "max_difference": max(float((x - y).abs().max()) for x, y in zip(*results, strict=True)),
    }


def _step(loss: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[float, list[Tensor]]:
    """Seconds of a forward and backward pass, and its loss and gradients."""
    for item in inputs:
        item.grad = None
    start = time.perf_counter()
    value = loss(*inputs)
    value.backward()
    seconds = time.perf_counter() - start
    return seconds, [value.detach(), *(item.grad for item in inputs if item.grad is not None)]


if __name__ == "__main__":
    print(bench_info_nce())
