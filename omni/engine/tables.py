"""The fast data path: everything tensorised once, batches made by indexing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from omni.data.bad_items import OnBad
from omni.data.collate import POOLED_KEY, collate_targets
from omni.data.processor import Processor
from omni.engine import seeding
from omni.engine.items import FeatureTable, dropout_rates, sample_key
from omni.engine.progress import track
from omni.engine.sampling import Draw, keep_slots
from omni.errors import InputError, TrainingError
from omni.types import Batch, Sample

TABLE_BYTES = 2**31


class TableItems(Dataset):
    """A data set of which every slot is either cached or made of transforms without randomness.

    Args:
        samples: all samples of the data set, in order.
        processor: of the model.
        cached: slot -> FeatureTable.
        seed: of slot dropout.
        slot_dropout: slot -> rate; None when evaluating.
        quiet: no progress bar.
        left_out: indices of bad samples, which no batch holds.
        training: a batch of which no sample is good holds the next good one; otherwise it is empty.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        processor: Processor,
        *,
        cached: Mapping[str, FeatureTable],
        seed: int = 0,
        slot_dropout: Mapping[str, float] | None = None,
        quiet: bool = False,
        left_out: frozenset[int] = frozenset(),
        training: bool = True,
    ) -> None:
        self.left_out, self.training = left_out, training
        if training and len(left_out) == len(samples):
            raise TrainingError("No sample of the data set can be read.")
        self.slots = processor.slots
        self.seed = seed
        self.rates_Z = dropout_rates(slot_dropout, self.slots)
        self.ids = [sample.id for sample in samples]
        self.meta = [sample.meta for sample in samples]
        self.targets = collate_targets(samples)
        self.rows: dict[str, Tensor] = {}
        self.tables: dict[str, dict[str, Tensor]] = {}
        for slot in self.slots:
            if slot in cached:
                table, rows = {POOLED_KEY: cached[slot].pooled_KD}, cached[slot].rows
            else:
                table, rows = tensorise(samples, processor, slot, quiet=quiet)
            keys = [
                rows.get(sample_key(sample, slot, index), -1) if sample.values.get(slot) is not None else -1
                for index, sample in enumerate(samples)
            ]
            self.rows[slot] = torch.tensor(keys, dtype=torch.int64)
            self.tables[slot] = table

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, draw: Draw) -> Batch:
        return self.__getitems__([draw])

    def __getitems__(self, draws: list[Draw]) -> Batch:
        """The batch of (epoch, index) draws."""
        indices = [index for _, index in draws]
        if self.left_out:
            following = ((indices[-1] + step) % len(self) for step in range(1, len(self)))
            good = [index for index in indices if index not in self.left_out]
            spare = (index for index in following if index not in self.left_out)
            indices = good or ([next(spare)] if self.training else [])
        indices_B = torch.tensor(indices, dtype=torch.int64)
        rows_ZB = torch.stack([self.rows[slot][indices_B] for slot in self.slots])
        present_BZ = (rows_ZB >= 0).t()
        if self.rates_Z is not None:
            present_BZ = keep_slots(present_BZ, self.rates_Z, seeding.generator(self.seed, "slots", *draws[0]))
        inputs, present = {}, {}
        for place, slot in enumerate(self.slots):
            present[slot] = present_BZ[:, place].contiguous()
            rows = rows_ZB[place][present[slot]]
            if len(rows):
                inputs[slot] = trim({key: table[rows] for key, table in self.tables[slot].items()})
        return Batch(
            inputs=inputs,
            present=present,
            ids=[self.ids[index] for index in indices],
            targets={name: value[indices_B] for name, value in self.targets.items()},
            meta=[self.meta[index] for index in indices],
            indices_B=indices_B,
        )


def distinct(samples: Sequence[Sample], slot: str) -> dict[str, int]:
    """Content key -> index of the first sample that has it, for a slot's distinct items."""
    found: dict[str, int] = {}
    for index, sample in enumerate(samples):
        if sample.values.get(slot) is not None:
            found.setdefault(sample_key(sample, slot, index), index)
    return found


def tensorise(
    samples: Sequence[Sample], processor: Processor, slot: str, *, quiet: bool = False
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """All distinct items of a slot as adapter inputs (K, ...), and content key -> row; items whose files hold nothing
    for the slot have none."""
    items = {
        key: processor(samples[index], False, slots=[slot]).get(slot)
        for key, index in track(list(distinct(samples, slot).items()), f"reading {slot}", quiet=quiet)
    }
    made = {key: item for key, item in items.items() if item is not None}
    if not made:
        return {}, {}
    return processor.collate_slot(slot, list(made.values())), {key: row for row, key in enumerate(made)}


def readable(
    dataset: Dataset[Sample], processor: Processor, slots: Sequence[str], on_bad: OnBad, *, quiet: bool = False
) -> tuple[list[Sample], frozenset[int]]:
    """All samples in memory, and the indices of the bad ones, which hold no values then.

    Under "skip" every distinct item of ``slots`` is read once to find out; under "raise" nothing is.

    Raises:
        InputError: a sample cannot be read, under "raise".
    """
    if not on_bad.skips:
        return [dataset[index] for index in range(len(dataset))], frozenset()  # type: ignore[arg-type]
    samples: list[Sample] = []
    verdicts: dict[tuple[str, str], InputError | None] = {}
    left_out = set()
    for index in track(range(len(dataset)), "looking for bad items", quiet=quiet):  # type: ignore[arg-type]
        name, sample = f"#{index}", None
        with on_bad.guard(name, index):
            sample = dataset[index]
        error = None if sample is None else _first_error(sample, index, processor, slots, verdicts)
        if sample is None or error is not None:
            left_out.add(index)
            if sample is not None and error is not None:
                on_bad.record(error, sample_id=sample.id, index=index)
            sample = Sample(id=name if sample is None else sample.id, values={})
        samples.append(sample)
    return samples, frozenset(left_out)


def _first_error(
    sample: Sample,
    index: int,
    processor: Processor,
    slots: Sequence[str],
    verdicts: dict[tuple[str, str], InputError | None],
) -> InputError | None:
    """Why a sample is bad; items that samples share are read once."""
    for slot in slots:
        if sample.values.get(slot) is None:
            continue
        key = (slot, sample_key(sample, slot, index))
        if key not in verdicts:
            verdicts[key] = None
            try:
                processor(sample, False, slots=[slot])
            except InputError as error:
                verdicts[key] = error
        if verdicts[key] is not None:
            return verdicts[key]
    return None


def trim(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cut padding that no sample of the batch needs: tables are padded to the longest item of the data set."""
    masks = [value for key, value in inputs.items() if key.startswith("valid_") and value.ndim == 2]
    if len(masks) != 1:
        return inputs
    total = masks[0].shape[1]
    used = masks[0].any(0).nonzero()
    length = int(used[-1]) + 1 if len(used) else 1
    return {
        key: value[:, :length] if value.ndim >= 2 and value.shape[1] == total else value
        for key, value in inputs.items()
    }


def fits(samples: Sequence[Sample], processor: Processor, slots: Sequence[str], limit: int = TABLE_BYTES) -> bool:
    """Whether tables of these slots stay below ``limit`` bytes, judged by the first few items of each."""
    total = 0.0
    for slot in slots:
        first = list(distinct(samples, slot).values())
        probe = [processor(samples[index], False, slots=[slot]).get(slot, {}) for index in first[:4]]
        sizes = [sum(value.numel() * value.element_size() for value in item.values()) for item in probe]
        total += len(first) * max(sizes, default=0)
    return total <= limit
