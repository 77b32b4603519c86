"""One process's share of an embedding job: read, load and encode in threads, write parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from omni.data.groups import Group, Unreadable
from omni.dtypes import cast_inputs
from omni.embedding_parts import Part, PartFolder
from omni.encoding import encoding_lanes, loading_threads
from omni.errors import InputError, MissingSlotError
from omni.processes import Processes
from omni.threads import torch_pool
from omni.types import Sample

if TYPE_CHECKING:
    from omni.inference import OmniPredictor

Loaded = tuple[int, "dict[str, Tensor] | InputError"]


@dataclass(kw_only=True)
class _Embedded:
    """A batch of one slot: which rows of the part, (N, E) float32 or None, and what could not be read."""

    rows: list[int]
    values_BE: np.ndarray | None
    bad: list[tuple[int, InputError]]


@dataclass(kw_only=True)
class _Open:
    """A part that is being made, and the values of each slot that wait for a full batch."""

    group: Group
    number: int
    part: Part = field(default_factory=lambda: Part(ids=[], rows={}))
    waiting: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)


class EmbeddingWorker:
    """Makes the parts of one process that are not there yet.

    Args:
        predictor: the model.
        folder: of the parts, made already.
        batch_size: values at a time through the model.
        part_items: samples of a part.
        skips: leave out what cannot be read, instead of raising.
        keep_meta: keep the samples' metadata.
        num_workers: threads that load; None = as many as help. On the CPU None means lanes: each thread loads and
            encodes whole batches with its share of the cores, so that none of them waits for another.
        processes: this one among those of the job.
        advance: told how many samples are done.
    """

    def __init__(
        self,
        predictor: OmniPredictor,
        folder: PartFolder,
        *,
        batch_size: int,
        part_items: int,
        skips: bool,
        keep_meta: bool,
        num_workers: int | None,
        processes: Processes,
        advance: Callable[[int], None],
    ) -> None:
        self.processor, self.model, self.dtype = predictor.processor, predictor.model, predictor.dtype
        self.folder, self.batch_size, self.part_items = folder, batch_size, part_items
        self.skips, self.keep_meta, self.processes, self.advance = skips, keep_meta, processes, advance
        self.lanes = encoding_lanes(self.model.device) if num_workers is None else 0
        if self.lanes:
            self.ahead = 2 * self.lanes
            threads = max(1, torch.get_num_threads() // self.lanes)
            self.pool: ThreadPoolExecutor | None = torch_pool(self.lanes, "omni-embed", threads=threads)
        else:
            workers, self.ahead = loading_threads(self.model.device, num_workers)
            self.pool = torch_pool(workers, "omni-load") if workers > 0 else None
        self.pending: deque[Callable[[], None]] = deque()

    def run(self, groups: Iterable[Group]) -> None:
        """Every part of every group that is this process's to make.

        Raises:
            InputError: a value cannot be read, and it is not left out.
        """
        try:
            for group in groups:
                if not self._finished(group):
                    self._group(group)
            while self.pending:
                self.pending.popleft()()
        finally:
            if self.pool is not None:
                self.pool.shutdown(wait=True, cancel_futures=True)

    def _mine(self, number: int) -> bool:
        return number % self.processes.world == self.processes.rank

    def _finished(self, group: Group) -> bool:
        """Whether the group was read to its end before and all of this process's parts are there."""
        count = self.folder.parts_of(group.name)
        if count is None:
            return False
        mine = [number for number in range(count) if self._mine(number)]
        if not all(self.folder.has(group.name, number) for number in mine):
            return False
        for number in mine:
            self._passed(group, number)
        return True

    def _passed(self, group: Group, number: int) -> None:
        """A part was there already."""
        left = self.part_items if group.nominal is None else group.nominal - number * self.part_items
        self.advance(max(0, min(self.part_items, left)))

    def _group(self, group: Group) -> None:
        tickets, number = group.tickets(0), 0
        while chunk := list(islice(tickets, self.part_items)):
            if self._mine(number):
                if self.folder.has(group.name, number):
                    self._passed(group, number)
                else:
                    self._part(group, number, chunk)
            number += 1
        if self.processes.first:
            self._later(lambda: self.folder.end_group(group.name, parts=number))

    def _part(self, group: Group, number: int, tickets: Sequence[Any]) -> None:
        """Read a part's samples and queue their batches."""
        opened = _Open(group=group, number=number, waiting={slot: [] for slot in group.slots})
        for row, ticket in enumerate(tickets):
            entry = group.read(ticket)
            opened.part.ids.append(entry.id)
            if isinstance(entry, Unreadable):
                self._bad(opened, row, None, entry.error)
            else:
                self._take(opened, row, entry)
            if self.keep_meta:
                opened.part.meta.append({} if isinstance(entry, Unreadable) else describe_sample(entry, group.slots))
        for slot in group.slots:
            self._submit(opened, slot)
        self._later(lambda: self._write(opened))

    def _take(self, opened: _Open, row: int, sample: Sample) -> None:
        for slot, waiting in opened.waiting.items():
            if sample.values.get(slot) is not None:
                waiting.append((row, sample.values[slot]))
                if len(waiting) == self.batch_size:
                    self._submit(opened, slot)

    def _later(self, action: Callable[[], None]) -> None:
        """Queue what comes after the batches before it; run the oldest when enough are being loaded."""
        self.pending.append(action)
        while len(self.pending) > self.ahead:
            self.pending.popleft()()

    def _submit(self, opened: _Open, slot: str) -> None:
        values, opened.waiting[slot] = opened.waiting[slot], []
        if not values:
            return
        if self.pool is None:
            self._later(lambda: self._keep(opened, slot, self._load_and_embed(slot, values)))
        elif self.lanes:
            made = self.pool.submit(self._load_and_embed, slot, values)
            self._later(lambda: self._keep(opened, slot, made.result()))
        else:
            futures = [(row, self.pool.submit(self._load, slot, value)) for row, value in values]
            loaded = ((row, future.result()) for row, future in futures)
            self._later(lambda: self._keep(opened, slot, self._embed(slot, loaded)))

    def _load_and_embed(self, slot: str, values: Sequence[tuple[int, Any]]) -> _Embedded:
        return self._embed(slot, ((row, self._load(slot, value)) for row, value in values))

    def _load(self, slot: str, value: Any) -> dict[str, Tensor] | InputError:
        try:
            return self.processor.process_value(slot, value)
        except InputError as error:
            return error

    @torch.inference_mode()
    def _embed(self, slot: str, loaded: Iterable[Loaded]) -> _Embedded:
        """A batch through the model."""
        rows, good, bad = [], [], []
        for row, made in loaded:
            if isinstance(made, MissingSlotError):
                continue  # its row says so: NaN, as of a sample without the slot
            if isinstance(made, InputError):
                bad.append((row, made))
            else:
                rows.append(row)
                good.append(made)
        if not good:
            return _Embedded(rows=rows, values_BE=None, bad=bad)
        inputs = cast_inputs(self.processor.collate_slot(slot, good), self.model.device, self.dtype)
        return _Embedded(rows=rows, values_BE=self.model.encode(slot, inputs).float().cpu().numpy(), bad=bad)

    def _keep(self, opened: _Open, slot: str, embedded: _Embedded) -> None:
        """Put a batch's rows into their part."""
        for row, error in embedded.bad:
            self._bad(opened, row, slot, error)
        if embedded.values_BE is None:
            return
        table, finite = self._table(opened, slot), np.isfinite(embedded.values_BE).all(1)
        for row, values_E, sound in zip(embedded.rows, embedded.values_BE, finite, strict=True):
            if sound:
                table[row] = values_E
            else:
                self._bad(opened, row, slot, InputError(f"Slot {slot!r}: its embedding is not finite."))
        opened.part.present[slot] = opened.part.present.get(slot, 0) + int(finite.sum())

    def _table(self, opened: _Open, slot: str) -> np.ndarray:
        """The slot's rows; room for a whole part, since the part's length is not known while it is read."""
        rows = opened.part.rows
        if slot not in rows:
            rows[slot] = np.full((self.part_items, self.model.config.embedding_width), np.nan, np.float32)
        return rows[slot]

    def _bad(self, opened: _Open, row: int, slot: str | None, error: InputError) -> None:
        name = opened.part.ids[row]
        if not self.skips:
            raise InputError(f"Sample {name!r}: {error}") from error
        position = opened.number * self.part_items + row
        opened.part.bad.append({"position": position, "id": name, "slot": slot, "reason": str(error)})

    def _write(self, opened: _Open) -> None:
        part = opened.part
        part.rows = {slot: self._table(opened, slot)[: len(part.ids)] for slot in opened.group.slots}
        part.bad.sort(key=lambda item: (item["position"], item["slot"] or ""))
        self.folder.write(opened.group.name, opened.number, part)
        self.advance(len(part.ids))


def describe_sample(sample: Sample, slots: Sequence[str]) -> dict[str, Any]:
    """What is known of a sample as plain values: its metadata, and its own value where that is a path or a string."""
    own = {slot: str(value) for slot in slots if isinstance(value := sample.values.get(slot), (str, Path))}
    return {**sample.meta, **own}
