"""Checks of what is added to an index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count as counting
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from omni.errors import InputError
from omni.index.items import encode_items
from omni.index.segment import Segment

if TYPE_CHECKING:
    from omni.index.index import Index

Embedded = Tensor | np.ndarray


def make_segment(
    index: Index,
    embeddings: Embedded | Mapping[str, Embedded],
    *,
    ids: Sequence[str] | None,
    metadata: Sequence[Mapping[str, Any]] | None,
    replace: bool,
) -> tuple[Segment, list[str]]:
    """A segment of new items, and the names of items that it replaces.

    Raises:
        InputError: as ``Index.add``.
    """
    vectors = _check_embeddings(index, embeddings)
    size = len(next(iter(vectors.values())))
    names = _free_names(index, size) if ids is None else [str(name) for name in ids]
    check_names(index, names, metadata, count=size, replace=replace)
    about = [dict(item) for item in metadata] if metadata is not None else [{} for _ in names]
    if metadata is not None:
        about = [json.loads(line)["metadata"] for line in encode_items(names, about)]  # as a file would give it back
    replaced = [name for name in names if name in index] if replace else []
    return Segment.of(names, about, vectors), replaced


def check_names(
    index: Index, names: Sequence[str], metadata: Sequence[Any] | None, *, count: int, replace: bool = False
) -> None:
    """Raise InputError unless there is one new, unrepeated name and one metadata each."""
    for what, values in (("ids", names), ("metadata", metadata)):
        if values is not None and len(values) != count:
            raise InputError(f"{len(values)} {what} for {count} values; give one each.")
    seen: set[str] = set()
    for name in names:
        if name in seen or (not replace and name in index):
            raise InputError(f"The id {name!r} is there twice; ids of an index must differ.")
        seen.add(name)


def _free_names(index: Index, size: int) -> list[str]:
    numbers = (str(number) for number in counting(len(index)))
    free = (name for name in numbers if name not in index)
    return [next(free) for _ in range(size)]


def _check_embeddings(index: Index, embeddings: Embedded | Mapping[str, Embedded]) -> dict[str, np.ndarray]:
    """slot -> (N, E) float32 for every slot of the index."""
    several = isinstance(embeddings, Mapping)
    if not several and len(index.slots) > 1:
        raise InputError(f"The index holds several slots; give embeddings by slot: {', '.join(index.slots)}.")
    given = dict(embeddings) if isinstance(embeddings, Mapping) else {index.slot: embeddings}
    for slot in given:
        if slot not in index.slots:
            raise InputError(f"The index has no slot {slot!r}; it holds {', '.join(index.slots)}.")
    vectors = {slot: _as_rows(value, index.width) for slot, value in given.items()}
    sizes = {slot: len(value) for slot, value in vectors.items()}
    if len(set(sizes.values())) != 1:
        told = ", ".join(f"{slot} {size}" for slot, size in sizes.items())
        raise InputError(f"Each item has one row a slot, but the numbers of rows differ: {told or 'nothing given'}.")
    size = next(iter(sizes.values()))
    lacking = np.ones(size, bool)
    for slot, rows in vectors.items():
        absent = np.isnan(rows).all(1) if several else np.zeros(size, bool)
        bad = np.flatnonzero(~np.isfinite(rows).all(1) & ~absent)
        if len(bad):
            raise InputError(
                f"Row {bad[0]} is not finite ({len(bad)} such rows of {slot!r}): missing values cannot be indexed."
            )
        lacking &= absent
    if lacking.any():
        raise InputError(f"Item {np.flatnonzero(lacking)[0]} has none of the slots {', '.join(given)}.")
    nothing = np.full((size, index.width), np.nan, np.float32)
    return {slot: vectors.get(slot, nothing) for slot in index.slots}


def _as_rows(value: Embedded, width: int) -> np.ndarray:
    rows = np.ascontiguousarray(torch.as_tensor(value).detach().float().cpu().numpy())
    if rows.ndim != 2 or rows.shape[1] != width:
        raise InputError(f"The index holds embeddings of width {width}; got the shape {rows.shape}.")
    return rows
