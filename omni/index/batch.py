"""Exact search of many queries at once by matrix products, in tiles whose scores are never kept.

A tile's scores are computed in a fast type (bfloat16 where the processor has matrix units for it), and only what could
still be among the k best is kept: an item whose fast score plus its error bound stays below the k-th best fast score
minus its error bound cannot be. What is left (a few items more than k a query) is scored again in float32, so the
result is the exact one. The gallery's mean is taken off before rounding: it moves all scores of a query alike, and
embeddings that lie in a narrow cone are told apart much better without it.

Error bound of a fast score a = <q~, g~> of rounded q~, g~ with real centred values q, g (Cauchy-Schwarz):
    |a - <q, g>| <= |q| |g - g~| + |q - q~| |g~| + E 2^-22 |q| |g| + |a| 2^-8   (the last: rounding of the result).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

GROUP = 32  # items whose best score stands for them all
TILE = 8192
QUERIES, RESCORED = 1024, 2048  # queries, and candidates for exact scores, at a time
MIN_QUERIES, MIN_ITEMS, MAX_K = 4, 4096, 128
CROWDED = 0.05  # part of a tile's groups that may stay; above it rounding does not tell items apart
LARGEST = 1e30  # of the product of norms; beyond it a fast score could overflow


def fast_dtype() -> torch.dtype | None:
    """bfloat16 on processors with matrix units for it; None where faiss's own product is as fast."""
    try:
        return torch.bfloat16 if torch.cpu._is_amx_tile_supported() else None
    except AttributeError:
        return None


class RoundedGallery:
    """Rounded, centred copy of (N, E) float32 vectors, for searches of many queries.

    Args:
        vectors_NE: kept, not copied; exact scores come from it.
        dtype: of the copy.
    """

    def __init__(self, vectors_NE: np.ndarray, dtype: torch.dtype = torch.bfloat16) -> None:
        self.vectors_NE = vectors_NE
        count, width = vectors_NE.shape
        self.mean_E = torch.from_numpy(vectors_NE.mean(0, dtype=np.float64).astype(np.float32))
        self.rounded_NE = torch.zeros(-(-count // GROUP) * GROUP, width, dtype=dtype)
        self.largest_residual, self.largest = 0.0, 0.0
        for start in range(0, count, TILE):
            part = torch.from_numpy(np.ascontiguousarray(vectors_NE[start : start + TILE])) - self.mean_E
            rounded = part.to(dtype)
            self.rounded_NE[start : start + len(part)] = rounded
            self.largest_residual = max(self.largest_residual, float((part - rounded.float()).norm(dim=1).max()))
            self.largest = max(self.largest, float(rounded.float().norm(dim=1).max()))

    def search(
        self, queries_QE: np.ndarray, k: int, allowed_N: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Scores (Q, k) float32 and rows (Q, k) int64 of the k best, best first.

        Args:
            allowed_N: bool, True = may be found; at least k must be. None = all.

        Returns:
            None where rounded scores do not tell enough items apart: search in another way.
        """
        made = []
        for start in range(0, len(queries_QE), QUERIES):
            found = self._search(torch.from_numpy(queries_QE[start : start + QUERIES]), k, allowed_N)
            if found is None:
                return None
            made.append(found)
        return np.concatenate([scores for scores, _ in made]), np.concatenate([rows for _, rows in made])

    def _search(self, queries_QE: Tensor, k: int, allowed_N: np.ndarray | None) -> tuple[np.ndarray, np.ndarray] | None:
        rounded_QE = queries_QE.to(self.rounded_NE.dtype)
        norm_Q = queries_QE.norm(dim=1)
        residual_Q = (queries_QE - rounded_QE.float()).norm(dim=1)
        if not float(norm_Q.max()) * (self.largest + 1) < LARGEST:
            return None
        width = queries_QE.shape[1]
        bound_Q = norm_Q * self.largest_residual + residual_Q * self.largest
        bound_Q = (bound_Q + width * 2.0**-22 * norm_Q * self.largest) * 1.001
        kept = self._scan(rounded_QE.T.contiguous(), bound_Q, k, allowed_N)
        return None if kept is None else self._rescore(queries_QE, kept, k, bound_Q)

    def _scan(
        self, rounded_EQ: Tensor, bound_Q: Tensor, k: int, allowed_N: np.ndarray | None
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """(query, row, fast score) of all items that could be among the k best, and some more."""
        padded, count, queries = len(self.rounded_NE), len(self.vectors_NE), rounded_EQ.shape[1]
        barred = None if allowed_N is None else np.flatnonzero(~allowed_N)
        tile = max(TILE, GROUP * 4 * k)
        scores = torch.empty(min(tile, padded), queries, dtype=rounded_EQ.dtype)
        best_KQ = torch.full((k, queries), -torch.inf)
        cut_Q = torch.full((queries,), -torch.inf)
        kept: list[tuple[Tensor, Tensor, Tensor]] = []
        for number, start in enumerate(range(0, padded, tile)):
            stop = min(start + tile, padded)
            part = scores[: stop - start]
            torch.mm(self.rounded_NE[start:stop], rounded_EQ, out=part)
            if barred is not None:
                inside = barred[np.searchsorted(barred, start) : np.searchsorted(barred, stop)] - start
                part[torch.from_numpy(inside)] = -torch.inf
            part[max(count - start, 0) :] = -torch.inf  # the padding of the last group
            update = number & (number + 1) == 0 or not bool(torch.isfinite(best_KQ[-1]).all())  # 1, 2, 4, ... tiles
            keys_TQ = _keys(part, positive=number == 0 or bool((cut_Q > 0).all()))
            groups_GQ, best, cut = _step(keys_TQ, best_KQ, cut_Q, bound_Q, update)
            if keys_TQ.dtype == torch.int16 and not bool((cut > 0).all()):
                keys_TQ = _keys(part, positive=False)
                groups_GQ, best, cut = _step(keys_TQ, best_KQ, cut_Q, bound_Q, update)
            best_KQ, cut_Q, cut_keys = best, cut, _cut_keys(cut, keys_TQ.dtype)
            found = np.flatnonzero((groups_GQ >= cut_keys).numpy())
            if len(found) > max(CROWDED * groups_GQ.numel(), 8 * k * queries):
                return None
            kept.append(_members(keys_TQ, found, start, cut_keys))
        return torch.cat([q for q, _, _ in kept]), torch.cat([r for _, r, _ in kept]), torch.cat([s for *_, s in kept])

    def _rescore(
        self, queries_QE: Tensor, kept: tuple[Tensor, Tensor, Tensor], k: int, bound_Q: Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        query, row, fast = kept
        order, starts = _by_query(query, fast, len(queries_QE))
        cut_Q = _cut(fast[order[starts + k - 1]], bound_Q)
        left = fast >= cut_Q[query]
        query, row = query[left], row[left]
        scores = torch.empty(len(row))
        for start in range(0, len(row), RESCORED):
            piece = slice(start, start + RESCORED)
            gallery = torch.from_numpy(self.vectors_NE[row[piece].numpy()])
            scores[piece] = torch.linalg.vecdot(queries_QE[query[piece]], gallery)
        order, starts = _by_query(query, scores, len(queries_QE))
        best = order[starts[:, None] + torch.arange(k)]
        return scores[best].numpy(), row[best].numpy()


def _keys(scores_TQ: Tensor, *, positive: bool) -> Tensor:
    """Scores as numbers that compare fast: where only positive ones matter bfloat16 as integers, else float32.

    Floats of one sign are ordered like their bits as integers, and any positive one is above all negative ones.
    """
    return scores_TQ.view(torch.int16) if positive and scores_TQ.dtype == torch.bfloat16 else scores_TQ.float()


def _step(
    keys_TQ: Tensor, best_KQ: Tensor, cut_Q: Tensor, bound_Q: Tensor, update: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Best key of each group of a tile (T / GROUP, Q); the k best scores so far, and the cut, if they are updated."""
    groups_GQ = keys_TQ.view(-1, GROUP, keys_TQ.shape[1]).amax(1)
    if update:
        merged = torch.cat([best_KQ, _values(groups_GQ)]).T.contiguous()
        best_KQ = merged.topk(len(best_KQ), dim=1).values.T
        cut_Q = _cut(best_KQ[-1], bound_Q)
    return groups_GQ, best_KQ, cut_Q


def _cut_keys(cut_Q: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype != torch.int16:
        return cut_Q
    rounded = cut_Q.bfloat16()
    return rounded.view(torch.int16) - (rounded.float() > cut_Q).short()  # the next one down where it was rounded up


def _values(keys: Tensor) -> Tensor:
    return keys.view(torch.bfloat16).float() if keys.dtype == torch.int16 else keys


def _cut(kth_Q: Tensor, bound_Q: Tensor) -> Tensor:
    """The fast score below which an item cannot be among the k best, if the k-th best fast score is ``kth_Q``."""
    least = kth_Q - bound_Q - kth_Q.abs() / 256
    cut = least - bound_Q
    cut = torch.where(cut > 0, cut / (1 + 1 / 256), cut / (1 - 1 / 256))
    return cut.clamp(min=torch.finfo(torch.float32).min)  # above the -inf of what is barred


def _members(keys_TQ: Tensor, found: np.ndarray, start: int, cut_keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(query, row, fast score) of the rows that reach the cut in the groups found (numbers group * Q + query)."""
    queries = keys_TQ.shape[1]
    group, query = np.divmod(found, queries)
    places = (group * (GROUP * queries) + query)[:, None] + np.arange(GROUP) * queries
    keys = keys_TQ.numpy().reshape(-1).take(places)
    here = np.flatnonzero(keys >= cut_keys.numpy()[query][:, None])
    row, query = start + places.reshape(-1)[here] // queries, query[here // GROUP]
    return torch.from_numpy(query), torch.from_numpy(row), _values(torch.from_numpy(keys.reshape(-1)[here]))


def _by_query(query: Tensor, scores: Tensor, queries: int) -> tuple[Tensor, Tensor]:
    """The order by query, best first within each, and where each query starts in it."""
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[torch.argsort(query[order], stable=True)]
    counts = torch.bincount(query, minlength=queries)
    return order, torch.cumsum(counts, 0) - counts
