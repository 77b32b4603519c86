"""Reads the targets of the shape heads, and refuses what does not fit."""

from __future__ import annotations

import torch
from torch import Tensor

from omni.errors import InputError


def take(targets: dict[str, Tensor], name: str, *, rows: int, who: str, columns: int | None) -> tuple[Tensor, Tensor]:
    """A target (B, P) or (B, P, columns) and its mask (B, P), all True where there is no ``valid_NAME``.

    Raises:
        InputError: it is missing or of another shape.
    """
    if name not in targets:
        has = ", ".join(targets) or "none"
        raise InputError(f"{who} learns from the target {name!r}; it got {has}. Name it in the objective's targets.")
    value = targets[name]
    wanted = (rows, "P") if columns is None else (rows, "P", columns)
    if value.dim() != len(wanted) or value.shape[0] != rows or (columns is not None and value.shape[2] != columns):
        raise InputError(f"{who}: the target {name!r} has the shape {tuple(value.shape)}; it needs {wanted}.")
    valid = targets.get(f"valid_{name}")
    if valid is None:
        valid = torch.ones(value.shape[:2], dtype=torch.bool, device=value.device)
    return value, valid.to(value.device)


def same_points(points: Tensor, other: Tensor, name: str, who: str) -> None:
    """Raise an InputError unless there is one value a point."""
    if other.shape != points.shape[:2]:
        raise InputError(
            f"{who}: {tuple(points.shape[:2])} points, but the target {name!r} has the shape {tuple(other.shape)}; "
            "there is one value a point."
        )


def some_of(count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The same ``count`` random places of the second axis in all; everything if there are no more."""
    total = tensors[0].shape[1]
    if count >= total:
        return tensors
    chosen = torch.randperm(total, device=tensors[0].device)[:count]
    return tuple(tensor[:, chosen] for tensor in tensors)
