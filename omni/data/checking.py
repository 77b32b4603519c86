"""Reads every item of a data set and reports each bad one with its reason."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from typing import Any

from omni.data.bad_items import BadItem, bad_item
from omni.data.groups import Unreadable, group_of
from omni.data.loaders import SlotLoader
from omni.data.processor import Processor
from omni.encoding import cores
from omni.errors import ConfigError, InputError, MissingSlotError, OmniError
from omni.progress import Progress, show_progress
from omni.threads import torch_pool
from omni.types import Sample

AHEAD = 64  # samples read while earlier ones are being decoded
Reader = Callable[[Any], Any]


@dataclass(kw_only=True)
class CheckReport:
    """What ``check_dataset`` found.

    Attributes:
        samples: that the data set has.
        values: slot -> values that it has; ``missing`` are the samples without.
        bad: every bad item with its reason, in order.
    """

    samples: int = 0
    values: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    bad: list[BadItem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there are samples and all of them can be read."""
        return self.samples > 0 and not self.bad

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"ok": self.ok, **asdict(self)}


def check_dataset(
    dataset: Any,
    slots: Mapping[str, str] | None = None,
    *,
    processor: Processor | None = None,
    on_item: Callable[[BadItem], None] | None = None,
    num_workers: int | None = None,
    progress: Progress = None,
) -> CheckReport:
    """Load and transform every value of every sample, as training and embedding would.

    Also found: samples without any value, and two samples of one id.

    Args:
        dataset: map-style or a stream.
        slots: slot -> modality; None = each slot that samples have is of the modality called like it.
        processor: of the model that the data is for; None = each modality's loader and default transform.
        on_item: told of each bad item as it is found.
        num_workers: threads that decode; None = one a core.
        progress: None = a bar on a terminal.

    Raises:
        ConfigError: a slot that is of no known modality.
    """
    checker = _Checker(dict(slots) if slots is not None else None, processor, on_item)
    group = group_of(dataset, [])
    with torch_pool(num_workers or cores(), "omni-check") as pool:
        with show_progress("check", group.nominal or 0, progress) as advance:
            waiting: deque[tuple[int, Sample, dict[str, Future]]] = deque()
            for position, ticket in enumerate(_until_broken(group.tickets(0), checker)):
                entry = group.read(ticket)
                checker.report.samples += 1
                if isinstance(entry, Unreadable):
                    checker.add(bad_item(entry.error, sample_id=entry.id, index=position))
                    advance(1)
                    continue
                checker.look_at(position, entry)
                readers = checker.readers(entry)
                waiting.append(
                    (position, entry, {s: pool.submit(read, entry.values[s]) for s, read in readers.items()})
                )
                while len(waiting) > AHEAD:
                    checker.finish(*waiting.popleft())
                    advance(1)
            while waiting:
                checker.finish(*waiting.popleft())
                advance(1)
    checker.report.bad.sort(key=lambda item: -1 if item.position is None else item.position)
    return checker.report


def _until_broken(tickets: Iterator[Any], checker: _Checker) -> Iterator[Any]:
    """Tickets, until reading their order itself fails: that is one more bad item, and the end."""
    while True:
        try:
            ticket = next(tickets, tickets)
        except InputError as error:
            checker.add(bad_item(error, sample_id="(the rest)", index=None))
            return
        if ticket is tickets:
            return
        yield ticket


class _Checker:
    def __init__(
        self, slots: dict[str, str] | None, processor: Processor | None, on_item: Callable[[BadItem], None] | None
    ) -> None:
        self.slots, self.processor, self.on_item = slots, processor, on_item
        self.report = CheckReport(values=dict.fromkeys(slots or (), 0), missing=dict.fromkeys(slots or (), 0))
        self._readers: dict[str, Reader] = {}
        self._ids: dict[str, int] = {}

    def add(self, item: BadItem) -> None:
        self.report.bad.append(item)
        if self.on_item is not None:
            self.on_item(item)

    def look_at(self, position: int, sample: Sample) -> None:
        """What can be said without decoding."""
        first = self._ids.setdefault(sample.id, position)
        if first != position:
            reason = f"its id is that of the sample at position {first}; ids must differ"
            self.add(BadItem(position=position, id=sample.id, slot=None, reason=reason))
        has = [slot for slot, value in sample.values.items() if value is not None]
        if not has:
            self.add(BadItem(position=position, id=sample.id, slot=None, reason="it has no value in any slot"))
        for slot in has:
            if slot not in self.report.values:  # a slot that nobody declared: all samples before lack it
                self.report.values[slot], self.report.missing[slot] = 0, self.report.samples - 1
            self.report.values[slot] += 1
        for slot in self.report.values:
            self.report.missing[slot] += slot not in has

    def readers(self, sample: Sample) -> dict[str, Reader]:
        wanted = [slot for slot, value in sample.values.items() if value is not None]
        return {slot: self._reader(slot) for slot in wanted if self.processor is None or slot in self.processor.slots}

    def _reader(self, slot: str) -> Reader:
        if slot not in self._readers:
            self._readers[slot] = _reader(slot, (self.slots or {}).get(slot, slot), self.processor)
        return self._readers[slot]

    def finish(self, position: int, sample: Sample, results: dict[str, Future]) -> None:
        left = sum(value is not None for value in sample.values.values())
        for slot, future in results.items():
            try:
                future.result()
            except MissingSlotError as error:
                self.report.values[slot] -= 1
                self.report.missing[slot] += 1
                left -= 1
                if not left:
                    reason = f"it has no value in any slot: {error}"
                    self.add(BadItem(position=position, id=sample.id, slot=None, reason=reason))
            except OmniError as error:
                if not isinstance(error, InputError):
                    raise
                self.add(bad_item(error, sample_id=sample.id, index=position, slot=slot))


def _reader(slot: str, modality: str, processor: Processor | None) -> Reader:
    """Loads and transforms a value; only loads it where the default transform needs settings that nobody gave."""
    if processor is not None:
        return lambda value: processor.process_value(slot, value)
    try:
        made = Processor({slot: {"modality": modality}})
    except ConfigError:
        return SlotLoader(slot, modality=modality)
    return lambda value: made.process_value(slot, value)
