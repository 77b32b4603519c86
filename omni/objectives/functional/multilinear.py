"""Multilinear inner products, the Symile loss, and the sum-of-pairs score trained on the same tuples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import combinations
from operator import mul

import torch
from torch import Tensor

from omni.errors import InputError
from omni.objectives.functional._numerics import (
    Reduction,
    as_scale,
    check_embeddings,
    check_mask,
    check_rows,
    chunked_logsumexp,
    full_precision,
    reduce_anchors,
    without_autocast,
)
from omni.objectives.functional.contrastive import info_nce

# the other slots' rows (K, E) -> (key_KE, bias_K or None): anchor x_i and tuple j score x_i . key_j + bias_j
_Combine = Callable[[Sequence[Tensor]], tuple[Tensor, Tensor | None]]


def multilinear_inner_product(*embeddings: Tensor) -> Tensor:
    """sum_d prod_m x_m[d] over the last axis, for every sample.

    Args:
        embeddings: one or more tensors (..., E), of shapes that broadcast.

    Returns:
        (...) in float32 or better.

    Raises:
        InputError: no tensor was given.

    Source: Saporta et al. 2024 (Symile).
    """
    if not embeddings:
        raise InputError("multilinear_inner_product got no tensor: pass one a slot.")
    return reduce(mul, full_precision(*embeddings)).sum(dim=-1)


def multilinear_scores(queries: Sequence[Tensor], candidates_NE: Tensor) -> Tensor:
    """Multilinear score of every query with every candidate, for search.

    Args:
        queries: one or more tensors (B, E), one a query slot; (1, E) serves all B.
        candidates_NE: (N, E) rows of the slot that is searched.

    Returns:
        (B, N) in float32 or better, without a scale.

    Raises:
        InputError: no query, or widths that differ.

    Source: Saporta et al. 2024 (Symile): score(c | others) = <prod others, c>.
    """
    widths = [item.shape[-1] for item in (*queries, candidates_NE)]
    if not queries or len(set(widths)) != 1 or any(item.ndim != 2 for item in (*queries, candidates_NE)):
        raise InputError(
            f"multilinear_scores got queries of shapes {[tuple(item.shape) for item in queries]} and candidates "
            f"{tuple(candidates_NE.shape)}: it needs at least one query (B, E) and candidates (N, E) of one width."
        )
    with without_autocast(candidates_NE):
        *rows, candidates = full_precision(*queries, candidates_NE)
        return reduce(mul, rows) @ candidates.t()


def tuple_permutations(slots: int, size: int, *, generator: torch.Generator | None = None) -> Tensor:
    """The permutations of "permute": an independent one for every anchor and every other slot.

    They are drawn on the CPU, so that a generator of one seed gives the same on every process and device.

    Args:
        slots: M.
        size: N, rows of the gathered batch.
        generator: a CPU generator; None = torch's global one.

    Returns:
        (M, M - 1, N) int64: [m, k] shuffles the k-th of the slots other than m, in order.
    """
    draws = [torch.randperm(size, generator=generator) for _ in range(slots * (slots - 1))]
    return torch.stack(draws).reshape(slots, slots - 1, size)


def symile(
    embeddings: Sequence[Tensor],
    logit_scale: float | Tensor,
    *,
    negatives: str = "permute",
    permutations: Tensor | Sequence[Sequence[Tensor]] | None = None,
    generator: torch.Generator | None = None,
    present: Tensor | Sequence[Tensor | None] | None = None,
    candidates: Sequence[Tensor] | None = None,
    row_offset: int = 0,
    reduction: Reduction = "mean",
    max_elements: int = 2**22,
) -> Tensor:
    """Symile: every slot in turn tells its own tuple of the other slots from negative tuples by the multilinear score.

    "permute": N tuples, the rows of every other slot shuffled by its own permutation, the true tuple put in the
    anchor's own column. "all": all N^(M-1) tuples, the true one among them, in chunks. Two slots are symmetric InfoNCE
    in both.

    Distributed: ``embeddings`` are this process's rows from ``row_offset``, ``candidates`` the gathered batch (in its
    graph), ``permutations`` and ``present`` are over the gathered batch and the same on every process. The mean divides
    by the anchors of the whole gathered batch: the sum over processes of losses and gradients is that of one process.

    Args:
        embeddings: M >= 2 tensors (B, E), normalised by the caller or not.
        logit_scale: the positive multiplier, already exponentiated: float or 0-d tensor.
        negatives: "permute" or "all".
        permutations: (M, M - 1, N) as ``tuple_permutations`` gives them; None = drawn here.
        generator: CPU generator for that; None = torch's global one.
        present: (N,) bool, or one mask (or None) a slot: samples that lack a slot are out, as anchors and as parts of
            tuples (a permutation is taken within those that remain). Their values do not matter.
        candidates: M tensors (N, E) for the distributed form; None = ``embeddings``.
        row_offset: index of this process's first row in the gathered batch.
        reduction: "mean" over anchors and slots, "sum" over anchors of the mean over slots, or "none": (B,) means over
            slots, 0 for absent samples.
        max_elements: of "all", how many logits or tuple entries exist at once.

    Returns:
        Scalar (or (B,)) in float32 or better; 0 with a graph when no sample is complete.

    Raises:
        InputError: shapes, dtypes, permutations or options that do not fit.

    Source: Saporta et al. 2024 (Symile); "n" and "n_squared" of its released code.
    """
    check_embeddings(embeddings, least=2, name="symile")
    return _tuple_contrast(
        _product, embeddings, logit_scale, negatives, permutations, generator, present, candidates, row_offset,
        reduction, max_elements,
    )  # fmt: skip


def joint_pair_sum(
    embeddings: Sequence[Tensor],
    logit_scale: float | Tensor,
    *,
    negatives: str = "permute",
    permutations: Tensor | Sequence[Sequence[Tensor]] | None = None,
    generator: torch.Generator | None = None,
    present: Tensor | Sequence[Tensor | None] | None = None,
    candidates: Sequence[Tensor] | None = None,
    row_offset: int = 0,
    reduction: Reduction = "mean",
    max_elements: int = 2**22,
) -> Tensor:
    """The loss of ``symile`` under another score: the sum of the dot products of all pairs of the tuple.

    With the same permutations it sees the same tuples, so the two differ in the score alone. Arguments, result and
    errors are those of ``symile``; two slots are symmetric InfoNCE.
    """
    check_embeddings(embeddings, least=2, name="joint_pair_sum")
    return _tuple_contrast(
        _pairs, embeddings, logit_scale, negatives, permutations, generator, present, candidates, row_offset,
        reduction, max_elements,
    )  # fmt: skip


def _product(others: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    return reduce(mul, others), None


def _pairs(others: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    inner = [(x * y).sum(dim=-1) for x, y in combinations(others, 2)]
    return torch.stack(list(others)).sum(dim=0), torch.stack(inner).sum(dim=0) if inner else None


def _tuple_contrast(
    combine: _Combine,
    embeddings: Sequence[Tensor],
    logit_scale: float | Tensor,
    negatives: str,
    permutations: Tensor | Sequence[Sequence[Tensor]] | None,
    generator: torch.Generator | None,
    present: Tensor | Sequence[Tensor | None] | None,
    candidates: Sequence[Tensor] | None,
    row_offset: int,
    reduction: Reduction,
    max_elements: int,
) -> Tensor:
    if negatives not in ("permute", "all"):
        raise InputError(f'negatives is {negatives!r}: it must be "permute" or "all".')
    slots, rows = len(embeddings), embeddings[0].shape[0]
    local_form = candidates is None
    candidates = list(embeddings) if local_form else list(candidates)
    check_embeddings(candidates, least=slots, name="candidates")
    if len(candidates) != slots or candidates[0].shape[1] != embeddings[0].shape[1]:
        raise InputError(
            f"candidates are {len(candidates)} tensors of width {candidates[0].shape[1]}, embeddings {slots} of width "
            f"{embeddings[0].shape[1]}: pass the gathered rows of the same slots in the same order."
        )
    total = candidates[0].shape[0]
    check_rows(rows, total, row_offset, "row_offset")
    shuffles = _shuffles(slots, total, permutations, generator) if negatives == "permute" and slots > 2 else None
    present_N = _complete(present, slots, total)

    with without_autocast(embeddings[0]):
        everything = full_precision(*embeddings, *candidates)
        anchors, others = everything[:slots], everything[slots:]
        scale = as_scale(logit_scale, anchors[0])
        kept = None
        if present_N is not None:  # from here on there are only complete samples
            present_N = present_N.to(anchors[0].device)
            kept = present_N[row_offset : row_offset + rows]
            anchors, others = [x[kept] for x in anchors], [x[present_N] for x in others]
            shuffles = None if shuffles is None else _within(shuffles, present_N.cpu())
            row_offset = int(present_N[:row_offset].sum())
        if slots == 2:
            gathered = {} if local_form else {"a_all_NE": others[0], "b_all_NE": others[1], "row_offset": row_offset}
            loss = info_nce(*anchors, scale, reduction="none", **gathered)
        elif negatives == "permute":
            loss = _permuted(combine, anchors, others, scale, shuffles.to(scale.device), row_offset)
        else:
            loss = _all_tuples(combine, anchors, others, scale, row_offset, max_elements)
        if reduction == "none" and kept is not None:
            loss = loss.new_zeros(rows).index_put((kept.nonzero().flatten(),), loss)
        return reduce_anchors(loss, others[0].shape[0], reduction)


def _permuted(
    combine: _Combine, anchors: list[Tensor], others: list[Tensor], scale: Tensor, shuffles: Tensor, offset: int
) -> Tensor:
    losses = []
    for m, anchor_BE in enumerate(anchors):
        rest = [k for k in range(len(anchors)) if k != m]
        key_NE, bias_N = combine([others[k][order] for k, order in zip(rest, shuffles[m], strict=True)])
        positive_B = scale * _own_score(combine, anchor_BE, [anchors[k] for k in rest])
        logits_BN = anchor_BE @ key_NE.t()
        logits_BN = scale * (logits_BN if bias_N is None else logits_BN + bias_N)
        logits_BN = torch.diagonal_scatter(logits_BN, positive_B, offset)
        losses.append(torch.logsumexp(logits_BN, dim=1) - positive_B)
    return torch.stack(losses).mean(dim=0)


def _all_tuples(
    combine: _Combine, anchors: list[Tensor], others: list[Tensor], scale: Tensor, offset: int, max_elements: int
) -> Tensor:
    (rows, width), size = anchors[0].shape, others[0].shape[0]
    if rows == 0:
        return torch.stack([x.sum(dim=1) for x in anchors]).mean(dim=0)
    chunk = max(1, max_elements // max(rows, width))
    losses = []
    for m, anchor_BE in enumerate(anchors):
        rest = [k for k in range(len(anchors)) if k != m]

        def logits(start: int, stop: int, anchor_BE: Tensor = anchor_BE, rest: list[int] = rest) -> Tensor:
            index = torch.arange(start, stop, device=anchor_BE.device)  # a number in base N: one digit a slot
            digits = [index // size**place % size for place in range(len(rest))]
            key_KE, bias_K = combine([others[k][digit] for k, digit in zip(rest, digits, strict=True)])
            scores_BK = anchor_BE @ key_KE.t()
            return scale * (scores_BK if bias_K is None else scores_BK + bias_K)

        positive_B = scale * _own_score(combine, anchor_BE, [anchors[k] for k in rest])
        losses.append(chunked_logsumexp(logits, size ** len(rest), chunk) - positive_B)
    return torch.stack(losses).mean(dim=0)


def _own_score(combine: _Combine, anchor_BE: Tensor, rest: list[Tensor]) -> Tensor:
    key_BE, bias_B = combine(rest)
    score_B = (anchor_BE * key_BE).sum(dim=1)
    return score_B if bias_B is None else score_B + bias_B


def _shuffles(
    slots: int, size: int, permutations: Tensor | Sequence[Sequence[Tensor]] | None, generator: torch.Generator | None
) -> Tensor:
    if permutations is None:
        return tuple_permutations(slots, size, generator=generator)
    if not isinstance(permutations, Tensor):
        permutations = torch.stack([torch.stack(list(of_anchor)) for of_anchor in permutations])
    shuffles = permutations.cpu()
    identity = torch.arange(size).expand(slots, slots - 1, size)
    if shuffles.shape != identity.shape or not torch.equal(shuffles.sort(dim=-1).values, identity):
        raise InputError(
            f"permutations of shape {tuple(shuffles.shape)} do not fit: they must be permutations of range({size}), of "
            f"shape ({slots}, {slots - 1}, {size}), as tuple_permutations gives them."
        )
    return shuffles


def _within(shuffles: Tensor, present_N: Tensor) -> Tensor:
    """The order in which each permutation names the present rows, in their own numbering."""
    number_N = present_N.cumsum(dim=0) - 1
    return number_N[shuffles[present_N[shuffles]]].reshape(*shuffles.shape[:2], int(present_N.sum()))


def _complete(present: Tensor | Sequence[Tensor | None] | None, slots: int, size: int) -> Tensor | None:
    """(N,) bool, True = has every slot; None = all do."""
    if present is None:
        return None
    masks = [present] if isinstance(present, Tensor) else [mask for mask in present if mask is not None]
    if not isinstance(present, Tensor) and len(present) != slots:
        raise InputError(f"present holds {len(present)} masks for {slots} slots: pass one (or None) a slot.")
    for mask in masks:
        check_mask(mask, (size,), "present")
    return torch.stack(masks).all(dim=0) if masks else None
