"""Retrieval on a data set: query slots against a gallery, in one direction or all, with shuffled controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni.evaluation.encoded import EncodedSamples, encode_samples
from omni.inference import OmniPredictor
from omni.metrics.bootstrap import Bootstrap
from omni.metrics.ranks import Positives, rank_positives
from omni.metrics.retrieval import RetrievalNumbers, class_gallery, is_unit, retrieval_numbers
from omni.progress import Progress
from omni.scoring import Score, query_vectors

SHUFFLE_SEED = 0
CANDIDATES = ("auto", "items", "classes")
CURVE = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)


class MixedClassesError(InputError):
    """One value of the searched slot belongs to two classes, so classes of it cannot be searched."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Numbers of one query against one gallery.

    Attributes:
        query, target, score: what was searched with, what was searched, under which score.
        numbers: the result.
        controls: query slot -> the result with that slot's values exchanged between the samples.
        left_out: samples that lack one of the slots.
        by_label: the target that makes classes; "" = each sample's own candidate is the right one.
        candidates: "items" or "classes" (one mean embedding a class).
        curve: k -> recall, for drawing.
    """

    query: tuple[str, ...]
    target: str
    score: str
    numbers: RetrievalNumbers
    controls: dict[str, RetrievalNumbers] = field(default_factory=dict)
    left_out: int = 0
    by_label: str = ""
    candidates: str = "items"
    curve: dict[int, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """ "a + b -> c"."""
        return f"{' + '.join(self.query)} -> {self.target}"

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "query": list(self.query),
            "target": self.target,
            "score": self.score,
            "label": self.by_label,
            "gallery": self.candidates,
            "left_out": self.left_out,
            **self.numbers.to_dict(),
            "positives": self.numbers.positives,
            "standard_error": self.numbers.standard_error,
            "intervals": {name: vars(interval) for name, interval in self.numbers.intervals.items()},
            "controls": {slot: numbers.to_dict() for slot, numbers in self.controls.items()},
        }


@dataclass(frozen=True, kw_only=True)
class RetrievalSettings:
    """How retrieval is measured; see ``evaluate``."""

    label: str | None = "auto"
    candidates: str = "auto"
    ks: tuple[int, ...] = (1, 5, 10)
    controls: bool = True
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if self.candidates not in CANDIDATES:
            raise ConfigError(f"candidates={self.candidates!r}: use one of {', '.join(CANDIDATES)}.")
        if self.candidates == "classes" and self.label is None:
            raise ConfigError("candidates='classes' needs a label, the target that makes the classes.")


def evaluate(
    model: OmniPredictor,
    dataset: Any,
    *,
    query: Iterable[str] | None = None,
    target: str | None = None,
    label: str | None = "auto",
    candidates: str = "auto",
    ks: Sequence[int] = (1, 5, 10),
    controls: bool = True,
    bootstrap: Bootstrap | None = None,
    batch_size: int = 64,
    progress: Progress = None,
) -> Evaluation:
    """Search the target slot with the query slots of every sample.

    Without a label, candidates and queries are distinct values (by content key): all candidates that occur in a sample
    with the query's values are right, so a picture that comes in five samples with a caption each is one query with
    five right captions, and each caption a query with one right picture. With a label, every sample is a query, and
    right is what has its class: the mean embedding of the class, or every item of it.

    Args:
        dataset: map-style or iterable, items are Samples. A ``gallery()`` of it gives the candidates of a label.
        query, target: slots; None = the largest trained group, whose first slot is searched by the others.
        label: name of a whole-numbered target of the samples: a hit is the right class. "auto" = "class" if the samples
            have it; None = a hit is the sample's own candidate.
        candidates: "classes" (with a label; the default there) or "items".
        ks: cut-offs of recall.
        controls: also exchange each query slot's values between samples, where there are several.
        bootstrap: of the intervals; None = 1000 resamples, 95 %, seed 0.

    Raises:
        OmniError: the slots were not trained together.
        InputError: no sample has all slots, or a sample cannot be read.
    """
    settings = RetrievalSettings(
        label=label, candidates=candidates, ks=tuple(ks), controls=controls, bootstrap=bootstrap or Bootstrap()
    )
    slots, searched = choose_slots(model, query, target)
    model.score([*slots, searched], target=searched)  # before anything is encoded
    everything = (*slots, searched)
    encoded = encode_samples(model, dataset, everything, require=everything, batch_size=batch_size, progress=progress)
    gallery = encode_gallery(model, dataset, encoded, [searched], settings, batch_size=batch_size, progress=progress)
    return measure_direction(model, encoded, gallery, slots, searched, settings)


def evaluate_directions(
    model: OmniPredictor, encoded: EncodedSamples, gallery: EncodedSamples | None, settings: RetrievalSettings
) -> list[Evaluation]:
    """Every slot of every trained group searched by the group's others, where samples have the slots.

    Where the label is "auto" and a slot's values belong to several classes, each sample's own is the right one.

    Args:
        encoded: of at least the trained groups' slots.
        gallery: of the candidates, see ``encode_gallery``.

    Raises:
        ConfigError: no trained group, or no sample has all slots of any.
    """
    found = []
    for query, target in directions(model):
        if len(encoded.having([*query, target])):
            try:
                found.append(measure_direction(model, encoded, gallery, query, target, settings))
            except MixedClassesError:
                if settings.label != "auto":
                    raise
                own = replace(settings, label=None, candidates="auto")
                found.append(measure_direction(model, encoded, None, query, target, own))
    if not found:
        raise ConfigError("No sample has all slots of a trained group, so there is no direction to measure.")
    return found


def directions(model: OmniPredictor) -> list[tuple[list[str], str]]:
    """(query slots, target) of every direction of the trained groups, each once."""
    made: dict[tuple[frozenset[str], str], tuple[list[str], str]] = {}
    for group in model.trained_groups:
        for target in group.slots:
            query = [slot for slot in group.slots if slot != target]
            made.setdefault((frozenset(query), target), (query, target))
    return list(made.values())


def encode_gallery(
    model: OmniPredictor,
    dataset: Any,
    encoded: EncodedSamples,
    slots: Sequence[str],
    settings: RetrievalSettings,
    *,
    batch_size: int = 64,
    progress: Progress = None,
) -> EncodedSamples | None:
    """The data set's own candidates where it has a ``gallery()`` and a label is measured; None = the samples'."""
    if label_of(encoded, encoded.having(()), settings) is None or not callable(getattr(dataset, "gallery", None)):
        return None
    made = encode_samples(model, dataset.gallery(), slots, batch_size=batch_size, progress=progress)
    return made if any(len(value) for value in made.embeddings.values()) else None


def measure_direction(
    model: OmniPredictor,
    encoded: EncodedSamples,
    gallery: EncodedSamples | None,
    query: Sequence[str],
    target: str,
    settings: RetrievalSettings,
) -> Evaluation:
    """One direction from embeddings."""
    score = model.score([*query, target], target=target)
    samples = encoded.having([*query, target])
    total = len(encoded) + encoded.left_out
    if not len(samples):
        raise InputError(f"None of the {total} samples has all of the slots {', '.join((*query, target))}.")
    label = label_of(encoded, samples, settings)
    if label is None:
        task = _own_candidates(encoded, samples, query, target)
    else:
        if gallery is None or not len(gallery.embeddings.get(target, ())):
            gallery = encoded
        task = _class_candidates(encoded, gallery, samples, query, target, label, settings.candidates == "items")
    return _measured(model, score, task, query, target, settings, label=label, left_out=total - len(samples))


@dataclass(kw_only=True)
class _Task:
    """queries: slot -> (Q, E); candidates (C, E); who is right; which queries belong together; what candidates are."""

    queries: dict[str, Tensor]
    candidates_CE: Tensor
    positives: Positives
    cluster_Q: Tensor | None
    kind: str


def _measured(
    model: OmniPredictor,
    score: Score,
    task: _Task,
    query: Sequence[str],
    target: str,
    settings: RetrievalSettings,
    *,
    label: str | None,
    left_out: int,
) -> Evaluation:
    missing = model.missing_embeddings()
    ready = F.normalize(task.candidates_CE, dim=-1) if score.unit else task.candidates_CE
    curve: dict[int, float] = {}

    def measure(embeddings: Mapping[str, Tensor], bootstrap: Bootstrap | None) -> RetrievalNumbers:
        ranks = rank_positives(query_vectors(score, embeddings, missing).vectors_QE, ready, task.positives)
        if bootstrap is not None:
            shown = [k for k in CURVE if k < len(ready)] + [len(ready)]
            curve.update({k: float((ranks.best_Q <= k).double().mean()) for k in shown})
        return retrieval_numbers(
            ranks.best_Q,
            candidates=len(ready),
            ks=settings.ks,
            precision_Q=ranks.precision_Q,
            positives=float(task.positives.count_Q.double().mean()),
            bootstrap=bootstrap,
            cluster_Q=task.cluster_Q,
        )

    shuffled = {}
    if settings.controls and len(query) > 1:
        count = len(task.positives.count_Q)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(SHUFFLE_SEED))
        shuffled = {slot: measure({**task.queries, slot: task.queries[slot][order]}, None) for slot in query}
    return Evaluation(
        query=tuple(query),
        target=target,
        score=score.kind,
        numbers=measure(task.queries, settings.bootstrap),
        controls=shuffled,
        left_out=left_out,
        by_label=label or "",
        candidates=task.kind,
        curve=curve,
    )


def label_of(encoded: EncodedSamples, samples_M: Tensor, settings: RetrievalSettings) -> str | None:
    """The label that is measured: "auto" = "class" where all of these samples have it."""
    if settings.label == "auto":
        return "class" if len(samples_M) and encoded.have_label("class", samples_M) else None
    return settings.label


def _own_candidates(encoded: EncodedSamples, samples_M: Tensor, query: Sequence[str], target: str) -> _Task:
    """Distinct queries, distinct candidates; right is what occurs together."""
    number: dict[tuple[int, ...], int] = {}
    rows = torch.stack([encoded.rows[slot][samples_M] for slot in query], 1).tolist()
    query_M = torch.tensor([number.setdefault(tuple(row), len(number)) for row in rows])
    chosen_QS = torch.tensor(list(number))
    used_C, candidate_M = torch.unique(encoded.rows[target][samples_M], return_inverse=True)
    positives = Positives.from_pairs(query_M, candidate_M, queries=len(number))
    return _Task(
        queries={slot: encoded.embeddings[slot][chosen_QS[:, i]] for i, slot in enumerate(query)},
        candidates_CE=encoded.embeddings[target][used_C],
        positives=positives,
        cluster_Q=positives.first_Q,
        kind="items",
    )


def _class_candidates(
    encoded: EncodedSamples,
    gallery: EncodedSamples,
    samples_M: Tensor,
    query: Sequence[str],
    target: str,
    label: str,
    items: bool,
) -> _Task:
    """Every sample a query; right is the gallery's values of its class, or their mean."""
    among = samples_M if gallery is encoded else gallery.having([target])
    labels_M = encoded.labels(label, samples_M)
    used_V, value_G = torch.unique(gallery.rows[target][among], return_inverse=True)
    of_value = torch.full((len(used_V),), -1, dtype=torch.long)
    for index, row, value in zip(among.tolist(), value_G.tolist(), gallery.labels(label, among).tolist(), strict=True):
        if of_value[row] not in (-1, value):
            raise MixedClassesError(
                f"Sample {gallery.ids[index]!r}: its {target} belongs to classes {int(of_value[row])} and {value}."
            )
        of_value[row] = value
    candidates = gallery.embeddings[target][used_V]
    if not items:
        candidates, of_value = class_gallery(candidates, of_value, unit=is_unit(candidates))
    return _Task(
        queries={slot: encoded.of(slot, samples_M) for slot in query},
        candidates_CE=candidates,
        positives=Positives.from_labels(labels_M, of_value),
        cluster_Q=None,
        kind="items" if items else "classes",
    )


def choose_slots(model: OmniPredictor, query: Iterable[str] | None, target: str | None) -> tuple[list[str], str]:
    """Query slots and target, filled in from the trained groups where one is not given.

    Raises:
        ConfigError: it cannot be told which. InputError: a slot that the model does not have.
    """
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
