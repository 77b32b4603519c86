"""Retrieval: recall at k, median rank, mean average precision; any number of right candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni.metrics.base import Metric
from omni.metrics.bootstrap import Bootstrap, Interval, bootstrap_intervals
from omni.metrics.ranks import Positives, positive_ranks, rank_positives
from omni.scoring import COSINE, MULTILINEAR, PAIR_SUM, SUMS, Score, find_score, query_vectors

UNIT_TOLERANCE = 1e-2  # of a length, after half precision
CANDIDATES = ("classes", "items")
KINDS = (COSINE, PAIR_SUM, MULTILINEAR, *SUMS.values())

__all__ = [
    "Retrieval", "RetrievalNumbers", "class_gallery", "is_unit", "positive_ranks", "retrieval_numbers",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RetrievalNumbers:
    """What came out over n queries.

    Attributes:
        recall: k -> share of the queries with a right candidate among the first k, in [0, 1].
        median_rank: of the best right candidate, from 1.
        standard_error: of recall at the first k, by the binomial.
        queries, candidates: how many.
        mean_average_precision: over all right candidates; None where it was not measured.
        intervals: name ("r1", "map", "median_rank") -> bootstrap interval; empty where there were no resamples.
        positives: right candidates a query, on average.
    """

    recall: dict[int, float]
    median_rank: float
    standard_error: float
    queries: int
    candidates: int
    mean_average_precision: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    positives: float = 1.0

    def to_dict(self) -> dict[str, float]:
        """Flat form, for logs: {"r1": ..., "r5": ..., "median_rank": ..., "map": ...}."""
        values = {f"r{k}": value for k, value in self.recall.items()}
        if self.mean_average_precision is not None:
            values["map"] = self.mean_average_precision
        return {**values, "median_rank": self.median_rank, "queries": self.queries, "candidates": self.candidates}


def retrieval_numbers(
    ranks_Q: Tensor,
    *,
    candidates: int,
    ks: Sequence[int] = (1, 5, 10),
    precision_Q: Tensor | None = None,
    positives: float = 1.0,
    bootstrap: Bootstrap | None = None,
    cluster_Q: Tensor | None = None,
) -> RetrievalNumbers:
    """Recall at each k, the median rank, and what else is given.

    Args:
        ranks_Q: (Q,) best rank of each query, from 1.
        precision_Q: (Q,) average precision of each query.
        bootstrap, cluster_Q: for intervals, see omni.metrics.bootstrap.

    Raises:
        InputError: no query.
        ConfigError: no cut-off, or one below 1.
    """
    if not len(ranks_Q):
        raise InputError("There is no query to measure retrieval with.")
    if not ks or min(ks) < 1:
        raise ConfigError(f"ks={list(ks)}: cut-offs are whole numbers from 1.")
    hits = {f"r{k}": (ranks_Q <= k).double() for k in ks}
    means = hits if precision_Q is None else {**hits, "map": precision_Q}
    made = (
        bootstrap_intervals(means, {"median_rank": ranks_Q}, bootstrap=bootstrap, cluster_Q=cluster_Q)
        if bootstrap
        else {}
    )
    first = float(hits[f"r{ks[0]}"].mean())
    return RetrievalNumbers(
        recall={k: float(hits[f"r{k}"].mean()) for k in ks},
        median_rank=median(ranks_Q),
        standard_error=(first * (1 - first) / len(ranks_Q)) ** 0.5,
        queries=len(ranks_Q),
        candidates=candidates,
        mean_average_precision=None if precision_Q is None else float(precision_Q.mean()),
        intervals=made,
        positives=positives,
    )


def median(values_N: Tensor) -> float:
    """The middle value, or the mean of both middle ones; any length (torch's quantile stops at 16 million)."""
    rising = values_N.double().sort().values
    return float((rising[(len(rising) - 1) // 2] + rising[len(rising) // 2]) / 2)


def class_gallery(embeddings_NE: Tensor, labels_N: Tensor, *, unit: bool = False) -> tuple[Tensor, Tensor]:
    """One embedding a class: the mean of its members (of unit length if ``unit``).

    Returns:
        (C, E) float32 and the (C,) labels, ascending.
    """
    labels_C, index_N = torch.unique(labels_N, return_inverse=True)
    total = embeddings_NE.new_zeros(len(labels_C), embeddings_NE.shape[1]).float()
    total.index_add_(0, index_N, embeddings_NE.float())
    mean = total / torch.bincount(index_N, minlength=len(labels_C))[:, None]
    return (F.normalize(mean, dim=-1) if unit else mean), labels_C


def is_unit(embeddings_NE: Tensor) -> bool:
    """True if all rows have unit length, as those of a model with the norm "l2"."""
    return bool((embeddings_NE.float().norm(dim=-1) - 1).abs().max() < UNIT_TOLERANCE)


class Retrieval(Metric):
    """Recall at k, median rank and mean average precision of one slot's embeddings, searched by one or several others.

    Samples that lack one of the slots are left out and counted.

    Args:
        query: slots that search.
        target: slot that is searched.
        score: "cosine" (one query slot), "cosine_sum", "dot_sum", "pair_sum" or "multilinear"; None = the one that
            these slots were trained under.
        ks: cut-offs.
        label: a target with whole numbers; a hit is the right class. None: each sample's own candidate is the right
            one.
        candidates: with a label: "classes" = one mean embedding a class; "items" = every sample's own embedding, all
            of the right class being right.
        prefix: before every number's name, as in "prefix_r1"; two metrics of one evaluator need different ones.
    """

    def __init__(
        self,
        *,
        query: Sequence[str],
        target: str,
        score: str | None = None,
        ks: Sequence[int] = (1, 5, 10),
        label: str | None = None,
        candidates: str = "classes",
        prefix: str = "",
    ) -> None:
        query = [query] if isinstance(query, str) else list(query)
        if score not in (None, *KINDS):
            raise ConfigError(f"score {score!r} is not known; use one of {', '.join(KINDS)}.")
        if not query or target in query or (score == COSINE and len(query) > 1):
            raise ConfigError(f"query={query}, target={target!r} do not fit the score {score!r}.")
        if candidates not in CANDIDATES or (candidates == "items" and label is None):
            raise ConfigError(f"candidates={candidates!r}: use 'classes', or with a label 'items'.")
        if not ks or min(ks) < 1:
            raise ConfigError(f"ks={list(ks)}: cut-offs are whole numbers from 1.")
        self.score = None if score is None else Score(kind=score, slots=(*query, target))
        self.query, self.target, self.ks, self.label = query, target, tuple(ks), label
        self.candidates, self.prefix = candidates, prefix
        self.reset()

    @property
    def names(self) -> tuple[str, ...]:
        known = (*(f"r{k}" for k in self.ks), "map", "median_rank", "queries", "candidates", "left_out")
        return tuple(map(self._named, known))

    def _named(self, name: str) -> str:
        return f"{self.prefix}_{name}" if self.prefix else name

    def reset(self) -> None:
        self._seen: list[Any] = []

    def update(self, outputs: dict[str, Any]) -> None:
        """Reads ``outputs[slot].values_BE`` and ``.present_B`` of its slots, ``outputs["targets"][label]``, and
        ``outputs["trained_groups"]`` where no score was named."""
        slots = (*self.query, self.target)
        for slot in slots:
            if slot not in outputs:
                raise ConfigError(f"The retrieval metric needs the slot {slot!r}, which the model's outputs lack.")
        if self.score is None:
            self.score = find_score(slots, groups=outputs.get("trained_groups", ()), target=self.target)
        present = torch.stack([outputs[slot].present_B for slot in slots]).all(0).cpu()
        row = {slot: outputs[slot].values_BE.detach().float().cpu()[present] for slot in slots}
        if self.label is not None:
            if self.label not in outputs.get("targets", {}):
                raise ConfigError(f"The retrieval metric needs the target {self.label!r}, which the samples lack.")
            row["label"] = outputs["targets"][self.label].cpu()[present].long()
        row["left_out"] = int((~present).sum())
        self._seen.append(row)

    def state(self) -> list[Any]:
        return self._seen

    def merge(self, states: list[list[Any]]) -> None:
        self._seen = [row for state in states for row in state]

    def compute(self) -> dict[str, float]:
        """{"r1", "r5", ..., "map", "median_rank", "queries", "candidates", "left_out"}, with the prefix."""
        rows = [row for row in self._seen if len(row[self.target])]
        if not rows or self.score is None:
            raise InputError(f"No sample had all of the slots {', '.join((*self.query, self.target))}.")
        made = query_vectors(self.score, {slot: torch.cat([row[slot] for row in rows]) for slot in self.query}, {})
        candidates = torch.cat([row[self.target] for row in rows])
        labels = candidate_labels = torch.arange(len(candidates))
        if self.label is not None:
            labels = candidate_labels = torch.cat([row["label"] for row in rows])
            if self.candidates == "classes":
                candidates, candidate_labels = class_gallery(candidates, labels, unit=is_unit(candidates))
        if made.unit:
            candidates = F.normalize(candidates, dim=-1)
        ranks = rank_positives(made.vectors_QE, candidates, Positives.from_labels(labels, candidate_labels))
        numbers = retrieval_numbers(
            ranks.best_Q, candidates=len(candidates), ks=self.ks, precision_Q=ranks.precision_Q
        ).to_dict()
        numbers["left_out"] = sum(row["left_out"] for row in self._seen)
        return {self._named(name): value for name, value in numbers.items()}
