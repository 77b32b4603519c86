"""A data set's embeddings: every distinct value through the model once, a part of the data set at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from omni.encoding import prepare_batches
from omni.errors import InputError
from omni.inference import OmniPredictor
from omni.progress import Progress, show_progress
from omni.types import Sample

PART = 1024  # samples whose raw values are held at a time


@dataclass(kw_only=True)
class EncodedSamples:
    """Embeddings of N samples.

    Attributes:
        ids: of the samples.
        targets: of the samples, as the data set gave them.
        embeddings: slot -> (V, E) float32 of the slot's distinct values (by content key).
        rows: slot -> (N,) int64 which of them each sample has; -1 = none.
        left_out: samples of the data set that are not here, since they lack a slot that was required.
    """

    ids: list[str]
    targets: list[dict[str, Any]]
    embeddings: dict[str, Tensor]
    rows: dict[str, Tensor]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def having(self, slots: Iterable[str]) -> Tensor:
        """(M,) int64: samples that have all of these slots."""
        present = torch.ones(len(self), dtype=torch.bool)
        for slot in slots:
            present &= self.rows[slot] >= 0
        return present.nonzero()[:, 0]

    def of(self, slot: str, samples_M: Tensor) -> Tensor:
        """(M, E): the slot's embedding of each of these samples, which have it."""
        return self.embeddings[slot][self.rows[slot][samples_M]]

    def labels(self, name: str, samples_M: Tensor) -> Tensor:
        """(M,) int64 target of these samples.

        Raises:
            InputError: one of them has no whole number there.
        """
        values = []
        for index in samples_M.tolist():
            value = _whole(self.targets[index].get(name))
            if value is None:
                raise InputError(f"Sample {self.ids[index]!r} has no whole-numbered target {name!r}.")
            values.append(value)
        return torch.tensor(values, dtype=torch.long)

    def have_label(self, name: str, samples_M: Tensor) -> bool:
        """Whether all of these samples have the target."""
        return all(name in self.targets[index] for index in samples_M.tolist())


def encode_samples(
    model: OmniPredictor,
    dataset: Any,
    slots: Iterable[str],
    *,
    require: Iterable[str] = (),
    batch_size: int = 64,
    progress: Progress = None,
) -> EncodedSamples:
    """Embed the slots of all samples; raw values are let go as soon as they are embedded.

    Args:
        dataset: map-style or iterable, items are Samples.
        slots: to embed, where a sample has them.
        require: slots without which a sample is left out (and not read further).
        batch_size: values at a time through the model.

    Raises:
        InputError: a value that cannot be read; names slot and sample number.
    """
    names = list(dict.fromkeys(slots))
    required = set(require)
    made = EncodedSamples(ids=[], targets=[], embeddings={}, rows={})
    tables = {slot: _Table() for slot in names}
    with show_progress("encode", len(dataset) if hasattr(dataset, "__len__") else 0, progress) as advance:
        for part in _parts(dataset):
            kept = [(n, s) for n, s in part if all(s.values.get(slot) is not None for slot in required)]
            made.left_out += len(part) - len(kept)
            made.ids += [sample.id for _, sample in kept]
            made.targets += [sample.targets for _, sample in kept]
            for slot, table in tables.items():
                table.add(model, slot, kept, batch_size)
            advance(len(part))
    width = model.model.config.embedding_width
    for slot, table in tables.items():
        made.embeddings[slot] = torch.cat(table.parts) if table.parts else torch.zeros(0, width)
        made.rows[slot] = torch.tensor(table.rows, dtype=torch.long)
    return made


class _Table:
    """A slot's distinct embeddings so far."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self.rows: list[int] = []
        self.place: dict[str, int] = {}
        self.count = 0

    @torch.inference_mode()
    def add(self, model: OmniPredictor, slot: str, samples: list[tuple[int, Sample]], batch_size: int) -> None:
        fresh, numbers = [], []
        for number, sample in samples:
            value, key = sample.values.get(slot), sample.keys.get(slot)
            if value is None:
                self.rows.append(-1)
                continue
            position = self.place.get(key) if key is not None else None
            if position is None:
                position = self.count
                self.count += 1
                fresh.append({slot: value})
                numbers.append(number)
                if key is not None:
                    self.place[key] = position
            self.rows.append(position)
        made = [
            model.model.encode(slot, batch.cast(model.device, model.dtype)[slot]).float().cpu()
            for batch in prepare_batches(
                model.processor, fresh, batch_size=batch_size, device=model.device, positions=numbers
            )
        ]
        self.parts += [torch.cat(made).clone()] if made else []


def _parts(dataset: Any) -> Iterator[list[tuple[int, Sample]]]:
    if hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"):
        for start in range(0, len(dataset), PART):
            yield [(index, dataset[index]) for index in range(start, min(start + PART, len(dataset)))]
        return
    part: list[tuple[int, Sample]] = []
    for number, sample in enumerate(dataset):
        part.append((number, sample))
        if len(part) == PART:
            yield part
            part = []
    if part:
        yield part


def _whole(value: Any) -> int | None:
    """The value as an int if it is a whole number of any kind, else None."""
    if isinstance(value, bool) or not (isinstance(value, int) or hasattr(value, "__index__")):
        return None
    return int(value)
