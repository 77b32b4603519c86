"""What the objectives' functions share: the precision of softmax statistics, checks, chunked logsumexp, reductions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from omni.errors import InputError

Reduction = Literal["mean", "sum", "none"]


def full_precision(*tensors: Tensor) -> list[Tensor]:
    """The tensors in one dtype that is float32 or better: half precision rounds a logit of 100 by up to 0.25."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def without_autocast(like: Tensor) -> torch.autocast:
    """A context in which matrix products keep their dtype."""
    return torch.autocast(device_type=like.device.type, enabled=False)


def as_scale(logit_scale: float | Tensor, like: Tensor) -> Tensor:
    """The multiplier of the logits as a 0-d tensor of ``like``'s dtype and device, still in its graph."""
    scale = torch.as_tensor(logit_scale, dtype=like.dtype, device=like.device)
    if scale.numel() != 1:
        raise InputError(
            f"logit_scale has shape {tuple(scale.shape)}: it must be one positive number. Pass the exponentiated "
            "scale as a float or a 0-d tensor."
        )
    return scale.reshape(())


def check_embeddings(embeddings: Sequence[Tensor], *, least: int, name: str) -> None:
    """All (B, E), floating point and of one shape."""
    if len(embeddings) < least:
        raise InputError(f"{name} got {len(embeddings)} tensor(s): it needs {least} or more, one (B, E) tensor a slot.")
    shapes = [tuple(item.shape) for item in embeddings]
    if any(item.ndim != 2 for item in embeddings) or len(set(shapes)) > 1:
        raise InputError(f"{name} got tensors of shapes {shapes}: all must be (B, E) with the same B and E.")
    if not all(item.is_floating_point() for item in embeddings):
        raise InputError(f"{name} got dtypes {[str(item.dtype) for item in embeddings]}: all must be floating point.")


def check_mask(mask: Tensor | None, shape: tuple[int, ...], name: str) -> None:
    """A boolean mask of that shape, or None."""
    if mask is None:
        return
    if mask.dtype != torch.bool or tuple(mask.shape) != shape:
        raise InputError(
            f"{name} is {mask.dtype} of shape {tuple(mask.shape)}: it must be bool of shape {shape}, True = present."
        )


def check_rows(rows: int, candidates: int, row_offset: int, name: str) -> None:
    """The anchors are rows ``row_offset .. row_offset + rows`` of the candidates."""
    if row_offset < 0 or row_offset + rows > candidates:
        raise InputError(
            f"{name}: {rows} anchors from row_offset={row_offset} do not lie within {candidates} candidates. "
            "row_offset is the place of this process's first row in the gathered batch."
        )


def check_smoothing(smoothing: float, name: str) -> None:
    """Between 0 and 1, 1 left out."""
    if not 0.0 <= smoothing < 1.0:
        raise InputError(f"{name} is {smoothing}: label smoothing must be at least 0 and below 1.")


def reduce_anchors(loss_B: Tensor, count: int | Tensor, reduction: Reduction) -> Tensor:
    """``loss_B`` (zero where there is no anchor) summed, over ``count`` for the mean. No anchor gives 0, not NaN."""
    if reduction == "none":
        return loss_B
    if reduction == "sum":
        return loss_B.sum()
    if reduction == "mean":
        return loss_B.sum() / (count.clamp_min(1) if isinstance(count, Tensor) else max(count, 1))
    raise InputError(f'reduction is {reduction!r}: it must be "mean", "sum" or "none".')


def anchor_count(batch_size: int, *present_B: Tensor | None) -> int:
    """How many samples have all the slots, so can be anchors; for the log of whoever calls a loss.

    Args:
        batch_size: B, the answer if no mask says otherwise.
        present_B: (B,) bool masks, True = the sample has the slot; None = all do.
    """
    masks = [mask for mask in present_B if mask is not None]
    for mask in masks:
        check_mask(mask, (batch_size,), "present_B")
    return int(torch.stack(masks).all(dim=0).sum()) if masks else batch_size


def chunked_logsumexp(logits_of: Callable[[int, int], Tensor], total: int, chunk: int) -> Tensor:
    """logsumexp over ``total`` columns that never exist all at once.

    Args:
        logits_of: (start, stop) -> finite logits (B, stop - start).
        total: number of columns, at least 1.
        chunk: columns a step. Each step is computed again in the backward pass, so that one chunk is what it costs.

    Returns:
        (B,) logsumexp of the rows.
    """

    def step(start: int, stop: int) -> Tensor:
        return torch.logsumexp(logits_of(start, stop), dim=1)

    if total <= chunk:
        return step(0, total)
    parts = [
        checkpoint(step, start, min(start + chunk, total), use_reentrant=False, preserve_rng_state=False)
        for start in range(0, total, chunk)
    ]
    return torch.logsumexp(torch.stack(parts), dim=0)
