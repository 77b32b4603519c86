"""Collation of what does not depend on a modality: presence, targets, precomputed features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omni.errors import InputError
from omni.types import Sample

POOLED_KEY = "pooled_BD"
MISSING_INTEGER = -100  # the index that torch's cross entropy ignores


@dataclass(frozen=True)
class Item:
    """One processed sample.

    Attributes:
        sample: as the data set gave it.
        tensors: slot -> tensors without a batch dimension, for the slots it has.
        index: its position in the data set, or None when streaming.
        views: further augmented views, each like ``tensors``.
    """

    sample: Sample
    tensors: dict[str, dict[str, Tensor]]
    index: int | None = None
    views: tuple[dict[str, dict[str, Tensor]], ...] = ()


def presence(tensors: Sequence[Mapping[str, Any]], slots: Sequence[str]) -> dict[str, Tensor]:
    """slot -> (B,) bool: which samples have it."""
    return {slot: torch.tensor([slot in item for item in tensors], dtype=torch.bool) for slot in slots}


def stack_pooled(slot: str, items: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Precomputed pooled features (D,) of S samples -> {"pooled_BD": (S, D)}.

    Raises:
        InputError: some of the samples are raw, or the widths differ.
    """
    if any(set(item) != {POOLED_KEY} for item in items):
        raise InputError(f"Slot {slot!r}: a batch holds precomputed features for some samples and raw ones for others.")
    shapes = {tuple(item[POOLED_KEY].shape) for item in items}
    if len(shapes) > 1:
        raise InputError(f"Slot {slot!r}: precomputed features of different shapes in one batch: {sorted(shapes)}.")
    return {POOLED_KEY: torch.stack([item[POOLED_KEY] for item in items])}


def collate_targets(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """name -> (B, ...) tensor: float32 for real numbers, int64 for whole ones, bool for truth values.

    Where a sample lacks a target that another has, whole numbers hold -100 (which cross entropy ignores) and
    real ones NaN; truth values cannot say "unknown" and become real.

    Raises:
        InputError: a target is no number, or shapes differ; names the sample.
    """
    names = list(dict.fromkeys(name for sample in samples for name in sample.targets))
    return {name: _collate_target(name, samples) for name in names}


def _collate_target(name: str, samples: Sequence[Sample]) -> Tensor:
    arrays = [_target_array(name, sample) for sample in samples]
    known = [array for array in arrays if array is not None]
    shape = known[0].shape
    for sample, array in zip(samples, arrays, strict=True):
        if array is not None and array.shape != shape:
            raise InputError(f"Sample {sample.id!r}: target {name!r} has shape {array.shape}, earlier ones {shape}.")
    kinds = {array.dtype.kind for array in known}
    if kinds <= {"b"} and len(known) == len(arrays):
        dtype, fill = np.bool_, False
    elif kinds <= {"i", "u"}:
        dtype, fill = np.int64, MISSING_INTEGER
    else:
        dtype, fill = np.float32, np.nan
    filled = [np.full(shape, fill, dtype) if array is None else array.astype(dtype) for array in arrays]
    return torch.from_numpy(np.stack(filled))


def _target_array(name: str, sample: Sample) -> np.ndarray | None:
    value = sample.targets.get(name)
    if value is None:
        return None
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"Sample {sample.id!r}: target {name!r} is no regular array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"Sample {sample.id!r}: target {name!r} is {value!r}; a target must be a number or an array of numbers "
            "(put names into `meta`)."
        )
    return array
