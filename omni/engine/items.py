"""Data sets whose items are whole batches: torch asks ``__getitems__`` for all of a batch's samples at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from omni.data.bad_items import BadItem, bad_item
from omni.data.collate import POOLED_KEY, Item
from omni.data.processor import Processor
from omni.engine import seeding
from omni.engine.sampling import Draw, keep_slots
from omni.errors import ConfigError, InputError, TrainingError
from omni.types import Batch, Sample

SPARES = 1000  # samples in a row that may be bad before a batch without any good one stops the run


class FeatureTable:
    """Pooled features of one slot's distinct items.

    Args:
        rows: content key -> row.
        pooled_KD: (K, D) features.
    """

    def __init__(self, rows: Mapping[str, int], pooled_KD: Tensor) -> None:
        self.rows = dict(rows)
        self.pooled_KD = pooled_KD

    def get(self, key: str) -> Tensor | None:
        """(D,) features of an item; None where its file holds nothing for the slot."""
        return self.pooled_KD[self.rows[key]] if key in self.rows else None


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


@dataclass(frozen=True)
class Reading:
    """One sample to be read: how, what its random numbers depend on, and how it is called if it cannot be."""

    read: Callable[[], Sample]
    key: tuple[int, ...]
    place: Callable[[], tuple[str, int | None]]
    index: int | None = None


class ItemMaker:
    """Reads, transforms and collates the samples of a batch; what is random depends on the seed and their keys only.

    Args:
        processor: of the model.
        seed: of augmentation and slot dropout.
        training: augment, and drop slots.
        cached: slot -> FeatureTable that stands in for the slot's tower.
        slot_dropout: slot -> rate.
        views: augmented views of each sample.
        skip_bad: leave samples out that cannot be read; the batch then lists them.
    """

    def __init__(
        self,
        processor: Processor,
        *,
        seed: int = 0,
        training: bool = False,
        cached: Mapping[str, FeatureTable] | None = None,
        slot_dropout: Mapping[str, float] | None = None,
        views: int = 1,
        skip_bad: bool = False,
    ) -> None:
        self.processor = processor
        self.seed = seed
        self.training = training
        self.cached = dict(cached or {})
        self.rates_Z = dropout_rates(slot_dropout, processor.slots) if training else None
        self.views = views
        self.skip_bad = skip_bad

    def batch(
        self, readings: Sequence[Reading], spares: Callable[[int], Reading | None], *, key: tuple[int, ...]
    ) -> Batch:
        """The collated batch.

        Args:
            readings: its samples.
            spares: number from 0 -> what is read in place of a batch without a good sample; None = no more of them.
            key: what the slot dropout of the batch depends on.

        Returns:
            The batch; one without samples if none is good and there are no spares.

        Raises:
            TrainingError: far too many spares in a row are bad.
        """
        with seeding.preserved_rng():
            items, bad = self._items(readings, key)
            for number in range(SPARES):
                spare = None if items else spares(number)
                if spare is None:
                    break
                items, more = self._items([spare], (*key, number))
                bad.extend(more)
        if len(bad) >= SPARES and not items:
            raise TrainingError(f"{len(bad)} samples in a row cannot be read; the last one: {bad[-1].reason}")
        if items:
            made = self.processor.collate(items)
        else:
            made = Batch(inputs={}, present={slot: torch.zeros(0) > 0 for slot in self.processor.slots}, ids=[])
        made.bad = bad
        return made

    def _items(self, readings: Sequence[Reading], key: tuple[int, ...]) -> tuple[list[Item], list[BadItem]]:
        bad: list[BadItem] = []
        samples = [self._guarded(reading, lambda reading=reading: self._read(reading), bad) for reading in readings]
        items = []
        for reading, sample, slots in zip(readings, samples, self._kept(samples, key), strict=True):
            if sample is not None:
                made = (sample, reading, slots)
                items.append(self._guarded(reading, lambda made=made: self._item(*made), bad, sample.id))
        return [item for item in items if item is not None], bad

    def _guarded(self, reading: Reading, make: Callable, bad: list[BadItem], name: str | None = None) -> object:
        try:
            return make()
        except InputError as error:
            if not self.skip_bad:
                raise
            called, position = reading.place()
            bad.append(bad_item(error, sample_id=name or called, index=position))
            return None

    def _read(self, reading: Reading) -> Sample:
        if self.training:
            seeding.seed_everything(self.seed, "sample", *reading.key)
        return reading.read()

    def _kept(self, samples: Sequence[Sample | None], key: tuple[int, ...]) -> list[list[str]]:
        """The slots of each sample that stay; a bad one has none, and does not shift the others' draws."""
        slots = self.processor.slots
        present = [[item is not None and item.values.get(slot) is not None for slot in slots] for item in samples]
        if self.rates_Z is not None:
            generator = seeding.generator(self.seed, "slots", *key)
            present = keep_slots(torch.tensor(present), self.rates_Z, generator).tolist()
        return [[slot for slot, has in zip(slots, row, strict=True) if has] for row in present]

    def _item(self, sample: Sample, reading: Reading, slots: list[str]) -> Item:
        views: list[dict[str, dict[str, Tensor]]] = []
        for view in range(self.views):
            if self.training:
                seeding.seed_everything(self.seed, "view", view, *reading.key)
            views.append(self._tensors(sample, reading, slots))
            for slot in self._dropped(sample, slots) if not views[-1] else ():  # what stayed held nothing
                views[-1] = self._tensors(sample, reading, [slot])
                if views[-1]:
                    break
        return Item(sample, views[0], index=reading.index, views=tuple(views[1:]))

    def _tensors(self, sample: Sample, reading: Reading, slots: list[str]) -> dict[str, dict[str, Tensor]]:
        tensors = self.processor(sample, self.training, slots=[slot for slot in slots if slot not in self.cached])
        for slot in slots:
            row = self.cached[slot].get(sample_key(sample, slot, reading.index or 0)) if slot in self.cached else None
            if row is not None:
                tensors[slot] = {POOLED_KEY: row}
        return tensors

    def _dropped(self, sample: Sample, slots: list[str]) -> list[str]:
        """The slots with a value that slot dropout took."""
        return [slot for slot in self.processor.slots if slot not in slots and sample.values.get(slot) is not None]


class BatchItems(Dataset):
    """Batches of a map-style data set; what is random depends on (seed, epoch, index) only.

    Args:
        dataset: map-style, items are Samples.
        processor, seed, training, cached, slot_dropout, views, skip_bad: of ItemMaker.
        left_out: indices known to be bad, which no batch holds.
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
        skip_bad: bool = False,
        left_out: frozenset[int] = frozenset(),
    ) -> None:
        self.dataset = dataset
        self.processor = processor
        self.left_out = left_out
        self.maker = ItemMaker(
            processor, seed=seed, training=training, cached=cached, slot_dropout=slot_dropout, views=views,
            skip_bad=skip_bad,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, draw: Draw) -> Batch:
        return self.__getitems__([draw])

    def __getitems__(self, draws: list[Draw]) -> Batch:
        """The collated batch of (epoch, index) draws. In training, where none of them is good, of the next good one.

        Raises:
            TrainingError: no sample of the data set is good.
        """
        epoch, last = draws[-1]
        good = [draw for draw in draws if draw[1] not in self.left_out]

        following = ((last + step) % len(self) for step in range(1, len(self)))
        others = (index for index in following if index not in self.left_out)

        def spare(number: int) -> Reading | None:
            index = next(others, None) if self.maker.training else None
            return None if index is None else self._reading((epoch, index))

        made = self.maker.batch([self._reading(draw) for draw in good], spare, key=draws[0])
        if not len(made) and self.maker.training:
            raise TrainingError("No sample of the data set can be read.")
        return made

    def _reading(self, draw: Draw) -> Reading:
        index = draw[1]
        return Reading(lambda: self.dataset[index], draw, lambda: (f"#{index}", index), index)


def as_is(batch: Batch) -> Batch:
    """The collate function of data sets whose items are batches already."""
    return batch
