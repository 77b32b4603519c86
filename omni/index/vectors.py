"""The vectors of one slot in one segment, and the search among them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np

from omni.index.ann import Approximate
from omni.index.batch import MAX_K, MIN_ITEMS, MIN_QUERIES, RoundedGallery, fast_dtype
from omni.index.calibration import Moments

SELECTIVE = 0.05  # below this part of the rows a filter leaves so few that all of them are compared
GATHERED = 0.25  # below it a batch first copies what the filter leaves


@dataclass(frozen=True, kw_only=True)
class Found:
    """scores_QK float32, best first, and items_QK int64: numbers of items in the segment; -1 and -inf = nothing."""

    scores_QK: np.ndarray
    items_QK: np.ndarray


class SlotVectors:
    """Vectors on faiss.

    Args:
        flat: an IndexFlatIP that holds them, in memory or mapped.
        items_N: for each vector the number of its item; None = vector i is of item i.
        approximate: a faster structure over the same vectors.
        moments: of the vectors, if they are known.
    """

    def __init__(
        self,
        flat: Any,
        *,
        items_N: np.ndarray | None = None,
        approximate: Approximate | None = None,
        moments: Moments | None = None,
    ) -> None:
        self.flat = flat
        self.items_N = items_N
        self.approximate = approximate
        self._moments = moments

    @classmethod
    def of(cls, vectors_NE: np.ndarray, *, items_N: np.ndarray | None = None) -> SlotVectors:
        """In memory, from (N, E) float32."""
        flat = faiss.IndexFlatIP(vectors_NE.shape[1])
        flat.add(vectors_NE)
        return cls(flat, items_N=items_N)

    def __len__(self) -> int:
        return int(self.flat.ntotal)

    @cached_property
    def array_NE(self) -> np.ndarray:
        """(N, E) float32 without a copy; valid as long as this object."""
        if not len(self):
            return np.zeros((0, self.flat.d), np.float32)
        return faiss.rev_swig_ptr(self.flat.get_xb(), len(self) * self.flat.d).reshape(len(self), self.flat.d)

    def moments(self) -> Moments:
        """Sums over all vectors."""
        if self._moments is None:
            self._moments = Moments.of(self.array_NE)
        return self._moments

    @cached_property
    def unit(self) -> SlotVectors:
        """The same vectors at unit length, made on first use, in memory."""
        length = np.linalg.norm(self.array_NE, axis=1, keepdims=True)
        return SlotVectors.of(self.array_NE / np.maximum(length, 1e-12), items_N=self.items_N)

    @cached_property
    def rounded(self) -> RoundedGallery:
        """For batches."""
        return RoundedGallery(self.array_NE, fast_dtype())

    def search(
        self, queries_QE: np.ndarray, k: int, *, allowed: np.ndarray | None = None, exact: bool = False
    ) -> Found:
        """The k best of each query among the allowed.

        Args:
            queries_QE: (Q, E) float32, contiguous.
            allowed: bool, one for each item of the segment; None = all.
            exact: compare every item, also where there is a faster structure.
        """
        if allowed is not None and self.items_N is not None:
            allowed = allowed[self.items_N]
        count = len(self) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, count)
        if k == 0:
            shape = (len(queries_QE), 0)
            return Found(scores_QK=np.zeros(shape, np.float32), items_QK=np.zeros(shape, np.int64))
        if self.approximate is not None and not exact and count > max(SELECTIVE * len(self), 10 * k):
            scores, rows = self._propose(self.approximate, queries_QE, k, allowed)
        else:
            scores, rows = self._compare(queries_QE, k, allowed, count)
        if self.items_N is not None:
            rows = np.where(rows < 0, rows, self.items_N[rows])
        return Found(scores_QK=scores, items_QK=rows)

    def _compare(
        self, queries_QE: np.ndarray, k: int, allowed: np.ndarray | None, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Exactly. Few queries: faiss. Many: a matrix product, where it is faster."""
        if len(queries_QE) >= MIN_QUERIES and count >= MIN_ITEMS and k <= MAX_K:
            found = self._multiply(queries_QE, k, allowed, count)
            if found is not None:
                return found
        parameters = None if allowed is None else faiss.SearchParameters(sel=_selector(allowed))
        return self.flat.search(queries_QE, k, params=parameters)

    def _multiply(
        self, queries_QE: np.ndarray, k: int, allowed: np.ndarray | None, count: int
    ) -> tuple[np.ndarray, np.ndarray] | None:
        if allowed is None or count > GATHERED * len(self):
            return self.rounded.search(queries_QE, k, allowed)
        rows = np.flatnonzero(allowed)
        found = RoundedGallery(self.array_NE[rows], fast_dtype()).search(queries_QE, k)
        return None if found is None else (found[0], rows[found[1]])

    def _propose(
        self, approximate: Approximate, queries_QE: np.ndarray, k: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """From the structure's candidates, scored with the full vectors."""
        rows_QC = approximate.propose(queries_QE, k, None if allowed is None else _selector(allowed))
        scores = np.full(rows_QC.shape, -np.inf, np.float32)
        for query, rows in enumerate(rows_QC):
            there = rows >= 0
            scores[query, there] = self.array_NE[rows[there]] @ queries_QE[query]
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(rows_QC, order, 1)


def _selector(allowed: np.ndarray) -> Any:
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
