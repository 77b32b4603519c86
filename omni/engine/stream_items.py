"""Batches of a stream: the order is cut into batches by number, and each worker reads those of its own numbers only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from omni.data.buckets import bucketed_batches
from omni.data.processor import Processor
from omni.data.stream import SHUFFLE, SampleStream, Ticket, as_stream
from omni.engine.items import ItemMaker, Reading
from omni.engine.seeding import mix
from omni.types import Batch


class StreamItems(IterableDataset):
    """Endless batches in training, one epoch otherwise. Which samples make up which batch depends on the seed, the
    process and the batch's number only: neither on the number of workers nor on where a run was stopped.

    Args:
        dataset: a SampleStream, or any iterable over Samples that can be iterated again.
        processor, seed, training, slot_dropout, views, skip_bad: of ItemMaker.
        batch_size: samples of a batch of this process.
        shuffle: in training, for streams that do not say themselves.
        buckets: (slot, batches of a pool): batches of like length.
        rank, world: of this process.

    Attributes:
        start: number of the first batch; set it to resume.
    """

    def __init__(
        self,
        dataset: Any,
        processor: Processor,
        *,
        batch_size: int,
        seed: int = 0,
        training: bool = True,
        slot_dropout: Mapping[str, float] | None = None,
        views: int = 1,
        skip_bad: bool = False,
        shuffle: bool = True,
        buckets: tuple[str, int] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        stream = as_stream(dataset).split(rank=rank, world=world)
        buffer = SHUFFLE if isinstance(dataset, SampleStream) else 0  # any other iterable has an order of its own
        self.stream: SampleStream = stream.ordered(shuffle=buffer if training and shuffle else 0, seed=seed)
        if not (training and shuffle):
            self.stream.shuffle = 0
        self.processor = processor
        self.batch_size = batch_size
        self.seed = seed
        self.training = training
        self.buckets = buckets
        self.maker = ItemMaker(
            processor, seed=mix(seed, "rank", rank), training=training, slot_dropout=slot_dropout, views=views,
            skip_bad=skip_bad,
        )  # fmt: skip
        self.start = 0

    def __len__(self) -> int:
        """Batches of an epoch of this process, nominal."""
        exact = self.stream.part_length()
        samples = -(-len(self.stream) // self.stream.part.world) if exact is None else exact
        return -(-samples // self.batch_size)

    def fingerprint(self) -> dict[str, Any]:
        """Of the data and its order, the same in every process."""
        return self.stream.fingerprint()

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        step, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for number, tickets in enumerate(self._batches(), self.start):
            if (number - self.start) % workers == step:
                yield self._batch(tickets, number)

    def _batches(self) -> Iterator[list[Ticket]]:
        """Tickets of the batches from ``start`` on."""
        if self.buckets is None:
            tickets = self._tickets(self.start * self.batch_size)
            while chunk := list(islice(tickets, self.batch_size)):
                yield chunk
            return
        by, pool = self.buckets
        first, ahead = divmod(self.start, pool)
        batches = bucketed_batches(
            self._tickets(first * pool * self.batch_size), lambda ticket: self.stream.cheap_length(ticket, by),
            batch=self.batch_size, pool=pool, seed=self.seed, first_pool=first,
        )  # fmt: skip
        yield from islice(batches, ahead, None)

    def _tickets(self, start: int) -> Iterator[Ticket]:
        return self.stream.endless(start) if self.training else islice(self.stream.tickets(0), start, None)

    def _batch(self, tickets: list[Ticket], number: int) -> Batch:
        readings = [self._reading(ticket, (number, place)) for place, ticket in enumerate(tickets)]
        following: list[Iterator[Ticket]] = []

        def spare(place: int) -> Reading | None:
            if not self.training:
                return None
            if not following:
                following.append(self._tickets((number + 1) * self.batch_size))
            return self._reading(next(following[0]), (number, len(tickets) + place))

        return self.maker.batch(readings, spare, key=(number,))

    def _reading(self, ticket: Ticket, key: tuple[int, int]) -> Reading:
        return Reading(lambda: self.stream.read(ticket), key, lambda: self.stream.place(ticket))


class StreamLoader(DataLoader):
    """A DataLoader whose length is nominal: going beyond it is no fault."""

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]
