"""Retrieval: ranks of the the right candidates, recall at k, median rank; any number of right candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni.metrics.base import Metric
from omni.scoring import COSINE, MULTILINEAR, PAIR_SUM, SUMS, Score, find_score, query_vectors

CHUNK = 1024  # queries scored at a time
UNIT_TOLERANCE = 1e-2  # of a length, after half precision
KINDS = (COSINE, PAIR_SUM, MULTILINEAR, *SUMS.values())


@dataclass(frozen=True, kw_only=True)
class RetrievalNumbers:
    """What came out over n queries: recall[k] in [0, 1], its standard error at the first k, median rank from 1."""

    recall: dict[int, float]
    median_rank: float
    standard_error: float
    queries: int
    candidates: int

    def to_dict(self) -> dict[str, float]:
        """Flat form, for logs: {"r1": ..., "r5": ..., "median_rank": ..., ...}."""
        values = {f"r{k}": value for k, value in self.recall.items()}
        return {**values, "median_rank": self.median_rank, "queries": self.queries, "candidates": self.candidates}


def positive_ranks(
    queries_QE: Tensor, candidates_CE: Tensor, query_labels_Q: Tensor, candidate_labels_C: Tensor, *, chunk: int = CHUNK
) -> Tensor:
    """Rank of each query's best right candidate among the wrong ones, by inner product.

    A candidate is right if its label is the query's. Ties count against the query: where all scores are equal, the
    right candidate comes last, so a collapsed model does not look perfect.

    Args:
        queries_QE, candidates_CE: float embeddings.
        query_labels_Q, candidate_labels_C: int64.

    Returns:
        (Q,) int64 from 1.

    Raises:
        InputError: scores that are not finite, or a query without a right candidate.
    """
    known = torch.isin(query_labels_Q, candidate_labels_C)
    if not bool(known.all()):
        raise InputError(
            f"{int((~known).sum())} of {len(known)} queries have no right candidate, the first is number "
            f"{int((~known).nonzero()[0])}: recall would be meaningless."
        )
    ranks = []
    for start in range(0, len(queries_QE), chunk):
        scores_QC = queries_QE[start : start + chunk] @ candidates_CE.T
        if not bool(torch.isfinite(scores_QC).all()):
            raise InputError("Scores that are not finite: an embedding holds NaN or infinity (a missing value?).")
        right_QC = query_labels_Q[start : start + chunk, None] == candidate_labels_C[None]
        best_Q = scores_QC.masked_fill(~right_QC, float("-inf")).amax(1)
        ranks.append(1 + ((scores_QC >= best_Q[:, None]) & ~right_QC).sum(1))
    return torch.cat(ranks) if ranks else torch.zeros(0, dtype=torch.long)


def retrieval_numbers(ranks_Q: Tensor, *, candidates: int, ks: Sequence[int] = (1, 5, 10)) -> RetrievalNumbers:
    """Recall at each k and the median rank.

    Raises:
        InputError: no query.
    """
    if not len(ranks_Q):
        raise InputError("There is no query to measure retrieval with.")
    recall = {k: float((ranks_Q <= k).float().mean()) for k in ks}
    first = recall[ks[0]]
    return RetrievalNumbers(
        recall=recall,
        median_rank=float(ranks_Q.double().quantile(0.5)),
        standard_error=(first * (1 - first) / len(ranks_Q)) ** 0.5,
        queries=len(ranks_Q),
        candidates=candidates,
    )


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
    """Recall at k and median rank of one slot's embeddings, searched by one or several others.

    Samples that lack one of the slots are left out and counted.

    Args:
        query: slots that search.
        target: slot that is searched.
        score: "cosine" (one query slot), "cosine_sum", "dot_sum", "pair_sum" or "multilinear"; None = the one that
            these slots were trained under.
        ks: cut-offs.
        label: a target with whole numbers: candidates are one mean embedding a class, a hit is the right class. None:
            each sample's own candidate is the right one.
    """

    def __init__(
        self,
        *,
        query: Sequence[str],
        target: str,
        score: str | None = None,
        ks: Sequence[int] = (1, 5, 10),
        label: str | None = None,
    ) -> None:
        query = [query] if isinstance(query, str) else list(query)
        if score not in (None, *KINDS):
            raise ConfigError(f"score {score!r} is not known; use one of {', '.join(KINDS)}.")
        if not query or target in query or (score == COSINE and len(query) > 1):
            raise ConfigError(f"query={query}, target={target!r} do not fit the score {score!r}.")
        self.score = None if score is None else Score(kind=score, slots=(*query, target))
        self.query, self.target, self.ks, self.label = query, target, tuple(ks), label
        self.reset()

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
        """{"r1", "r5", ..., "median_rank", "queries", "candidates", "left_out"}."""
        rows = [row for row in self._seen if len(row[self.target])]
        if not rows or self.score is None:
            raise InputError(f"No sample had all of the slots {', '.join((*self.query, self.target))}.")
        made = query_vectors(self.score, {slot: torch.cat([row[slot] for row in rows]) for slot in self.query}, {})
        candidates = torch.cat([row[self.target] for row in rows])
        labels = torch.arange(len(candidates))
        candidate_labels = labels
        if self.label is not None:
            labels = torch.cat([row["label"] for row in rows])
            candidates, candidate_labels = class_gallery(candidates, labels, unit=is_unit(candidates))
        if made.unit:
            candidates = F.normalize(candidates, dim=-1)
        ranks = positive_ranks(made.vectors_QE, candidates, labels, candidate_labels)
        numbers = retrieval_numbers(ranks, candidates=len(candidates), ks=self.ks).to_dict()
        return {**numbers, "left_out": sum(row["left_out"] for row in self._seen)}
