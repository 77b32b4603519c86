"""The items of an index at one moment: segments, what is deleted in each, and the search over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from omni.errors import InputError
from omni.index.ann import AUTO
from omni.index.calibration import Moments
from omni.index.filters import Where, parse_where
from omni.index.queries import Plan
from omni.index.segment import Segment, merge
from omni.plugin.suggest import did_you_mean
from omni.progress import Progress

MERGED_UP_TO = 1 << 17  # items of segments that are merged while adding; larger ones wait for compact()
Mask = np.ndarray | None  # one bool for each item of a segment


@dataclass(frozen=True, kw_only=True)
class Hits:
    """What was found, best first: all (Q, K). item -1 = nothing.

    Attributes:
        scores_QK: float32.
        segments_QK, items_QK: which segment, and which item of it.
        slots_QK: which of the plans found it.
    """

    scores_QK: np.ndarray
    segments_QK: np.ndarray
    items_QK: np.ndarray
    slots_QK: np.ndarray


class Collection:
    """Never changed: what changes it returns another one.

    Args:
        segments: in the order of adding.
        deleted: for each a mask of what is gone, or None.
        slots, width: of the index.
        positions: name -> (segment's name, row) of the items that are there, if it is known.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        deleted: Sequence[Mask],
        *,
        slots: Sequence[str],
        width: int,
        positions: dict[str, tuple[str, int]] | None = None,
    ) -> None:
        self.segments = list(segments)
        self.deleted = [None if mask is None or not mask.any() else mask for mask in deleted]
        self.slots = tuple(slots)
        self.width = width
        self._positions = positions
        self._moments: dict[tuple[str, bool], Moments] = {}

    @cached_property
    def count(self) -> int:
        """Items that are there."""
        return sum(map(len, self.segments)) - self.gone

    @cached_property
    def gone(self) -> int:
        """Items that are deleted and still take space."""
        return sum(int(mask.sum()) for mask in self.deleted if mask is not None)

    @property
    def positions(self) -> dict[str, tuple[str, int]]:
        """name -> (segment's name, row)."""
        if self._positions is None:
            self._positions = {}
            for segment, mask in zip(self.segments, self.deleted, strict=True):
                for row, name in enumerate(segment.items.ids):
                    if mask is None or not mask[row]:
                        self._positions[name] = (segment.name, row)
        return self._positions

    def live(self, values: str) -> list[Any]:
        """ "ids" or "metadata" of all items that are there, in the order of adding."""
        found: list[Any] = []
        for segment, mask in zip(self.segments, self.deleted, strict=True):
            every = getattr(segment.items, values)
            found += every if mask is None else [every[row] for row in np.flatnonzero(~mask)]
        return found

    def vectors(self, slot: str) -> np.ndarray:
        """(N, E) float32; NaN where an item lacks the slot."""
        kept = [None if mask is None else np.flatnonzero(~mask) for mask in self.deleted]
        parts = [segment.vectors(slot, rows) for segment, rows in zip(self.segments, kept, strict=True)]
        return np.concatenate([np.zeros((0, self.width), np.float32), *parts])

    def places_of(self, segments_QK: np.ndarray, items_QK: np.ndarray) -> np.ndarray:
        """Where items stand in ``live("ids")``."""
        starts = np.cumsum([0, *(len(ranks) and ranks[-1] + 1 for ranks in self._ranks)])
        found = np.full(items_QK.shape, -1, np.int64)
        for number, ranks in enumerate(self._ranks):
            here = (segments_QK == number) & (items_QK >= 0)
            found[here] = starts[number] + ranks[items_QK[here]]
        return found

    @cached_property
    def _ranks(self) -> list[np.ndarray]:
        """For each segment the rank of each item among those that are there."""
        live = [np.ones(len(s), bool) if m is None else ~m for s, m in zip(self.segments, self.deleted, strict=True)]
        return [np.cumsum(mask) - 1 for mask in live]

    def added(self, segment: Segment, *, replaced: Iterable[str] = ()) -> Collection:
        """With one more segment, without the items that it replaces; small neighbours are merged."""
        base = self.without(replaced)
        positions, base._positions = base.positions, None
        segments, deleted = [*base.segments, segment], [*base.deleted, None]
        while len(segments) > 1 and _worth_merging(segments[-2], segments[-1]):
            one = merge(segments[-2:], deleted[-2:], self.slots, self.width)
            segments[-2:], deleted[-2:] = [one], [None]
        last = segments[-1]
        positions.update({name: (last.name, row) for row, name in enumerate(last.items.ids)})
        return self._made(segments, deleted, positions)

    def without(self, names: Iterable[str]) -> Collection:
        """Without these items.

        Raises:
            InputError: one is not there.
        """
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return self
        rows: dict[str, list[int]] = {}
        for name in wanted:
            if name not in self.positions:
                guess = did_you_mean(name, list(self.positions)[:10_000])
                raise InputError(f"The index has no item {name!r}.{guess}")
            segment, row = self.positions[name]
            rows.setdefault(segment, []).append(row)
        positions, self._positions = self.positions, None
        for name in wanted:
            del positions[name]
        segments, deleted = [], []
        for segment, mask in zip(self.segments, self.deleted, strict=True):
            if segment.name in rows:
                mask = np.zeros(len(segment), bool) if mask is None else mask.copy()
                mask[rows[segment.name]] = True
            if mask is None or not mask.all():
                segments.append(segment)
                deleted.append(mask)
        return self._made(segments, deleted, positions)

    def compacted(self, kind: str = AUTO, *, progress: Progress = None) -> Collection:
        """In one segment without what is deleted, with the structure of this kind."""
        one = merge(self.segments, self.deleted, self.slots, self.width)
        one.build(kind, progress=progress)
        return self._made([one] if len(one) else [], [None] if len(one) else [], None)

    def _made(
        self, segments: list[Segment], deleted: list[Mask], positions: dict[str, tuple[str, int]] | None
    ) -> Collection:
        return Collection(segments, deleted, slots=self.slots, width=self.width, positions=positions)

    def moments(self, slot: str, unit: bool) -> Moments:
        """Sums over a slot's embeddings that are there, brought to unit length first if ``unit``."""
        if (slot, unit) not in self._moments:
            total = Moments.zero(self.width)
            for segment, mask in zip(self.segments, self.deleted, strict=True):
                total = total + segment.moments(slot, mask, unit=unit)
            self._moments[slot, unit] = total
        return self._moments[slot, unit]

    def allowed(self, where: Where | Sequence[Where] | None) -> list[Mask]:
        """For each segment which items may be found: those that are there and fit the filter.

        Raises:
            InputError: a filter that cannot be read, or with a field that no item has.
        """
        if where is None:
            return [None if mask is None else ~mask for mask in self.deleted]
        made = parse_where(where)
        columns = [segment.items.columns for segment in self.segments]
        for field in sorted(made.fields):
            if not any(column.column(field).present().any() for column in columns):
                known = sorted({"id"}.union(*(column.fields() for column in columns)))
                raise InputError(
                    f"No item of the index has the field {field!r}.{did_you_mean(field, known)} "
                    f"There are: {', '.join(known)}."
                )
        masks = [made.mask(column) for column in columns]
        return [m if gone is None else m & ~gone for m, gone in zip(masks, self.deleted, strict=True)]

    def search(self, plans: Sequence[Plan], k: int, allowed: Sequence[Mask], *, unit: bool, exact: bool) -> Hits:
        """The k best items of each query; an item counts by its best slot.

        Args:
            plans: one for each slot that is searched.
            allowed: for each segment.
            unit: the stored vectors have unit length already.
        """
        found = [self._search_slot(plan, number, k, allowed, unit, exact) for number, plan in enumerate(plans)]
        return found[0] if len(found) == 1 else _best_of(found, k)

    def _search_slot(self, plan: Plan, number: int, k: int, allowed: Sequence[Mask], unit: bool, exact: bool) -> Hits:
        scores, segments, items = [], [], []
        for position, (segment, mask) in enumerate(zip(self.segments, allowed, strict=True)):
            held = segment.slots[plan.slot]
            held = held.unit if plan.unit and not unit else held
            found = held.search(plan.vectors_QE, k, allowed=mask, exact=exact)
            scores.append(found.scores_QK)
            items.append(found.items_QK)
            segments.append(np.full(found.items_QK.shape, position))
        scores_QK, items_QK, segments_QK = (np.concatenate(part, axis=1) for part in (scores, items, segments))
        if len(self.segments) > 1:
            order = np.argsort(-scores_QK, axis=1, kind="stable")[:, :k]
            scores_QK, items_QK, segments_QK = (
                np.take_along_axis(part, order, 1) for part in (scores_QK, items_QK, segments_QK)
            )
        scores_QK = scores_QK + plan.constant_Q[:, None]
        scores_QK[items_QK < 0] = -np.inf
        return Hits(
            scores_QK=scores_QK, segments_QK=segments_QK, items_QK=items_QK, slots_QK=np.full(items_QK.shape, number)
        )


def _worth_merging(left: Segment, right: Segment) -> bool:
    """So that N items added one by one end in about log N segments, each item copied about log N times."""
    built = any(held.approximate is not None for held in left.slots.values())
    return not built and len(left) < 2 * len(right) and len(left) + len(right) <= MERGED_UP_TO


def _best_of(found: Sequence[Hits], k: int) -> Hits:
    """The k best items over several slots: an item that two slots found counts once, by the better."""
    scores, segments, items, slots = (
        np.concatenate([getattr(hits, name) for hits in found], axis=1)
        for name in ("scores_QK", "segments_QK", "items_QK", "slots_QK")
    )
    order = np.argsort(-scores, axis=1, kind="stable")
    shape = (len(scores), min(k, scores.shape[1]))
    columns = np.zeros(shape, np.int64)
    filled = np.zeros(len(scores), np.int64)
    for query, ranked in enumerate(order):
        seen: set[tuple[int, int]] = set()
        for column in ranked:
            item = (int(segments[query, column]), int(items[query, column]))
            if item[1] >= 0 and item not in seen and len(seen) < k:
                columns[query, len(seen)] = column
                seen.add(item)
        filled[query] = len(seen)
    scores, segments, items, slots = (np.take_along_axis(part, columns, 1) for part in (scores, segments, items, slots))
    empty = np.arange(shape[1]) >= filled[:, None]
    scores[empty], items[empty] = -np.inf, -1
    return Hits(scores_QK=scores, segments_QK=segments, items_QK=items, slots_QK=slots)
