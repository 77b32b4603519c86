"""Any data set as groups of samples in a fixed order, which long jobs cut into parts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from omni.errors import ConfigError, InputError
from omni.types import Sample

Ticket = Any


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """In place of a sample that cannot be read as a whole: its name and the error."""

    id: str
    error: InputError


@dataclass(frozen=True, kw_only=True)
class Group:
    """Samples in a fixed order.

    Attributes:
        name: unique, fit for a file's name; groups are in the order of their names.
        slots: of its samples that are wanted.
        ids: what the output calls the samples' names.
        length: how many there are, or None where only reading tells.
        tickets: (first position) -> what ``read_ticket`` takes, from there on; touches no data that it need not.
        read_ticket: the sample of a ticket.
        name_ticket: a name for a ticket whose sample cannot be read.
        nominal: how many there are about, for progress.
    """

    name: str
    slots: tuple[str, ...]
    ids: str
    length: int | None
    tickets: Callable[[int], Iterator[Ticket]]
    read_ticket: Callable[[Ticket], Sample]
    name_ticket: Callable[[Ticket], str]
    nominal: int | None = None

    def read(self, ticket: Ticket) -> Sample | Unreadable:
        """The sample of a ticket, or why there is none."""
        try:
            return self.read_ticket(ticket)
        except InputError as error:
            return Unreadable(id=self.name_ticket(ticket), error=error)


def group_of(dataset: Any, slots: Sequence[str], *, ids: str = "ids") -> Group:
    """A whole data set as one group, in its own order, unshuffled.

    Args:
        dataset: map-style (``__len__`` and ``__getitem__``), a SampleStream, or iterable.
        slots: of its samples that are wanted.

    Raises:
        ConfigError: none of these.
    """
    from omni.data.stream import SampleStream, as_stream

    if isinstance(dataset, SampleStream) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        if not hasattr(dataset, "__iter__"):
            raise ConfigError(
                f"A {type(dataset).__name__} is no data set: it has neither items by number nor an order."
            )
        return _stream_group(as_stream(dataset), tuple(slots), ids)
    return Group(
        name="000000",
        slots=tuple(slots),
        ids=ids,
        length=len(dataset),
        tickets=lambda start: iter(range(start, len(dataset))),
        read_ticket=dataset.__getitem__,
        name_ticket=lambda index: f"#{index}",
        nominal=len(dataset),
    )


def _stream_group(stream: Any, slots: tuple[str, ...], ids: str) -> Group:
    from omni.data.stream import Part

    whole = copy.copy(stream)
    whole.shuffle, whole.part = 0, Part()
    exact = whole.part_length()
    return Group(
        name="000000",
        slots=slots,
        ids=ids,
        length=exact,
        tickets=lambda start: islice(whole.tickets(0), start, None),
        read_ticket=whole.read,
        name_ticket=lambda ticket: whole.place(ticket)[0],
        nominal=whole.length if exact is None else exact,
    )


def groups_of_lists(values: Mapping[str, Sequence[Any]], *, unique: bool = False) -> list[Group]:
    """One group a slot, of values that belong to no common samples; their names are the values' own.

    Args:
        values: slot -> paths or strings.
        unique: where values repeat, their positions are their names.
    """
    return [_list_group(f"{number:06d}", slot, items, unique) for number, (slot, items) in enumerate(values.items())]


def _list_group(name: str, slot: str, items: Sequence[Any], unique: bool) -> Group:
    numbered = unique and len(set(map(str, items))) < len(items)
    return Group(
        name=name,
        slots=(slot,),
        ids=f"{slot}_ids",
        length=len(items),
        tickets=lambda start: iter(range(start, len(items))),
        read_ticket=lambda row: Sample(id=str(row if numbered else items[row]), values={slot: items[row]}),
        name_ticket=str,
        nominal=len(items),
    )


def known_slots(dataset: Any, declared: Iterable[tuple[str, str]] = ()) -> list[str] | None:
    """The slots that a data set says its samples may have; None = it does not say."""
    if declared:
        return [slot for slot, _ in declared]
    if isinstance(sources := getattr(dataset, "sources", None), list):  # of a mixture: known if every source's are
        each = [known_slots(getattr(source, "dataset", source)) for source in sources]
        return None if None in each else list(dict.fromkeys(slot for slots in each for slot in slots or ()))
    slots = getattr(dataset, "slots", None)
    return list(slots) if isinstance(slots, (Mapping, list, tuple)) and slots else None
