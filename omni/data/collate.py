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

    Arrays may be of different length in their first axis (boxes of a picture): they are padded with zeros to the
    longest, (B, N, ...), and a sample without the target is all padding. Beside every array there is its mask,
    ``valid_NAME`` (B, N) bool, whether or not lengths differ in this batch; and where a sample lacks the target, which
    is not the same as an empty one, ``present_NAME`` (B,) bool.

    Raises:
        InputError: a target is no number, or shapes differ beyond the first axis; names the sample.
    """
    names = list(dict.fromkeys(name for sample in samples for name in sample.targets))
    made: dict[str, Tensor] = {}
    for name in names:
        arrays = [_target_array(name, sample) for sample in samples]
        if any(array is not None and array.ndim for array in arrays):
            if f"valid_{name}" in names:
                raise InputError(
                    f"Target 'valid_{name}' has the name of the mask of target {name!r}; call it otherwise."
                )
            made[name], made[f"valid_{name}"] = _pad_arrays(name, samples, arrays)
            if any(array is None for array in arrays):
                made[f"present_{name}"] = torch.tensor([array is not None for array in arrays])
        else:
            made[name] = _stack_numbers(arrays)
    return made


def _stack_numbers(arrays: Sequence[np.ndarray | None]) -> Tensor:
    kinds = {array.dtype.kind for array in arrays if array is not None}
    if kinds <= {"b"} and all(array is not None for array in arrays):
        dtype, fill = np.bool_, False
    elif kinds <= {"i", "u"}:
        dtype, fill = np.int64, MISSING_INTEGER
    else:
        dtype, fill = np.float32, np.nan
    return torch.from_numpy(np.stack([np.asarray(fill if a is None else a).astype(dtype) for a in arrays]))


def _pad_arrays(name: str, samples: Sequence[Sample], arrays: Sequence[np.ndarray | None]) -> tuple[Tensor, Tensor]:
    known = [array for array in arrays if array is not None]
    inner = next(array for array in known if array.ndim).shape[1:]
    for sample, array in zip(samples, arrays, strict=True):
        if array is not None and (not array.ndim or array.shape[1:] != inner):
            raise InputError(
                f"Sample {sample.id!r}: target {name!r} has shape {array.shape}; others of the batch have (any, "
                f"{', '.join(map(str, inner))})." if inner else
                f"Sample {sample.id!r}: target {name!r} has shape {array.shape}; others of the batch have (any,)."
            )  # fmt: skip
    kinds = {array.dtype.kind for array in known if len(array)}
    dtype = np.bool_ if kinds == {"b"} else np.int64 if kinds and kinds <= {"i", "u"} else np.float32
    length = max(len(array) for array in known)
    values = np.zeros((len(arrays), length, *inner), dtype)
    valid = np.zeros((len(arrays), length), bool)
    for row, array in enumerate(arrays):
        if array is not None:
            values[row, : len(array)], valid[row, : len(array)] = array, True
    return torch.from_numpy(values), torch.from_numpy(valid)


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
