"""InfoNCE of two slots and its sum over pairs; InfoNCE of a matrix of scores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from omni.errors import InputError
from omni.objectives.functional._numerics import (
    Reduction,
    as_scale,
    check_embeddings,
    check_mask,
    check_rows,
    check_smoothing,
    full_precision,
    reduce_anchors,
    without_autocast,
)


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
    check_embeddings([a_BE, b_BE], least=2, name="info_nce")
    check_smoothing(label_smoothing, "label_smoothing")
    if (a_all_NE is None) != (b_all_NE is None):
        raise InputError("info_nce got one of a_all_NE and b_all_NE: the distributed form needs both.")
    gathered = a_all_NE is not None
    a_all, b_all = (a_all_NE, b_all_NE) if gathered else (a_BE, b_BE)
    check_embeddings([a_all, b_all], least=2, name="info_nce (gathered)")
    rows, total = a_BE.shape[0], a_all.shape[0]
    check_rows(rows, total, row_offset, "info_nce")
    check_mask(a_present_B, (total,), "a_present_B")
    check_mask(b_present_B, (total,), "b_present_B")
    check_mask(valid_negatives_BB, (total, total), "valid_negatives_BB")

    with without_autocast(a_BE):
        a, b, a_all, b_all = full_precision(a_BE, b_BE, a_all, b_all)
        scale = as_scale(logit_scale, a)
        local = slice(row_offset, row_offset + rows)
        anchor = _both(a_present_B, b_present_B)
        a, b = _clean(a, _rows(a_present_B, local)), _clean(b, _rows(b_present_B, local))
        valid = _pair_mask(a_present_B, b_present_B, valid_negatives_BB)
        if gathered:
            a_all, b_all = _clean(a_all, a_present_B), _clean(b_all, b_present_B)
            options = {"anchor_B": _rows(anchor, local), "offset": row_offset, "detach": detach_candidates}
            rows_valid = None if valid is None else valid[local]
            columns_valid = None if valid is None else valid[:, local].t()
            row_nll = directed_nll(a, b_all, scale, valid_BN=rows_valid, **options)
            column_nll = directed_nll(b, a_all, scale, valid_BN=columns_valid, **options)
        else:
            a_all, b_all, rows_valid = a, b, valid
            columns_valid = None if valid is None else valid.t()
            row_nll, column_nll = _SymmetricNLL.apply(a, b, scale, valid, anchor, detach_candidates)
        nll = (row_nll + column_nll) / 2
        if label_smoothing:
            if detach_candidates:
                a_all, b_all = a_all.detach(), b_all.detach()
            spread = _target_lead(a, b_all, rows_valid, row_offset) + _target_lead(b, a_all, columns_valid, row_offset)
            spread = spread if anchor is None else spread.masked_fill(~_rows(anchor, local), 0)
            nll = nll + label_smoothing * scale * spread / 2
        return reduce_anchors(nll, total if anchor is None else anchor.sum(), reduction)


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
    nll = (_logits_nll(logits, present_B, present_B, 0) + _logits_nll(logits.t(), present_B, present_B, 0)) / 2
    return reduce_anchors(nll, nll.shape[0] if present_B is None else present_B.sum(), reduction)


def directed_nll(
    queries_BE: Tensor,
    keys_NE: Tensor,
    scale: Tensor,
    *,
    valid_BN: Tensor | None = None,
    anchor_B: Tensor | None = None,
    offset: int = 0,
    detach: bool = False,
) -> Tensor:
    """-log softmax of key ``offset + i`` for query i, one direction, in plain operations: (B,), 0 for non-anchors."""
    logits = scale * (queries_BE @ (keys_NE.detach() if detach else keys_NE).t())
    return _logits_nll(logits, valid_BN, anchor_B, offset)


def _logits_nll(logits_BN: Tensor, valid_BN: Tensor | None, anchor_B: Tensor | None, offset: int) -> Tensor:
    if valid_BN is not None:
        # a row without an anchor keeps all columns: logsumexp of nothing has a NaN gradient, even times zero
        keep = valid_BN if anchor_B is None else valid_BN | ~anchor_B[:, None]
        logits_BN = logits_BN.masked_fill(~keep, -torch.inf)
    nll = torch.logsumexp(logits_BN, dim=1) - logits_BN.diagonal(offset)
    return nll if anchor_B is None else torch.where(anchor_B, nll, 0)


class _SymmetricNLL(torch.autograd.Function):
    """Both directions' -log softmax from one matrix of logits, which is all that is kept for the backward pass.

    With p the softmax over rows and q that over columns, the gradient of the logits is g_row p + g_column q minus both
    on the diagonal: one matrix, built in place, and two products. The scale's gradient falls out of the same product.
    """

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, scale: Tensor, valid: Tensor | None, anchor: Tensor | None, detach: bool
    ) -> tuple[Tensor, Tensor]:
        logits = torch.mm(a, b.t()).mul_(scale)
        if valid is not None:
            logits.masked_fill_(~valid, -torch.inf)
        row_lse, column_lse, positive = logits.logsumexp(dim=1), logits.logsumexp(dim=0), logits.diagonal()
        row_nll, column_nll = row_lse - positive, column_lse - positive
        if anchor is not None:
            row_nll, column_nll = torch.where(anchor, row_nll, 0), torch.where(anchor, column_nll, 0)
            # exp(x - inf) = 0: rows that may be empty (all -inf) give no NaN in the backward pass
            row_lse, column_lse = (lse.masked_fill(~anchor, torch.inf) for lse in (row_lse, column_lse))
        ctx.save_for_backward(a, b, scale, valid, anchor, logits, row_lse, column_lse)
        ctx.detach = detach
        return row_nll, column_nll

    @staticmethod
    def backward(ctx: Any, grad_row: Tensor, grad_column: Tensor) -> tuple[Tensor | None, ...]:
        a, b, scale, valid, anchor, logits, row_lse, column_lse = ctx.saved_tensors
        with without_autocast(a):
            if torch.is_grad_enabled():  # a second derivative is asked for: differentiate the plain form
                return _plain_gradients(ctx, grad_row, grad_column)
            if anchor is not None:
                grad_row, grad_column = grad_row.masked_fill(~anchor, 0), grad_column.masked_fill(~anchor, 0)
            row_part = torch.exp_(logits - row_lse[:, None]).mul_(grad_row[:, None])
            column_part = torch.exp_(logits - column_lse[None, :])
            if ctx.detach:
                row_part.diagonal().sub_(grad_row)
                column_part.mul_(grad_column[None, :]).diagonal().sub_(grad_column)
            else:
                row_part.addcmul_(column_part, grad_column.expand_as(column_part))
                row_part.diagonal().sub_(grad_row).sub_(grad_column)
                column_part = row_part
            grad_a = row_part @ b
            grad_b = column_part.t() @ a if ctx.detach or ctx.needs_input_grad[1] else None
            grad_scale = (grad_a * a).sum() + ((grad_b * b).sum() if ctx.detach else 0)
            return grad_a.mul_(scale), None if grad_b is None else grad_b.mul_(scale), grad_scale, None, None, None


def _plain_gradients(ctx: Any, grad_row: Tensor, grad_column: Tensor) -> tuple[Tensor | None, ...]:
    a, b, scale, valid, anchor = ctx.saved_tensors[:5]
    columns_valid = None if valid is None else valid.t()
    outputs = (
        directed_nll(a, b, scale, valid_BN=valid, anchor_B=anchor, detach=ctx.detach),
        directed_nll(b, a, scale, valid_BN=columns_valid, anchor_B=anchor, detach=ctx.detach),
    )
    wanted = [tensor for tensor, needed in zip((a, b, scale), ctx.needs_input_grad, strict=False) if needed]
    found = iter(torch.autograd.grad(outputs, wanted, (grad_row, grad_column), create_graph=True))
    return tuple(next(found) if needed else None for needed in ctx.needs_input_grad[:3]) + (None, None, None)


def _target_lead(queries_BE: Tensor, keys_NE: Tensor, valid_BN: Tensor | None, offset: int) -> Tensor:
    """Score of the true key minus the mean score of the valid keys: what smoothing adds, without a (B, N) matrix."""
    if valid_BN is None:
        mean = keys_NE.mean(dim=0)
    else:
        weights = valid_BN.to(keys_NE.dtype)
        mean = (weights @ keys_NE) / weights.sum(dim=1, keepdim=True).clamp_min(1)
    return (queries_BE * (keys_NE[offset : offset + queries_BE.shape[0]] - mean)).sum(dim=1)


def _both(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a & b if a is not None and b is not None else (a if b is None else b)


def _rows(mask: Tensor | None, rows: slice) -> Tensor | None:
    return None if mask is None else mask[rows]


def _clean(embeddings: Tensor, present: Tensor | None) -> Tensor:
    """Absent rows zeroed: their values, NaN included, must not reach a matrix product."""
    return embeddings if present is None else embeddings.masked_fill(~present[:, None], 0)


def _pair_mask(a: Tensor | None, b: Tensor | None, negatives: Tensor | None) -> Tensor | None:
    """(B, B) bool, True at (a_i, b_j) = takes part; None = everything does."""
    if negatives is not None:
        negatives = negatives | torch.eye(negatives.shape[0], dtype=torch.bool, device=negatives.device)
    size = next((item.shape[0] for item in (a, b, negatives) if item is not None), None)
    if size is None:
        return None
    parts = [None if a is None else a[:, None], None if b is None else b[None, :], negatives]
    mask = None
    for part in parts:
        mask = part if mask is None else (mask if part is None else mask & part)
    return mask.expand(size, size)
