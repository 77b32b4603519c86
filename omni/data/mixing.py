"""Several data sets as one stream: in proportion to their sizes, or in given ratios; their slots need not be alike."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from omni.data.shuffling import mix, weighted_choices
from omni.data.stream import Part, SampleStream, as_stream
from omni.errors import ConfigError
from omni.types import Sample

BLOCK = 4096
SOURCE = "source"

Ticket = tuple[int, Any]  # (source, its ticket)


class MixedStream(SampleStream):
    """Samples of several sources, map-style or streams, one after another.

    Without ratios an epoch holds every sample of every source once, evenly spread. With ratios the sources run on for
    ever side by side: each is read through before it begins again, large ones may need many epochs of the mixture, and
    an epoch is nominal. Which source comes next follows a golden-ratio sequence, so that every stretch of samples, a
    batch too, keeps the ratios to within a few samples.

    Samples are named "source/id", and ``meta["source"]`` says where they come from.

    Args:
        sources: name -> data set, or its config (``dict(type=...)``); a list is named by position.
        ratios: name -> share, or a list in the sources' order; any positive numbers. None = by size.
        run: how many samples in a row come from one source; the batch size makes batches of one source.
        length: nominal samples of an epoch with ratios; None = all sources together.
        shuffle, seed: of SampleStream; the order within each source that does not say itself.

    Raises:
        ConfigError: no sources, or ratios that do not fit them.
        InputError: without ratios, a source of unknown size.
    """

    def __init__(
        self,
        sources: Mapping[str, Any] | Sequence[Any],
        *,
        ratios: Mapping[str, float] | Sequence[float] | None = None,
        run: int = 1,
        length: int | None = None,
        shuffle: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(shuffle=shuffle, seed=seed)
        named = sources if isinstance(sources, Mapping) else {str(i): source for i, source in enumerate(sources)}
        if not named:
            raise ConfigError("mixed: there are no sources.")
        if run < 1:
            raise ConfigError(f"mixed: run is {run}; at least one sample in a row comes from one source.")
        self.names = tuple(named)
        self.sources = [as_stream(_build(source)) for source in named.values()]
        self.run = run
        self._length = length
        self.weights = self._weights(ratios)
        found = [slot for source in self.sources for slot in _slots(source)]
        self.slots = tuple(dict.fromkeys(found))
        for name, source in zip(self.names, self.sources, strict=True):
            if source.length is None or (ratios is None and source.part_length() is None):
                raise ConfigError(
                    f"mixed: how many samples the source {name!r} has is not known beforehand. Give `ratios`, and "
                    "its `length`."
                )

    def _weights(self, ratios: Mapping[str, float] | Sequence[float] | None) -> np.ndarray | None:
        if ratios is None:
            return None
        if isinstance(ratios, Mapping):
            unknown = set(ratios) ^ set(self.names)
            if unknown:
                raise ConfigError(f"mixed: ratios and sources differ in {', '.join(sorted(map(repr, unknown)))}.")
            ratios = [ratios[name] for name in self.names]
        weights = np.asarray(ratios, np.float64)
        if weights.shape != (len(self.names),) or not (np.isfinite(weights).all() and (weights > 0).all()):
            raise ConfigError(f"mixed: ratios must be {len(self.names)} positive numbers, not {list(ratios)}.")
        return weights

    @property
    def length(self) -> int:
        """As given, or the sum of the sources'."""
        total = sum(source.length or 0 for source in self.sources)
        return total if self._length is None or self.weights is None else self._length

    def part_length(self) -> int:
        """Exact: of the sources without ratios, of the nominal epoch with them."""
        if self.weights is None:
            return sum(source.part_length() or 0 for source in self._parts())
        return len(self._run(self.length))

    def _parts(self) -> list[SampleStream]:
        """The sources as this process reads them."""
        parts = []
        for name, source in zip(self.names, self.sources, strict=True):
            part = source.ordered(shuffle=self.shuffle or 0, seed=mix(self.seed or 0, "source", name))
            if not self.shuffle:
                part.shuffle = 0
            part.part = replace(Part(), rank=self.part.rank, world=self.part.world)
            parts.append(part)
        return parts

    def tickets(self, epoch: int) -> Iterator[Ticket]:
        """(source, ticket of the source) pairs."""
        return self._whole_epoch(epoch) if self.weights is None else self._in_ratios(epoch)

    def _whole_epoch(self, epoch: int) -> Iterator[Ticket]:
        """Every sample once: where the sequence says a source that is used up, the one with most left."""
        parts = self._parts()
        left = [part.part_length() or 0 for part in parts]
        sizes = np.array([max(count, 0) for count in left], np.float64)
        if not sizes.sum():
            return
        readers = [part.tickets(epoch) for part in parts]
        choices = self._choices(sizes, 0, epoch)
        while any(left):
            source = next(choices)
            for _ in range(self.run):
                if not left[source]:
                    source = max(range(len(left)), key=left.__getitem__)
                if left[source]:
                    left[source] -= 1
                    yield source, next(readers[source])

    def _in_ratios(self, epoch: int) -> Iterator[Ticket]:
        size = self.part_length()
        start = epoch * size
        given = self._given(start)
        readers = [part.endless(count) for part, count in zip(self._parts(), given, strict=True)]
        for source, _ in zip(self._choices(self.weights, start, 0), range(size), strict=False):
            yield source, next(readers[source])

    def _choices(self, weights: np.ndarray, start: int, epoch: int) -> Iterator[int]:
        """Sources from the ``start``-th sample on, without an end. In ratios, one for each sample; by size, one for
        each run."""
        seed = self._choice_seed(epoch)
        if self.weights is None:
            while True:
                yield from weighted_choices(weights, seed, start, BLOCK).tolist()
                start += BLOCK
        first, ahead = divmod(start, self.run)
        while True:
            block = np.repeat(weighted_choices(weights, seed, first, BLOCK), self.run)
            yield from block[ahead:].tolist()
            first, ahead = first + BLOCK, 0

    def _choice_seed(self, epoch: int) -> int:
        return mix(self.seed or 0, "mixture", epoch, self.part.rank, self.part.world)

    def _given(self, count: int) -> list[int]:
        """How many of the first ``count`` samples of this process came from each source."""
        totals = np.zeros(len(self.sources), np.int64)
        runs, rest = divmod(count, self.run)
        seed = self._choice_seed(0)
        for at in range(0, runs, 1 << 20):
            chosen = weighted_choices(self.weights, seed, at, min(1 << 20, runs - at))
            totals += self.run * np.bincount(chosen, minlength=len(totals))
        totals[weighted_choices(self.weights, seed, runs, 1)[0]] += rest
        return totals.tolist()

    def read(self, ticket: Ticket) -> Sample:
        """The sample, named with its source."""
        source, inner = ticket
        sample = copy.copy(self.sources[source].read(inner))
        name = self.names[source]
        sample.id = f"{name}/{sample.id}"
        sample.meta = {**sample.meta, SOURCE: name}
        return sample

    def place(self, ticket: Ticket) -> tuple[str, int | None]:
        """("source/name", position in the source)."""
        source, inner = ticket
        name, position = self.sources[source].place(inner)
        return f"{self.names[source]}/{name}", position

    def cheap_length(self, ticket: Ticket, by: str) -> float:
        """As the source says."""
        return self.sources[ticket[0]].cheap_length(ticket[1], by)

    def fingerprint(self) -> dict[str, Any]:
        """Of all sources too."""
        weights = None if self.weights is None else self.weights.tolist()
        sources = {name: source.fingerprint() for name, source in zip(self.names, self.sources, strict=True)}
        return {**super().fingerprint(), "ratios": weights, "run": self.run, "sources": sources}


def _build(source: Any) -> Any:
    if isinstance(source, Mapping):
        from omni.registry import DATASETS

        return DATASETS.build(dict(source))
    return source


def _slots(source: SampleStream) -> Sequence[str]:
    held = getattr(source, "dataset", source)
    slots = getattr(held, "slots", ())
    return tuple(slots) if isinstance(slots, (Mapping, list, tuple)) else ()
