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
            rows = {slot: table.add(model, slot, kept, batch_size) for slot, table in tables.items()}
            whole = [all(rows[slot][place] >= 0 for slot in required & set(rows)) for place in range(len(kept))]
            made.left_out += len(part) - sum(whole)
            made.ids += [sample.id for (_, sample), has in zip(kept, whole, strict=True) if has]
            made.targets += [sample.targets for (_, sample), has in zip(kept, whole, strict=True) if has]
            for slot, table in tables.items():
                table.rows += [row for row, has in zip(rows[slot], whole, strict=True) if has]
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
    def add(self, model: OmniPredictor, slot: str, samples: list[tuple[int, Sample]], batch_size: int) -> list[int]:
        """Embed the values that are new; which row each sample has, -1 = none."""
        fresh: dict[str, tuple[int, Any]] = {}
        keys: list[str | None] = []
        for number, sample in samples:
            value, key = sample.values.get(slot), sample.keys.get(slot)
            key = f"#{number}" if key is None else f"={key}"
            keys.append(None if value is None else key)
            if value is not None and key not in self.place:
                fresh.setdefault(key, (number, value))
        found: list[bool] = []
        for batch in prepare_batches(
            model.processor,
            [{slot: value} for _, value in fresh.values()],
            batch_size=batch_size,
            device=model.device,
            positions=[number for number, _ in fresh.values()],
            allow_missing=True,
        ):
            found += batch.present[slot].tolist()
            if slot in batch.inputs:
                inputs = batch.cast(model.device, model.dtype)[slot]
                self.parts.append(model.model.encode(slot, inputs).float().cpu().clone())
        for key, there in zip(fresh, found, strict=True):
            self.place[key] = self.count if there else -1
            self.count += there
        return [-1 if key is None else self.place[key] for key in keys]


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
