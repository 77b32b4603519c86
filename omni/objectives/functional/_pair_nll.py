"""-log softmax of both directions of a pair of slots: the masks, the plain form, and the fast one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from omni.objectives.functional._numerics import (
    as_scale,
    check_mask,
    check_smoothing,
    full_precision,
    without_autocast,
)


@dataclass(frozen=True, kw_only=True)
class PairMasks:
    """Who takes part among the N candidates; None = everyone.

    Attributes:
        a_N, b_N: (N,) bool, True = present.
        anchor_N: (N,) bool, True = both sides present.
        pair_NN: (N, N) bool, True at (i, j) = a_i and b_j meet in a softmax.
    """

    a_N: Tensor | None
    b_N: Tensor | None
    anchor_N: Tensor | None
    pair_NN: Tensor | None

    @classmethod
    def checked(cls, a: Tensor | None, b: Tensor | None, negatives: Tensor | None, candidates: Tensor) -> PairMasks:
        """From the masks that ``info_nce`` takes."""
        size = candidates.shape[0]
        check_mask(a, (size,), "a_present_B")
        check_mask(b, (size,), "b_present_B")
        check_mask(negatives, (size, size), "valid_negatives_BB")
        if negatives is not None:
            negatives = negatives | torch.eye(size, dtype=torch.bool, device=negatives.device)
        rows, columns = (None if a is None else a[:, None]), (None if b is None else b[None, :])
        pair = _and(_and(rows, columns), negatives)
        return cls(a_N=a, b_N=b, anchor_N=_and(a, b), pair_NN=None if pair is None else pair.expand(size, size))


def pair_nll(
    embeddings: tuple[Tensor, ...],
    logit_scale: float | Tensor,
    masks: PairMasks,
    *,
    row_offset: int,
    detach: bool,
    smoothing: float,
) -> tuple[Tensor, int | Tensor]:
    """The mean of both directions for every row, (B,), 0 for non-anchors; and the number of anchors among all N.

    Args:
        embeddings: a and b (B, E), in the distributed form followed by the gathered a and b (N, E).
        logit_scale, row_offset, detach, smoothing: as in ``info_nce``.
        masks: over the N candidates.
    """
    check_smoothing(smoothing, "label_smoothing")
    embeddings = tuple(full_precision(*embeddings))
    rows = slice(row_offset, row_offset + embeddings[0].shape[0])
    a, b = _clean(embeddings[0], _take(masks.a_N, rows)), _clean(embeddings[1], _take(masks.b_N, rows))
    a_all, b_all = (_clean(embeddings[2], masks.a_N), _clean(embeddings[3], masks.b_N)) if embeddings[2:] else (a, b)
    scale, anchor_B = as_scale(logit_scale, a), _take(masks.anchor_N, rows)
    row_valid = _take(masks.pair_NN, rows)
    column_valid = None if masks.pair_NN is None else masks.pair_NN[:, rows].t()
    if embeddings[2:]:
        row_nll, column_nll = (
            directed_nll(query, keys, scale, valid_BN=valid, anchor_B=anchor_B, offset=row_offset, detach=detach)
            for query, keys, valid in ((a, b_all, row_valid), (b, a_all, column_valid))
        )
    else:
        row_nll, column_nll = _SymmetricNLL.apply(a, b, scale, masks.pair_NN, masks.anchor_N, detach)
    nll_B = (row_nll + column_nll) / 2
    if smoothing:
        a_all, b_all = (a_all.detach(), b_all.detach()) if detach else (a_all, b_all)
        lead_B = _target_lead(a, b_all, row_valid, row_offset) + _target_lead(b, a_all, column_valid, row_offset)
        lead_B = lead_B if anchor_B is None else lead_B.masked_fill(~anchor_B, 0)
        nll_B = nll_B + smoothing * scale * lead_B / 2
    return nll_B, (a_all.shape[0] if masks.anchor_N is None else masks.anchor_N.sum())


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
    return logits_nll(logits, valid_BN, anchor_B, offset)


def logits_nll(logits_BN: Tensor, valid_BN: Tensor | None, anchor_B: Tensor | None, offset: int) -> Tensor:
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


def _and(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a & b if a is not None and b is not None else (a if b is None else b)


def _take(mask: Tensor | None, rows: slice) -> Tensor | None:
    return None if mask is None else mask[rows]


def _clean(embeddings: Tensor, present: Tensor | None) -> Tensor:
    """Absent rows zeroed: their values, NaN included, must not reach a matrix product."""
    return embeddings if present is None else embeddings.masked_fill(~present[:, None], 0)
