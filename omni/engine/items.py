"""Data sets whose items are whole batches: torch asks ``__getitems__`` for all of a batch's samples at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from omni.data.collate import POOLED_KEY, Item
from omni.data.processor import Processor
from omni.engine import seeding
from omni.engine.sampling import Draw, keep_slots
from omni.errors import ConfigError
from omni.types import Batch, Sample


class FeatureTable:
    """Pooled features of one slot's distinct items.

    Args:
        rows: content key -> row.
        pooled_KD: (K, D) features.
    """

    def __init__(self, rows: Mapping[str, int], pooled_KD: Tensor) -> None:
        self.rows = dict(rows)
        self.pooled_KD = pooled_KD

    def __getitem__(self, key: str) -> Tensor:
        return self.pooled_KD[self.rows[key]]


def sample_key(sample: Sample, slot: str, index: int) -> str:
    """The content key of a sample's slot; its position in the data set where it has none."""
    return sample.keys.get(slot, f"#{index}")


def dropout_rates(rates: Mapping[str, float] | None, slots: Sequence[str]) -> Tensor | None:
    """(Z,) rates in the order of ``slots``; None where nothing is dropped.

    Raises:
        ConfigError: an unknown slot or a rate outside [0, 1).
    """
    if not rates:
        return None
    for slot, rate in rates.items():
        if slot not in slots:
            raise ConfigError(f"slot_dropout names the slot {slot!r}; the processor has {', '.join(slots)}.")
        if not 0 <= rate < 1:
            raise ConfigError(f"slot_dropout[{slot!r}] is {rate}: it must be at least 0 and below 1.")
    return torch.tensor([float(rates.get(slot, 0.0)) for slot in slots])


class BatchItems(Dataset):
    """Loads, transforms and collates the samples of a batch; what is random depends on (seed, epoch, index) only.

    Args:
        dataset: map-style, items are Samples.
        processor: of the model.
        seed: of augmentation and slot dropout.
        training: augment, and drop slots.
        cached: slot -> FeatureTable that stands in for the slot's tower.
        slot_dropout: slot -> rate.
        views: augmented views of each sample.
    """

    def __init__(
        self,
        dataset: Dataset[Sample],
        processor: Processor,
        *,
        seed: int = 0,
        training: bool = False,
        cached: Mapping[str, FeatureTable] | None = None,
        slot_dropout: Mapping[str, float] | None = None,
        views: int = 1,
    ) -> None:
        self.dataset = dataset
        self.processor = processor
        self.seed = seed
        self.training = training
        self.cached = dict(cached or {})
        self.rates_Z = dropout_rates(slot_dropout, processor.slots) if training else None
        self.views = views

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, draw: Draw) -> Batch:
        return self.__getitems__([draw])

    def __getitems__(self, draws: list[Draw]) -> Batch:
        """The collated batch of (epoch, index) draws."""
        with seeding.preserved_rng():
            samples = []
            for epoch, index in draws:
                if self.training:
                    seeding.seed_everything(self.seed, "sample", epoch, index)
                samples.append(self.dataset[index])
            kept = self._kept(samples, draws)
            items = [self._item(sample, draw, slots) for sample, draw, slots in zip(samples, draws, kept, strict=True)]
        return self.processor.collate(items)

    def _kept(self, samples: list[Sample], draws: list[Draw]) -> list[list[str]]:
        slots = self.processor.slots
        present = [[sample.values.get(slot) is not None for slot in slots] for sample in samples]
        if self.rates_Z is not None:
            generator = seeding.generator(self.seed, "slots", *draws[0])
            present = keep_slots(torch.tensor(present), self.rates_Z, generator).tolist()
        return [[slot for slot, has in zip(slots, row, strict=True) if has] for row in present]

    def _item(self, sample: Sample, draw: Draw, slots: list[str]) -> Item:
        epoch, index = draw
        raw = [slot for slot in slots if slot not in self.cached]
        views = []
        for view in range(self.views):
            if self.training:
                seeding.seed_everything(self.seed, "view", view, epoch, index)
            tensors = self.processor(sample, self.training, slots=raw)
            for slot in slots:
                if slot in self.cached:
                    tensors[slot] = {POOLED_KEY: self.cached[slot][sample_key(sample, slot, index)]}
            views.append(tensors)
        return Item(sample, views[0], index=index, views=tuple(views[1:]))


class StreamItems(IterableDataset):
    """A streaming data set processed sample by sample; torch's workers and processes each take every n-th sample.

    Args:
        dataset: iterable over Samples, with a nominal ``__len__``; restarted when it ends.
        processor, seed, training, slot_dropout: as of BatchItems.
        batch_size: samples of a batch.
        rank, world: of this process.

    Attributes:
        start: batches to pass over at the beginning, for resuming.
    """

    def __init__(
        self,
        dataset: Iterable[Sample],
        processor: Processor,
        *,
        batch_size: int,
        seed: int = 0,
        training: bool = True,
        slot_dropout: Mapping[str, float] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.dataset = dataset
        self.processor = processor
        self.batch_size = batch_size
        self.seed = seed
        self.training = training
        self.rates_Z = dropout_rates(slot_dropout, processor.slots) if training else None
        self.rank = rank
        self.world = world
        self.start = 0

    def _samples(self) -> Iterator[Sample]:
        count = 0
        while True:
            before = count
            for sample in self.dataset:
                if count % self.world == self.rank:
                    yield sample
                count += 1
            if not self.training:
                return
            if count == before:
                raise ConfigError("The streaming data set gave no sample at all.")

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        step, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        chunk: list[Sample] = []
        number = 0
        for sample in self._samples():
            chunk.append(sample)
            if len(chunk) == self.batch_size:
                if number >= self.start and (number - self.start) % workers == step:
                    yield self._batch(chunk, number)
                chunk, number = [], number + 1
        if chunk and not self.training and number % workers == step:
            yield self._batch(chunk, number)

    def _batch(self, samples: list[Sample], number: int) -> Batch:
        slots = self.processor.slots
        present = torch.tensor([[sample.values.get(slot) is not None for slot in slots] for sample in samples])
        if self.rates_Z is not None:
            present = keep_slots(present, self.rates_Z, seeding.generator(self.seed, "slots", number, self.rank))
        items: list[Any] = []
        with seeding.preserved_rng():
            for place, (sample, row) in enumerate(zip(samples, present.tolist(), strict=True)):
                kept = [slot for slot, has in zip(slots, row, strict=True) if has]
                if self.training:
                    seeding.seed_everything(self.seed, "view", number, place, self.rank)
                items.append(Item(sample, self.processor(sample, self.training, slots=kept)))
        return self.processor.collate(items)


def as_is(batch: Batch) -> Batch:
    """The collate function of data sets whose items are batches already."""
    return batch
