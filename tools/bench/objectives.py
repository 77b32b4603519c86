"""Benchmarks of the objectives against public implementations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from omni.objectives.functional import info_nce
from tools.bench.timing import interleave


def bench_info_nce(*, batch: int = 1024, width: int = 512, rounds: int = 20, threads: int = 2) -> dict[str, Any]:
    """InfoNCE forward and backward beside open_clip's ClipLoss, the two interleaved.

    Args:
        batch: B.
        width: E.
        rounds: timed rounds; the median counts.
        threads: threads of torch during the measurement (set back afterwards).

    Returns:
        name, ours_s, peer_s (median seconds of a step), ratio (peer over ours), target, reached, and max_difference of
        losses and gradients between the two.
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
        results = [_step(loss, inputs) for loss in losses]
        ours_s, peer_s = interleave(lambda: _step(losses[0], inputs), lambda: _step(losses[1], inputs), repeats=rounds)
    finally:
        torch.set_num_threads(before)
    return {
        "name": f"InfoNCE, B={batch}, D={width}, forward and backward, against open_clip's ClipLoss",
        "ours_s": ours_s,
        "peer_s": peer_s,
        "ratio": peer_s / ours_s,
        "target": ">= 1.5 x faster",
        "reached": peer_s / ours_s >= 1.5,
        "max_difference": max(float((x - y).abs().max()) for x, y in zip(*results, strict=True)),
    }


def _step(loss: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """One forward and backward pass: the loss and its gradients."""
    for item in inputs:
        item.grad = None
    value = loss(*inputs)
    value.backward()
    return [value.detach(), *(item.grad for item in inputs if item.grad is not None)]
