"""Evaluating retrieval of a model on a data set: query slots against a gallery, with shuffled controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.encoding import encode_values
from omni.errors import ConfigError, InputError
from omni.inference import OmniPredictor
from omni.metrics.retrieval import RetrievalNumbers, class_gallery, is_unit, positive_ranks, retrieval_numbers
from omni.progress import Progress, show_progress
from omni.scoring import query_vectors
from omni.types import Sample

SHUFFLE_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Numbers of one query against one gallery.

    Attributes:
        query, target, score: what was searched with, what was searched, under which score.
        numbers: the result.
        controls: query slot -> the result with that slot's values exchanged between the samples.
        left_out: samples that lack one of the slots.
        by_label: the target that makes classes; "" = each sample's own candidate is the right one.
    """

    query: tuple[str, ...]
    target: str
    score: str
    numbers: RetrievalNumbers
    controls: dict[str, RetrievalNumbers] = field(default_factory=dict)
    left_out: int = 0
    by_label: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "query": list(self.query),
            "target": self.target,
            "score": self.score,
            "label": self.by_label,
            "left_out": self.left_out,
            **self.numbers.to_dict(),
            "standard_error": self.numbers.standard_error,
            "controls": {slot: numbers.to_dict() for slot, numbers in self.controls.items()},
        }


def evaluate(
    model: OmniPredictor,
    dataset: Sequence[Sample],
    *,
    query: Iterable[str] | None = None,
    target: str | None = None,
    label: str | None = "auto",
    ks: Sequence[int] = (1, 5, 10),
    controls: bool = True,
    batch_size: int = 64,
    progress: Progress = None,
) -> Evaluation:
    """Search the target slot with the query slots of every sample.

    Candidates are the values of the target slot, each once (values with one content key are one candidate); with
    a label, one mean embedding a class, made of ``dataset.gallery()`` where there is one (a data set of candidates).

    Args:
        dataset: map-style, items are Samples.
        query, target: slots; None = the largest trained group, whose first slot is searched by the others.
        label: name of a whole-numbered target of the samples: a hit is the right class. "auto" = "class" if the samples
            have it; None = a hit is the sample's own candidate.
        controls: also exchange each query slot's values between samples, where there are several.

    Raises:
        OmniError: the slots were not trained together.
        InputError: no sample has all slots, or a sample cannot be read.
    """
    query, target = _choose(model, query, target)
    score = model.score([*query, target], target=target)
    samples = [dataset[index] for index in range(len(dataset))]
    whole = [s for s in samples if all(s.values.get(slot) is not None for slot in (*query, target))]
    if not whole:
        raise InputError(f"None of the {len(samples)} samples has all of the slots {', '.join((*query, target))}.")
    if label == "auto":
        label = "class" if all("class" in sample.targets for sample in whole) else None
    gallery = _gallery(dataset, whole, label)
    queries, encoded, rows = _encode(model, whole, gallery, query, target, batch_size=batch_size, progress=progress)
    candidates, candidate_labels, labels = _candidates(encoded, rows, gallery, whole, target, label)
    missing = model.missing_embeddings()

    def measure(embeddings: Mapping[str, Tensor]) -> RetrievalNumbers:
        made = query_vectors(score, embeddings, missing)
        ready = F.normalize(candidates, dim=-1) if made.unit else candidates
        ranks = positive_ranks(made.vectors_QE, ready, labels, candidate_labels)
        return retrieval_numbers(ranks, candidates=len(ready), ks=ks)

    shuffled = {}
    if controls and len(query) > 1:
        order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(SHUFFLE_SEED))
        shuffled = {slot: measure({**queries, slot: queries[slot][order]}) for slot in query}
    return Evaluation(
        query=tuple(query),
        target=target,
        score=score.kind,
        numbers=measure(queries),
        controls=shuffled,
        left_out=len(samples) - len(whole),
        by_label=label or "",
    )


def _encode(
    model: OmniPredictor,
    whole: list[Sample],
    gallery: list[Sample],
    query: Sequence[str],
    target: str,
    *,
    batch_size: int,
    progress: Progress,
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """slot -> (Q, E) query embeddings, embeddings of the distinct target values, and (N,) which of them each sample of
    the gallery has. Every value goes through the model once."""
    jobs = [(slot, whole) for slot in query] + [(target, gallery)]
    columns = [distinct_values(slot, rows) for slot, rows in jobs]
    with show_progress("encode", sum(len(values) for values, _ in columns), progress) as advance:
        encoded = [
            encode_values(model.model, model.processor, slot, values, batch_size=batch_size, advance=advance)
            for (slot, _), (values, _) in zip(jobs, columns, strict=True)
        ]
    queries = {slot: encoded[i][columns[i][1]] for i, slot in enumerate(query)}
    return queries, encoded[-1], columns[-1][1]


def distinct_values(slot: str, samples: Sequence[Sample]) -> tuple[list[Any], Tensor]:
    """The different values of a slot (by content key), and (N,) int64: for each sample the position of its own."""
    values, rows, place = [], [], {}
    for sample in samples:
        key = sample.keys.get(slot)
        position = place.get(key) if key is not None else None
        if position is None:
            position = len(values)
            values.append(sample.values[slot])
            if key is not None:
                place[key] = position
        rows.append(position)
    return values, torch.tensor(rows, dtype=torch.long)


def _choose(model: OmniPredictor, query: Iterable[str] | None, target: str | None) -> tuple[list[str], str]:
    if query is None:
        fitting = [group for group in model.trained_groups if target is None or target in group.slots]
        if not fitting:
            raise ConfigError(
                "Which slots are searched by which? This model records no trained group"
                f"{f' with {target!r}' if target else ''}; name query and target."
            )
        largest = max(fitting, key=lambda group: len(group.slots))
        target = target or largest.slots[0]
        return [slot for slot in largest.slots if slot != target], target
    chosen = list(query)
    if target is None:
        rest = [slot for slot in model.slots if slot not in chosen]
        if len(rest) != 1:
            raise ConfigError(f"Which slot is searched? Name the target, one of {', '.join(rest) or 'none left'}.")
        target = rest[0]
    for slot in (*chosen, target):
        model.processor.require(slot, what="This model")
    return chosen, target


def _gallery(dataset: Any, whole: list[Sample], label: str | None) -> list[Sample]:
    if label is None or not callable(getattr(dataset, "gallery", None)):
        return whole
    gallery = dataset.gallery()
    return [gallery[index] for index in range(len(gallery))]


def _candidates(
    encoded: Tensor,
    rows_N: Tensor,
    gallery: list[Sample],
    whole: list[Sample],
    target: str,
    label: str | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Candidate embeddings (C, E), their labels (C,), and the label of each query (Q,)."""
    if label is None:
        return encoded, torch.arange(len(encoded)), rows_N
    for sample in (*gallery, *whole):
        if not isinstance(sample.targets.get(label), int):
            raise InputError(f"Sample {sample.id!r} has no whole-numbered target {label!r}.")
    of_value = torch.full((len(encoded),), -1, dtype=torch.long)
    for sample, row in zip(gallery, rows_N.tolist(), strict=True):
        value = sample.targets[label]
        if of_value[row] not in (-1, value):
            raise InputError(f"Sample {sample.id!r}: its {target} belongs to classes {int(of_value[row])} and {value}.")
        of_value[row] = value
    means, labels_C = class_gallery(encoded, of_value, unit=is_unit(encoded))
    return means, labels_C, torch.tensor([sample.targets[label] for sample in whole])
