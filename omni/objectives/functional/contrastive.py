"""InfoNCE of two slots and its sum over pairs; InfoNCE of a matrix of scores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from omni.errors import InputError
from omni.objectives.functional._numerics import (
    Reduction,
    as_scale,
    check_embeddings,
    check_mask,
    check_rows,
    full_precision,
    reduce_anchors,
    without_autocast,
)
from omni.objectives.functional._pair_nll import PairMasks, logits_nll, pair_nll


def info_nce(
    a_BE: Tensor,
    b_BE: Tensor,
    logit_scale: float | Tensor,
    *,
    a_present_B: Tensor | None = None,
    b_present_B: Tensor | None = None,
    valid_negatives_BB: Tensor | None = None,
    detach_candidates: bool = False,
    a_all_NE: Tensor | None = None,
    b_all_NE: Tensor | None = None,
    row_offset: int = 0,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Symmetric InfoNCE: half the cross-entropy of finding b_i among all b from a_i, half that of a_i from b_i.

    One matrix of logits serves both directions, forward and backward. Statistics are in float32 or better.

    Distributed: with ``a_all_NE`` and ``b_all_NE`` (the gathered batch, in its graph) ``a_BE`` and ``b_BE`` are this
    process's rows from ``row_offset``, all masks are those of the gathered batch (N instead of B), and the mean divides
    by the anchors of the whole gathered batch: the sum over processes of losses and gradients is that of one process.

    Args:
        a_BE: (B, E) floating point, normalised by the caller if the score is to be a cosine.
        b_BE: (B, E); row i belongs to row i of ``a_BE``.
        logit_scale: the positive multiplier (1 / temperature), already exponentiated: float or 0-d tensor.
        a_present_B: (B,) bool, True = the sample has a. An absent row is neither anchor nor candidate, and its values
            do not matter. An anchor needs both sides; the side that a half-present sample has stays a candidate.
        b_present_B: the same of b.
        valid_negatives_BB: (B, B) bool, True at (i, j) = a_i and b_j may be each other's negatives (False for pairs of
            one class, say). The diagonal always takes part.
        detach_candidates: no gradient through the candidates of either direction (ONE-PEACE's published loss).
        a_all_NE: (N, E) candidates of the other direction, for the distributed form; with ``b_all_NE`` or not at all.
        b_all_NE: (N, E).
        row_offset: index of this process's first row in the gathered batch.
        label_smoothing: e of target (1 - e) * one_hot + e / K over an anchor's K candidates.
        reduction: "mean" over anchors, "sum", or "none" for (B,) with 0 where there is no anchor.

    Returns:
        Scalar (or (B,)) in float32, or float64 for float64 inputs. Without an anchor it is 0 and has a graph; see
        ``anchor_count``.

    Raises:
        InputError: shapes, dtypes or options that do not fit.

    Source: van den Oord et al. 2018, eq. 4; Radford et al. 2021 (CLIP), figure 3.
    """
    with without_autocast(a_BE):
        nll_B, anchors = pair_nll(
            _checked(a_BE, b_BE, a_all_NE, b_all_NE, row_offset),
            logit_scale,
            PairMasks.checked(a_present_B, b_present_B, valid_negatives_BB, (a_BE if a_all_NE is None else a_all_NE)),
            row_offset=row_offset,
            detach=detach_candidates,
            smoothing=label_smoothing,
        )
        return reduce_anchors(nll_B, anchors, reduction)


def pair_sum(
    embeddings: Sequence[Tensor],
    logit_scale: float | Tensor,
    *,
    pairs: Sequence[tuple[int, int]] | None = None,
    present: Sequence[Tensor | None] | None = None,
    candidates: Sequence[Tensor] | None = None,
    row_offset: int = 0,
    reduction: str = "sum",
) -> Tensor:
    """Symmetric InfoNCE summed over pairs of slots, one scale for all: the pairwise baseline of Symile (a sum there).

    Args:
        embeddings: M tensors (B, E).
        logit_scale: as in ``info_nce``.
        pairs: pairs of indices into ``embeddings``; None = all M (M - 1) / 2.
        present: M masks (B,) (or None), True = the sample has the slot. Every pair uses the samples that have both.
        candidates: M gathered tensors (N, E) for the distributed form of ``info_nce`` (masks are then (N,)).
        row_offset: index of this process's first row in the gathered batch.
        reduction: "sum" or "mean" over the pairs; each pair's loss is a mean over its anchors.

    Returns:
        Scalar in float32 or better.

    Raises:
        InputError: shapes, dtypes or options that do not fit.

    Source: Saporta et al. 2024 (Symile), its CLIP baseline.
    """
    check_embeddings(embeddings, least=2, name="pair_sum")
    slots = len(embeddings)
    pairs = list(combinations(range(slots), 2)) if pairs is None else [tuple(pair) for pair in pairs]
    if not pairs or any(len(set(pair)) != 2 or not set(pair) <= set(range(slots)) for pair in pairs):
        raise InputError(f"pairs is {pairs}: it must hold pairs of two different indices below {slots}.")
    if reduction not in ("sum", "mean"):
        raise InputError(f'reduction is {reduction!r}: pair_sum takes "sum" or "mean" over the pairs.')
    for name, values in (("present", present), ("candidates", candidates)):
        if values is not None and len(values) != slots:
            raise InputError(f"{name} holds {len(values)} tensors for {slots} slots: pass one a slot.")
    losses = [
        info_nce(
            embeddings[i],
            embeddings[j],
            logit_scale,
            a_present_B=None if present is None else present[i],
            b_present_B=None if present is None else present[j],
            a_all_NE=None if candidates is None else candidates[i],
            b_all_NE=None if candidates is None else candidates[j],
            row_offset=row_offset,
        )
        for i, j in pairs
    ]
    total = torch.stack(losses).sum()
    return total / len(pairs) if reduction == "mean" else total


def score_nce(
    scores_BB: Tensor,
    logit_scale: float | Tensor,
    *,
    present_B: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Symmetric InfoNCE of any score matrix; the true pairs are on the diagonal.

    Args:
        scores_BB: (B, B) floating point scores before the scale.
        logit_scale: as in ``info_nce``.
        present_B: (B,) bool, False = row and column of the sample take no part, whatever they hold.
        reduction: "mean" over the present samples, "sum" or "none".

    Returns:
        Scalar (or (B,)) in float32 or better; 0 with a graph when nobody is present.

    Raises:
        InputError: shapes, dtypes or options that do not fit.
    """
    if scores_BB.ndim != 2 or scores_BB.shape[0] != scores_BB.shape[1]:
        raise InputError(f"score_nce got scores of shape {tuple(scores_BB.shape)}: it needs a square matrix (B, B).")
    check_mask(present_B, (scores_BB.shape[0],), "present_B")
    (scores,) = full_precision(scores_BB)
    if present_B is not None:
        scores = scores.masked_fill(~(present_B[:, None] & present_B[None, :]), 0)
    logits = as_scale(logit_scale, scores) * scores
    nll = (logits_nll(logits, present_B, present_B, 0) + logits_nll(logits.t(), present_B, present_B, 0)) / 2
    return reduce_anchors(nll, nll.shape[0] if present_B is None else present_B.sum(), reduction)


def _checked(
    a_BE: Tensor, b_BE: Tensor, a_all_NE: Tensor | None, b_all_NE: Tensor | None, row_offset: int
) -> tuple[Tensor, ...]:
    """The two sides, and behind them the gathered two if there are any, once they fit together."""
    check_embeddings([a_BE, b_BE], least=2, name="info_nce")
    if (a_all_NE is None) != (b_all_NE is None):
        raise InputError("info_nce got one of a_all_NE and b_all_NE: the distributed form needs both.")
    if a_all_NE is None:
        return a_BE, b_BE
    check_embeddings([a_all_NE, b_all_NE], least=2, name="info_nce (gathered)")
    check_rows(a_BE.shape[0], a_all_NE.shape[0], row_offset, "info_nce")
    return a_BE, b_BE, a_all_NE, b_all_NE
