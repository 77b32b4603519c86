"""From lists of values to embeddings: load and transform in threads while the model works."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from omni.core.model import OmniModel
from omni.data.collate import presence
from omni.data.processor import Processor
from omni.dtypes import cast_inputs
from omni.errors import ConfigError, InputError, MissingSlotError
from omni.threads import torch_pool

MAX_WORKERS = 16
MAX_LANES = 4  # each holds the activations of a batch
LOOKAHEAD = 3  # batches that are being prepared while the model works


@dataclass(kw_only=True)
class Prepared:
    """Collated rows: slot -> adapter inputs of the rows that have it (no key where none has), and slot -> (B,) which
    those are."""

    inputs: dict[str, dict[str, Tensor]]
    present: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.present.values()), ()))

    def cast(self, device: torch.device, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
        """The inputs as the model takes them."""
        return {slot: cast_inputs(values, device, dtype) for slot, values in self.inputs.items()}


def as_values(value: Any) -> list[Any]:
    """A list, tuple or iterator is a list of values; anything else (also an array) is one value."""
    return list(value) if isinstance(value, (list, tuple, Iterator)) else [value]


@torch.inference_mode()
def encode_values(
    model: OmniModel,
    processor: Processor,
    slot: str,
    values: Sequence[Any],
    *,
    batch_size: int = 32,
    allow_missing: bool = False,
    num_workers: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> Tensor:
    """Embeddings of one slot's values: (B, E) float32 on the CPU; rows of missing values are NaN.

    A value is missing if it is None, or a file that holds nothing for the slot (MissingSlotError).

    Raises:
        InputError: a value is missing and ``allow_missing`` is off, or it cannot be read; names slot and position.
    """
    known = [position for position, value in enumerate(values) if value is not None]
    if len(known) < len(values) and not allow_missing:
        first = next(position for position, value in enumerate(values) if value is None)
        raise InputError(
            f"Slot {slot!r}, value {first}: it is None, and a missing value has no embedding of its own. Leave it out, "
            "or pass allow_missing=True to get a row of NaN for it."
        )
    rows = [{slot: values[position]} for position in known]
    made = torch.full((len(values), model.config.embedding_width), float("nan"))
    done, dtype = 0, next(parameter.dtype for parameter in model.parameters())
    for batch in prepare_batches(
        processor, rows, batch_size=batch_size, device=model.device, num_workers=num_workers, positions=known,
        allow_missing=allow_missing,
    ):  # fmt: skip
        places = torch.tensor(known[done : done + len(batch)])
        if slot in batch.inputs:
            embedded = model.encode(slot, batch.cast(model.device, dtype)[slot])
            made[places[batch.present[slot]]] = embedded.float().cpu()
        done += len(batch)
        if advance is not None:
            advance(len(batch))
    return made


def prepare_batches(
    processor: Processor,
    rows: Sequence[Mapping[str, Any]],
    *,
    batch_size: int,
    device: torch.device,
    num_workers: int | None = None,
    positions: Sequence[int] | None = None,
    allow_missing: bool = False,
) -> Iterator[Prepared]:
    """Load, transform and collate rows of slot -> value, in order.

    The threads run ahead of the model where it leaves processors idle: on another device, or with fewer torch threads
    than cores. Where it uses them all, both would only wait for each other, so they take turns, each with all cores.

    Args:
        positions: of the rows in the user's list, for messages; None = 0, 1, ...
        allow_missing: rows may turn out to hold nothing for any of their slots.

    Raises:
        InputError: a value cannot be read, or a row has no slot; names the position.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size={batch_size}: it must be at least 1.")
    workers, ahead = loading_threads(device, num_workers)
    places = range(len(rows)) if positions is None else positions
    chunks = [range(start, min(start + batch_size, len(rows))) for start in range(0, len(rows), batch_size)]
    if workers < 1:
        for chunk in chunks:
            made = [_process(processor, rows[i], places[i], allow_missing) for i in chunk]
            yield _collate(processor, [rows[i] for i in chunk], made)
        return
    pool = torch_pool(min(workers, max(1, len(rows))), "omni-load")
    pending: deque[list[Future]] = deque()
    try:
        for number in range(len(chunks)):
            while len(pending) <= ahead and number + len(pending) < len(chunks):
                later = chunks[number + len(pending)]
                pending.append([pool.submit(_process, processor, rows[i], places[i], allow_missing) for i in later])
            made = [future.result() for future in pending.popleft()]
            yield _collate(processor, [rows[i] for i in chunks[number]], made)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def loading_threads(device: torch.device, num_workers: int | None = None) -> tuple[int, int]:
    """How many threads load values for a model on ``device``, and how many batches they run ahead of it."""
    spare = MAX_WORKERS if device.type != "cpu" else cores() - torch.get_num_threads()
    workers = num_workers if num_workers is not None else min(MAX_WORKERS, spare if spare > 0 else cores())
    return workers, LOOKAHEAD if spare > 0 else 0


def encoding_lanes(device: torch.device) -> int:
    """How many threads load and encode whole batches side by side on ``device``; 0: the model runs in one."""
    busy = device.type == "cpu" and torch.get_num_threads() >= cores()
    return min(cores(), MAX_LANES) if busy and cores() > 1 else 0


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _process(
    processor: Processor, row: Mapping[str, Any], position: int, allow_missing: bool
) -> dict[str, dict[str, Tensor]]:
    made, nothing = {}, []
    try:
        for slot, value in row.items():
            try:
                if value is not None:
                    made[slot] = processor.process_value(slot, value)
            except MissingSlotError as error:
                nothing.append(str(error))
    except InputError as error:
        raise InputError(f"Value {position}: {error}") from error
    if not made and not allow_missing:
        if nothing:
            advice = "There is nothing to embed. Leave it out, or pass allow_missing=True to get a row of NaN for it."
            raise InputError(f"Value {position}: {' '.join(nothing)} {advice if len(row) == 1 else ''}".rstrip())
        raise InputError(f"Value {position}: it has none of the slots {', '.join(row)}.")
    return made


def _collate(
    processor: Processor, rows: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, dict[str, Tensor]]]
) -> Prepared:
    slots = list(dict.fromkeys(slot for row in rows for slot in row))
    by_slot = {slot: [item[slot] for item in items if slot in item] for slot in slots}
    inputs = {slot: processor.collate_slot(slot, found) for slot, found in by_slot.items() if found}
    return Prepared(inputs=inputs, present=presence(items, slots))
