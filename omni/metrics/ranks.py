"""Ranks of the right candidates, counted in tiles of the score matrix, which never exists as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omni.errors import InputError

ROWS, COLUMNS = 512, 4096  # of a tile: 8 MiB of scores
THRESHOLDS = 2**20  # right candidates handled at a time
GATHERED = 2**22  # numbers of embeddings gathered at a time
DENSE = 1 / 64  # part of right pairs from which multiplying everything is faster than gathering embeddings
KEPT = 2**22  # scores up to which the product is kept for counting
LOOP_MAX = 8  # right candidates a query up to which comparing beats sorting
TIE = 1e-6  # of |query| x |longest candidate|: scores that near are equal; products in float32 differ by up to 5e-7


@dataclass(frozen=True, kw_only=True)
class Positives:
    """The right candidates of each query: ``items[start_Q[q]:stop_Q[q]]``, int64."""

    start_Q: Tensor
    stop_Q: Tensor
    items: Tensor

    @classmethod
    def from_labels(cls, query_labels_Q: Tensor, candidate_labels_C: Tensor) -> Positives:
        """Every candidate with the query's label is right."""
        sorted_C, items = torch.sort(candidate_labels_C, stable=True)
        start = torch.searchsorted(sorted_C, query_labels_Q.contiguous())
        stop = torch.searchsorted(sorted_C, query_labels_Q.contiguous(), right=True)
        return cls(start_Q=start, stop_Q=stop, items=items)

    @classmethod
    def from_pairs(cls, query_P: Tensor, candidate_P: Tensor, *, queries: int) -> Positives:
        """Pair by pair; a pair that comes twice counts once."""
        pairs = torch.unique(torch.stack([query_P, candidate_P], 1), dim=0)
        count = torch.bincount(pairs[:, 0], minlength=queries)
        stop = count.cumsum(0)
        return cls(start_Q=stop - count, stop_Q=stop, items=pairs[:, 1].contiguous())

    @property
    def count_Q(self) -> Tensor:
        """How many each query has."""
        return self.stop_Q - self.start_Q

    @property
    def first_Q(self) -> Tensor:
        """The first right candidate of each query."""
        return self.items[self.start_Q]

    def pairs(self, queries_N: Tensor) -> tuple[Tensor, Tensor]:
        """Position within ``queries_N`` and candidate of every pair of these queries."""
        count = self.count_Q[queries_N]
        row_P = torch.repeat_interleave(torch.arange(len(queries_N)), count)
        offset_P = torch.arange(len(row_P)) - (count.cumsum(0) - count)[row_P]
        return row_P, self.items[self.start_Q[queries_N][row_P] + offset_P]


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Of each query.

    Attributes:
        best_Q: (Q,) int64 from 1: the rank of the best right candidate among the wrong ones.
        precision_Q: (Q,) float64 average precision.
    """

    best_Q: Tensor
    precision_Q: Tensor


@torch.no_grad()
def rank_positives(
    queries_QE: Tensor, candidates_CE: Tensor, positives: Positives, *, rows: int = ROWS, columns: int = COLUMNS
) -> Ranks:
    """Best rank and average precision of each query, by inner product.

    Ties count against the query: a wrong candidate whose score equals a right one's stands before it, so a model that
    gives every candidate the same score comes last everywhere. Scores within ``TIE`` x |query| x |longest candidate|
    are equal, since one product of float32 vectors rounds differently from tile to tile. The average precision is the
    mean over right candidates of i / (i + wrong ones before it), i its place among the right ones.

    Memory: tiles of rows x columns float32 beside what is given; time Q x C x E.

    Args:
        queries_QE, candidates_CE: float embeddings.
        positives: at least one for every query.
        rows, columns: of a tile.

    Raises:
        InputError: scores that are not finite, or a query without a right candidate.
    """
    _check(queries_QE, candidates_CE, positives)
    queries, candidates = queries_QE.float(), candidates_CE.float()
    best_Q = torch.zeros(len(queries), dtype=torch.long)
    precision_Q = torch.zeros(len(queries), dtype=torch.float64)
    longest = candidates.norm(dim=1).amax() if len(candidates) else 0.0
    for block in _blocks(positives.count_Q, rows):
        block_QE = queries[block]
        row_P, candidate_P = positives.pairs(block)
        tiles = _Tiles(block_QE, candidates, row_P, candidate_P, columns)
        right_QP = tiles.right_scores()
        limit_QP = right_QP - (TIE * longest) * block_QE.norm(dim=1)[:, None]
        wrong_QP = tiles.count_wrong(limit_QP)
        place = torch.arange(1, right_QP.shape[1] + 1, dtype=torch.float64)
        precision = (place / (place + wrong_QP)).masked_fill(torch.isinf(right_QP), 0.0)
        best_Q[block] = 1 + wrong_QP[:, 0]
        precision_Q[block] = precision.sum(1) / positives.count_Q[block]
    return Ranks(best_Q=best_Q, precision_Q=precision_Q)


def positive_ranks(
    queries_QE: Tensor, candidates_CE: Tensor, query_labels_Q: Tensor, candidate_labels_C: Tensor, *, chunk: int = ROWS
) -> Tensor:
    """Rank of each query's best right candidate among the wrong ones; right are those with the query's label.

    Args:
        queries_QE, candidates_CE: float embeddings.
        query_labels_Q, candidate_labels_C: int64.
        chunk: queries at a time.

    Returns:
        (Q,) int64 from 1. Ties count against the query, see ``rank_positives``.

    Raises:
        InputError: scores that are not finite, or a query without a right candidate.
    """
    positives = Positives.from_labels(query_labels_Q, candidate_labels_C)
    return rank_positives(queries_QE, candidates_CE, positives, rows=chunk).best_Q


def _check(queries_QE: Tensor, candidates_CE: Tensor, positives: Positives) -> None:
    unknown = positives.count_Q < 1
    if bool(unknown.any()):
        raise InputError(
            f"{int(unknown.sum())} of {len(unknown)} queries have no right candidate, the first is number "
            f"{int(unknown.nonzero()[0])}: recall would be meaningless."
        )
    for value in (queries_QE, candidates_CE):
        length = value.float().norm(dim=-1)
        if not bool((length < 1e18).all()):  # also false for NaN; the product of two such lengths is finite
            raise InputError("Scores that are not finite: an embedding holds NaN or infinity (a missing value?).")


def _blocks(count_Q: Tensor, rows: int) -> Iterator[Tensor]:
    """Numbers of queries that are ranked together: with about equally many right candidates each."""
    order = torch.argsort(count_Q, stable=True)
    counts = count_Q[order].tolist()
    start = 0
    while start < len(order):
        stop = min(start + rows, len(order))
        while stop > start + 1 and (stop - start) * counts[stop - 1] > THRESHOLDS:
            stop = start + max(1, (stop - start) // 2)
        yield order[start:stop]
        start = stop


class _Tiles:
    """The scores of some queries, a tile of candidates at a time.

    Args:
        row_P, candidate_P: the right pairs, by query.
        columns: of a tile.
    """

    def __init__(
        self, queries_QE: Tensor, candidates_CE: Tensor, row_P: Tensor, candidate_P: Tensor, columns: int
    ) -> None:
        self.queries_QE, self.candidates_CE, self.columns = queries_QE, candidates_CE, columns
        self.row_P, self.candidate_P = row_P, candidate_P
        self.order = torch.argsort(candidate_P)
        edges = torch.arange(0, len(candidates_CE) + columns, columns)
        self.split = torch.searchsorted(candidate_P[self.order].contiguous(), edges).tolist()
        pairs = len(queries_QE) * len(candidates_CE)
        self.dense, self.keep = len(row_P) >= DENSE * pairs, pairs <= KEPT
        self.kept: list[Tensor] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]]:
        """(Q, C) scores, which right pairs are among them, and where."""
        for tile, start in enumerate(range(0, len(self.candidates_CE), self.columns)):
            if tile < len(self.kept):
                scores_QC = self.kept[tile]
            else:
                scores_QC = self.queries_QE @ self.candidates_CE[start : start + self.columns].T
            here = self.order[self.split[tile] : self.split[tile + 1]]
            yield scores_QC, here, (self.row_P[here], self.candidate_P[here] - start)

    def right_scores(self) -> Tensor:
        """(Q, most right candidates) float32, descending, filled up with -inf."""
        scores_P = self._from_tiles() if self.dense else self._pair_by_pair()
        count_Q = torch.bincount(self.row_P, minlength=len(self.queries_QE))
        first_Q = count_Q.cumsum(0) - count_Q
        made = torch.full((len(count_Q), int(count_Q.max())), float("-inf"))
        made[self.row_P, torch.arange(len(self.row_P)) - first_Q[self.row_P]] = scores_P
        return _sorted(made).flip(1)

    def _from_tiles(self) -> Tensor:
        scores_P = torch.empty(len(self.row_P))
        for scores_QC, here, place in self:
            scores_P[here] = scores_QC[place].cpu()
            if self.keep:
                self.kept.append(scores_QC)
        return scores_P

    def _pair_by_pair(self) -> Tensor:
        step = max(1, GATHERED // max(1, self.queries_QE.shape[1]))
        parts = zip(self.row_P.split(step), self.candidate_P.split(step), strict=True)
        return torch.cat(
            [torch.einsum("pe,pe->p", self.queries_QE[row], self.candidates_CE[item]) for row, item in parts]
        )

    def count_wrong(self, limit_QP: Tensor) -> Tensor:
        """(Q, P) int64: wrong candidates whose score is at least the limit."""
        many = limit_QP.shape[1] > LOOP_MAX
        total_QP = torch.zeros(limit_QP.shape, dtype=torch.long)
        scratch = torch.empty(len(self.queries_QE) * min(self.columns, len(self.candidates_CE)))
        for scores_QC, _, place in self:
            scores_QC[place] = float("-inf")
            if many:
                total_QP += _at_least(scores_QC, limit_QP)
                continue
            flags_QC = scratch[: scores_QC.numel()].view_as(scores_QC)
            for right in range(limit_QP.shape[1]):  # 0.0 and 1.0 add up exactly, and faster than booleans
                torch.ge(scores_QC, limit_QP[:, right, None], out=flags_QC)
                total_QP[:, right] += flags_QC.sum(1).long()
        return total_QP


def _at_least(scores_QC: Tensor, limit_QP: Tensor) -> Tensor:
    """(Q, P) int64: scores at or above each limit, by sorting."""
    return scores_QC.shape[1] - torch.searchsorted(_sorted(scores_QC), limit_QP)


def _sorted(scores_QC: Tensor) -> Tensor:
    """Rising in every row: numpy sorts short rows ten times faster than torch."""
    return torch.from_numpy(np.sort(scores_QC.cpu().numpy(), axis=1))
