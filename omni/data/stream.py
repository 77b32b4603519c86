"""Streams: data sets read one after another, whose order is a function of seed, epoch and process.

A stream is two things: ``tickets(epoch)``, the order as cheap references, and ``read(ticket)``, which touches the data.
Every position in the order can be named by one number, so that training goes on at the exact next sample, splits need
no agreement between processes, and nothing is read only to be passed over.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from torch.utils.data import Dataset, IterableDataset, get_worker_info

from omni.data.bad_items import OnBad
from omni.data.fingerprints import dataset_facts, require_same
from omni.data.shuffling import mix, permutation, shuffle_buffer
from omni.errors import ConfigError, InputError
from omni.types import Sample

Ticket = Any
SHUFFLE = 1000  # samples of the buffer when training says nothing else


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which part of a stream an object gives: ``rank`` of ``world`` processes, ``worker`` of ``workers`` within it.

    The workers of a process take turns in runs of ``run`` samples.
    """

    rank: int = 0
    world: int = 1
    worker: int = 0
    workers: int = 1
    run: int = 1


class SampleStream(IterableDataset[Sample], ABC):
    """The base of streams. Iterating gives the rest of the current epoch; the next iteration the next epoch.

    Args:
        shuffle: samples of the shuffle buffer; 0 = in order; None = in order, but 1000 when training.
        seed: of the order; None = 0, or the run's when training.

    Attributes:
        part: set by ``split``.
        epoch: the current one, from 0.
        given: samples of this epoch that this process has passed already.
    """

    def __init__(self, *, shuffle: int | None = None, seed: int | None = None) -> None:
        super().__init__()
        if shuffle is not None and shuffle < 0:
            raise ConfigError(f"shuffle is {shuffle}: it is the size of a buffer, 0 for none.")
        self.shuffle, self.seed = shuffle, seed
        self.part = Part()
        self.epoch = self.given = 0

    @property
    @abstractmethod
    def length(self) -> int | None:
        """Samples of an epoch, all processes together; nominal where only the reading could tell; None = unknown."""

    @abstractmethod
    def tickets(self, epoch: int) -> Iterator[Ticket]:
        """What this process (``part.rank`` of ``part.world``) reads in an epoch, in order, nothing read yet."""

    @abstractmethod
    def read(self, ticket: Ticket) -> Sample:
        """The sample of a ticket.

        Raises:
            InputError: it cannot be read; names it.
        """

    def part_length(self) -> int | None:
        """The exact number of this process's tickets in any epoch; None = not known beforehand."""
        return None

    def place(self, ticket: Ticket) -> tuple[str, int | None]:
        """(name, position in the data set or None) of a ticket, for lists of bad items."""
        return str(ticket), None

    def cheap_length(self, ticket: Ticket, by: str) -> float:
        """A length of the ticket's sample that needs no reading of its data, for buckets.

        Raises:
            ConfigError: there is no such length.
        """
        raise ConfigError(f"{type(self).__name__} cannot tell lengths without reading: buckets need another data set.")

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError(f"the length of this {type(self).__name__} is not known; give it as length=...")
        return self.length

    def __iter__(self) -> Iterator[Sample]:
        return self.iterate()

    def iterate(self, on_bad: OnBad | None = None) -> Iterator[Sample]:
        """The rest of the current epoch.

        Within a worker of a torch DataLoader each worker gives its own share, unless ``split`` said which.

        Args:
            on_bad: what to do about samples that cannot be read; None = raise.
        """
        policy, part = on_bad or OnBad(), self._worker_part()
        for number, ticket in enumerate(islice(self.tickets(self.epoch), self.given, None), self.given):
            self.given = number + 1
            if number // part.run % part.workers != part.worker:
                continue
            try:
                sample = self.read(ticket)
            except InputError as error:
                if not policy.skips:
                    raise
                name, position = self.place(ticket)
                policy.record(error, sample_id=name, index=position)
            else:
                yield sample
        self.epoch, self.given = self.epoch + 1, 0

    def _worker_part(self) -> Part:
        info = get_worker_info()
        if info is None or self.part.workers > 1:
            return self.part
        return Part(**{**asdict(self.part), "worker": info.id, "workers": info.num_workers})

    def split(self, *, rank: int = 0, world: int = 1, worker: int = 0, workers: int = 1, run: int = 1) -> SampleStream:
        """One part; all parts together give every sample of an epoch once.

        Args:
            rank, world: of the process. Parts of processes are of equal size to within one sample where sizes are
                known, and runs of the epoch's order.
            worker, workers: within the process: samples in turn, ``run`` at a time.
        """
        if not (0 <= rank < world and 0 <= worker < workers and run > 0):
            raise ConfigError(f"There is no part rank {rank} of {world}, worker {worker} of {workers}.")
        chosen = copy.copy(self)
        chosen.part = Part(rank=rank, world=world, worker=worker, workers=workers, run=run)
        return chosen

    def ordered(self, *, shuffle: int, seed: int) -> SampleStream:
        """A copy whose ``shuffle`` and ``seed`` are these where it has none of its own."""
        chosen = copy.copy(self)
        chosen.shuffle = shuffle if self.shuffle is None else self.shuffle
        chosen.seed = seed if self.seed is None else self.seed
        return chosen

    def endless(self, start: int = 0) -> Iterator[Ticket]:
        """This process's tickets of all epochs, from the ``start``-th of the first one on.

        Raises:
            InputError: an epoch of this process is empty.
        """
        size = self.part_length()
        epoch, skip = divmod(start, size) if size else (0, start)
        while True:
            number = -1
            for number, ticket in enumerate(self.tickets(epoch)):
                if number >= skip:
                    yield ticket
            if number < 0:
                raise InputError(f"{self}: process {self.part.rank} of {self.part.world} gets no sample at all.")
            epoch, skip = epoch + 1, max(0, skip - number - 1)

    def state_dict(self) -> dict[str, Any]:
        """Where this part is: plain numbers."""
        return {"epoch": self.epoch, "given": self.given, **self._order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at the exact next sample.

        Raises:
            ConfigError: the state is of another part, seed, buffer, or of other data.
        """
        order = self._order()
        require_same({key: state.get(key) for key in order}, order, what=f"{self}: the state is of another order")
        self.epoch, self.given = int(state["epoch"]), int(state["given"])

    def fingerprint(self) -> dict[str, Any]:
        """What the samples and their order depend on besides the part: JSON values, kept in checkpoints."""
        return {"type": type(self).__name__, "seed": self.seed, "shuffle": self.shuffle, "length": self.length}

    def _order(self) -> dict[str, Any]:
        return {"part": asdict(self.part), **self.fingerprint()}

    def _buffered(self, tickets: Iterable[Ticket], epoch: int) -> Iterator[Ticket]:
        seed = mix(self.seed or 0, "buffer", epoch, self.part.rank, self.part.world)
        return shuffle_buffer(tickets, self.shuffle or 0, seed)

    def _run(self, size: int) -> range:
        """This process's share of ``size`` things in a row."""
        rank, world = self.part.rank, self.part.world
        return range(rank * size // world, (rank + 1) * size // world)

    def __str__(self) -> str:
        return type(self).__name__


class MapStream(SampleStream):
    """A map-style data set as a stream; shuffling is a whole permutation, whatever the buffer's size.

    Args:
        dataset: items are Samples.
        shuffle, seed: of SampleStream.
    """

    def __init__(self, dataset: Dataset | Sequence[Sample], *, shuffle: int | None = None, seed: int | None = None):
        super().__init__(shuffle=shuffle, seed=seed)
        self.dataset = dataset

    @property
    def length(self) -> int:
        """Samples of the data set."""
        return len(self.dataset)  # type: ignore[arg-type]

    def part_length(self) -> int:
        """Exact."""
        return len(self._run(self.length))

    def tickets(self, epoch: int) -> Iterator[int]:
        """Indices."""
        if not self.shuffle:
            return iter(self._run(self.length))
        order = permutation(self.length, mix(self.seed or 0, "order", epoch))
        run = self._run(self.length)
        return iter(order[run.start : run.stop].tolist())

    def read(self, ticket: int) -> Sample:
        """The sample of an index."""
        return self.dataset[ticket]

    def place(self, ticket: int) -> tuple[str, int]:
        """The index."""
        return f"#{ticket}", ticket

    def fingerprint(self) -> dict[str, Any]:
        """Of the data set too."""
        return {**super().fingerprint(), "dataset": dataset_facts(self.dataset)}


class IterableStream(SampleStream):
    """Any iterable of Samples that can be iterated again. Processes take its samples in turn.

    Going on within an epoch reads what was passed over again, since an iterable cannot jump.

    Args:
        source: iterated anew for every epoch.
        length: samples of an epoch, nominal; None = ``len(source)`` where it has one.
        shuffle, seed: of SampleStream; the buffer holds samples.
    """

    def __init__(
        self,
        source: Iterable[Sample],
        *,
        length: int | None = None,
        shuffle: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(shuffle=shuffle, seed=seed)
        self.source = source
        self._length = length

    @property
    def length(self) -> int | None:
        """As given, or as the source says."""
        if self._length is not None:
            return self._length
        try:
            return len(self.source)  # type: ignore[arg-type]
        except TypeError:
            return None

    def tickets(self, epoch: int) -> Iterator[Sample]:
        """The samples themselves."""
        return self._buffered(islice(iter(self.source), self.part.rank, None, self.part.world), epoch)

    def read(self, ticket: Sample) -> Sample:
        """The sample."""
        return ticket

    def place(self, ticket: Sample) -> tuple[str, int | None]:
        """Its name."""
        return ticket.id, None

    def fingerprint(self) -> dict[str, Any]:
        """Of the source too."""
        return {**super().fingerprint(), "source": dataset_facts(self.source)}


def is_stream(dataset: Any) -> bool:
    """Whether a data set has no items by number."""
    return isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__")


def as_stream(dataset: Any) -> SampleStream:
    """Any data set of Samples as a stream."""
    if isinstance(dataset, SampleStream):
        return dataset
    return IterableStream(dataset) if is_stream(dataset) else MapStream(dataset)
