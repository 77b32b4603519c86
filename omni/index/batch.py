"""Exact search of many queries at once by matrix products, in blocks whose scores are not kept.

A block's scores are computed in a fast type (bfloat16 where the processor has matrix units for it, else float32, whose
product in torch is several times as fast as the one in faiss's wheels). Only what could still be among the k best is
kept: an item whose fast score plus its error bound stays below the k-th best fast score minus its error bound cannot
be. What is left (a few items more than k a query) is scored again in float32, so the result is the exact one. Before
rounding to bfloat16 the gallery's mean is taken off: it moves all scores of a query alike, and embeddings that lie in a
narrow cone are told apart much better without it.

Error bound of a fast score a = <q~, g~> of rounded q~, g~ with real centred values q, g (Cauchy-Schwarz):
    |a - <q, g>| <= |q| |g - g~| + |q - q~| |g~| + E 2^-22 |q| |g| + |a| 2^-8   (the last: rounding of the result
    to bfloat16; in float32 only the term with E is left, that of the sum).
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

Best = tuple[np.ndarray, np.ndarray]  # scores and rows

GROUP, COARSE = 32, 8  # items whose best score stands for them all; groups whose best stands for them, to find the cut
TILE = 8192
SCORES = 2**23  # held at a time
QUERIES = 256  # at a time
MIN_QUERIES, MIN_ITEMS, MAX_K = 4, 4096, 128
CROWDED = 0.05  # part of a tile's groups that may stay; above it rounding does not tell items apart
LARGEST = 1e30  # of the product of norms; beyond it a fast score could overflow


def fast_dtype() -> torch.dtype:
    """bfloat16 on processors with matrix units for it, else float32."""
    try:
        return torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32
    except AttributeError:
        return torch.float32


class RoundedGallery:
    """(N, E) float32 vectors as they are multiplied in searches of many queries.

    Args:
        vectors_NE: kept, not copied; exact scores come from it.
        dtype: of the product. bfloat16 makes a rounded, centred copy; float32 works on the vectors themselves.
    """

    def __init__(self, vectors_NE: np.ndarray, dtype: torch.dtype = torch.bfloat16) -> None:
        self.vectors_NE, self.gallery_NE = vectors_NE, torch.from_numpy(vectors_NE)
        self.largest_residual, self.largest = 0.0, 0.0
        self.rounded_NE = self.gallery_NE
        copy = dtype != torch.float32
        if copy:
            mean_E = torch.from_numpy(vectors_NE.mean(0, dtype=np.float64).astype(np.float32))
            self.rounded_NE = torch.empty(vectors_NE.shape, dtype=dtype)
        for start in range(0, len(vectors_NE), TILE):
            part = self.gallery_NE[start : start + TILE]
            if copy:
                part = part - mean_E
                rounded = part.to(dtype)
                self.rounded_NE[start : start + len(part)] = rounded
                self.largest_residual = max(self.largest_residual, float((part - rounded.float()).norm(dim=1).max()))
                part = rounded.float()
            self.largest = max(self.largest, float(part.norm(dim=1).max()))

    def search(self, queries_QE: np.ndarray, k: int, allowed_N: np.ndarray | None = None) -> Best | None:
        """Scores (Q, k) float32 and rows (Q, k) int64 of the k best, best first.

        Args:
            allowed_N: bool, True = may be found; at least k must be. None = all.

        Returns:
            None where rounded scores do not tell enough items apart: search in another way.
        """
        blocks = torch.from_numpy(queries_QE).split(QUERIES)
        items = min(max(SCORES // len(blocks[0]) // TILE, 1) * TILE, self._padded())
        scores = torch.empty(items * len(blocks[0]), dtype=self.rounded_NE.dtype)  # one for all: new pages cost time
        made = []
        for block in blocks:
            found = self._search(block, k, allowed_N, scores[: items * len(block)].view(items, -1))
            if found is None:
                return None
            made.append(found)
        return np.concatenate([scores for scores, _ in made]), np.concatenate([rows for _, rows in made])

    def _padded(self) -> int:
        """Rows of the score table of all items: whole groups of groups."""
        return -(-len(self.vectors_NE) // (GROUP * COARSE)) * GROUP * COARSE

    def _search(self, queries_QE: Tensor, k: int, allowed_N: np.ndarray | None, scores_TQ: Tensor) -> Best | None:
        rounded_QE = queries_QE.to(self.rounded_NE.dtype)
        norm_Q = queries_QE.norm(dim=1)
        residual_Q = (queries_QE - rounded_QE.float()).norm(dim=1)
        if not float(norm_Q.max()) * (self.largest + 1) < LARGEST:
            return None
        width = queries_QE.shape[1]
        bound_Q = norm_Q * self.largest_residual + residual_Q * self.largest
        bound_Q = (bound_Q + width * 2.0**-22 * norm_Q * self.largest) * 1.001
        kept = self._scan(rounded_QE.T.contiguous(), bound_Q, k, allowed_N, scores_TQ)
        return None if kept is None else self._rescore(queries_QE, kept, k)

    def _scan(
        self, rounded_EQ: Tensor, bound_Q: Tensor, k: int, allowed_N: np.ndarray | None, scores_TQ: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """(query, row) of all items that could be among the k best, and some more."""
        padded, (size, queries) = self._padded(), scores_TQ.shape
        barred = None if allowed_N is None else np.flatnonzero(~allowed_N)
        best_KQ = torch.full((k, queries), -torch.inf)
        kept: list[tuple[Tensor, Tensor, Tensor]] = []
        ordered = scores_TQ.dtype != torch.bfloat16
        rounding = 0.0 if ordered else 1 / 256
        for start in range(0, padded, size):
            block = scores_TQ[: padded - start]
            groups_GQ = self._multiply(rounded_EQ, start, block, barred, ordered)
            merged_KQ, cut_Q = _merge(best_KQ, groups_GQ, bound_Q, rounding)
            if not ordered and not bool((cut_Q > 0).all()):
                ordered = True
                groups_GQ = _group_best(_order(_keys(block)))
                merged_KQ, cut_Q = _merge(best_KQ, groups_GQ, bound_Q, rounding)
            best_KQ, cut_keys = merged_KQ, _cut_keys(cut_Q, block.dtype)
            found = torch.nonzero((groups_GQ >= cut_keys).view(-1)).squeeze(1)
            if len(found) > max(CROWDED * groups_GQ.numel(), 8 * k * queries):
                return None
            kept.append(_members(_keys(block), found, start, cut_keys))
        query, row, fast = (torch.cat(part) for part in zip(*kept, strict=True))
        left = fast >= cut_Q[query]  # the last cut is the highest
        return query[left], row[left]

    def _multiply(
        self, rounded_EQ: Tensor, start: int, block: Tensor, barred: np.ndarray | None, ordered: bool
    ) -> Tensor:
        """Fill in a block of scores; the best key of each of its groups (G, Q)."""
        best = []
        for first in range(start, start + len(block), TILE):
            part = block[first - start : first - start + TILE]
            rows = self.rounded_NE[first : first + len(part)]
            torch.mm(rows, rounded_EQ, out=part[: len(rows)])
            if barred is not None:
                inside = barred[np.searchsorted(barred, first) : np.searchsorted(barred, first + len(part))] - first
                part[torch.from_numpy(inside)] = -torch.inf
            part[len(rows) :] = -torch.inf  # the padding of the last groups
            best.append(_group_best(_order(_keys(part)) if ordered else _keys(part)))
        return torch.cat(best)

    def _rescore(self, queries_QE: Tensor, kept: tuple[Tensor, Tensor], k: int) -> Best:
        query, row = kept
        order = torch.argsort(query)
        query, row = query[order], row[order]
        count_Q = torch.bincount(query, minlength=len(queries_QE))
        first_Q = count_Q.cumsum(0) - count_Q
        scores = self._exact(queries_QE, torch.cat([first_Q, count_Q.sum()[None]]), row)
        table_QC = torch.full((len(count_Q), int(count_Q.max())), -torch.inf)
        table_QC[query, torch.arange(len(query)) - first_Q[query]] = scores
        best_QK, place_QK = table_QC.topk(k, dim=1)
        return best_QK.numpy(), row[first_Q[:, None] + place_QK].numpy()

    def _exact(self, queries_QE: Tensor, edges: Tensor, row: Tensor) -> Tensor:
        """Float32 scores of rows, query after query: products of chosen pairs, without copies of their vectors."""
        size = (len(queries_QE), len(self.gallery_NE))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that sparse tensors are young
            pairs = torch.sparse_csr_tensor(edges, row, torch.zeros(len(row)), size=size, check_invariants=False)
            return torch.sparse.sampled_addmm(pairs, queries_QE, self.gallery_NE.T, beta=0.0).values()


def _keys(scores_TQ: Tensor) -> Tensor:
    """Scores as numbers that compare fast: bfloat16 as integers of the same bits.

    Floats of one sign are ordered like their bits, and any positive one is above all negative ones: where only positive
    scores matter that is enough. See ``_order``.
    """
    return scores_TQ.view(torch.int16) if scores_TQ.dtype == torch.bfloat16 else scores_TQ


def _order(keys: Tensor) -> Tensor:
    """Turn the keys of negative scores round, in place, so that all are in order; twice = as before."""
    return keys.bitwise_xor_((keys >> 15) & 0x7FFF) if keys.dtype == torch.int16 else keys


def _group_best(keys_TQ: Tensor) -> Tensor:
    return keys_TQ.view(-1, GROUP, keys_TQ.shape[1]).amax(1)


def _values(keys: Tensor) -> Tensor:
    """Scores of keys in order."""
    return _order(keys.clone()).view(torch.bfloat16).float() if keys.dtype == torch.int16 else keys


def _merge(best_KQ: Tensor, groups_GQ: Tensor, bound_Q: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
    """The k best scores of items of different groups so far, and the cut."""
    k, queries = best_KQ.shape
    if len(groups_GQ) >= 4 * k * COARSE:
        groups_GQ = groups_GQ.view(-1, COARSE, queries).amax(1)
    merged = torch.cat([best_KQ, _values(groups_GQ)]).T.contiguous()
    best_KQ = merged.topk(k, dim=1).values.T
    return best_KQ, _cut(best_KQ[-1], bound_Q, rounding)


def _cut(kth_Q: Tensor, bound_Q: Tensor, rounding: float) -> Tensor:
    """The fast score below which an item cannot be among the k best, if the k-th best fast score is ``kth_Q``.

    Args:
        rounding: relative error of a score that comes from its own type.
    """
    least = kth_Q - bound_Q - kth_Q.abs() * rounding
    cut = least - bound_Q
    cut = torch.where(cut > 0, cut / (1 + rounding), cut / (1 - rounding))
    return cut.clamp(min=-2 * LARGEST)  # above the -inf of what is barred


def _cut_keys(cut_Q: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype != torch.bfloat16:
        return cut_Q
    rounded = cut_Q.bfloat16()
    lower = (rounded.float() > cut_Q) | (cut_Q == 0)  # the next one down where it was rounded up; -0 is as good as 0
    return _order(rounded.view(torch.int16)) - lower.short()


def _members(keys_TQ: Tensor, found: Tensor, start: int, cut_keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(query, row, fast score) of the rows that reach the cut in the groups found (numbers group * Q + query)."""
    queries = keys_TQ.shape[1]
    group = found // queries
    query = found - group * queries
    first = group * (GROUP * queries) + query
    keys = keys_TQ.view(-1).take(first[:, None] + torch.arange(0, GROUP * queries, queries))
    here, member = torch.nonzero(keys >= cut_keys[query][:, None], as_tuple=True)
    return query[here], start + group[here] * GROUP + member, _values(keys[here, member])
