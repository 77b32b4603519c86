"""Grouping alignment (VALOR): token sequences compared by weighted maxima of token similarities."""

from __future__ import annotations

import torch
from torch import Tensor

from omni.errors import InputError
from omni.objectives.functional._numerics import Reduction, check_mask, full_precision, without_autocast
from omni.objectives.functional.contrastive import info_nce, score_nce


def grouping_scores(
    tokens_BTE: Tensor,
    group_tokens_NUE: Tensor,
    token_logits_BT: Tensor | None = None,
    group_logits_NU: Tensor | None = None,
    valid_BT: Tensor | None = None,
    valid_NU: Tensor | None = None,
    *,
    max_elements: int = 2**24,
) -> Tensor:
    """Fine score of every sequence with every group of tokens.

    score(A, B) = 1/2 [ sum_t w_t max_u s_tu + sum_u w_u max_t s_tu ], s_tu = <a_t, b_u>, w = softmax of the logits over
    valid tokens. A group of several slots is their tokens, logits and masks concatenated along U.

    Padding is left out of the maxima. (The released code multiplies padded similarities by 0 instead, so padding can
    win over negative similarities; that is not repeated here.)

    Args:
        tokens_BTE: (B, T, E) floating point, normalised by the caller.
        group_tokens_NUE: (N, U, E), normalised by the caller.
        token_logits_BT: (B, T) weights before the softmax; None = uniform.
        group_logits_NU: (N, U); None = uniform.
        valid_BT: (B, T) bool, True = real token; None = all.
        valid_NU: (N, U) bool.
        max_elements: similarities that exist at once; groups are taken in chunks.

    Returns:
        (B, N) in float32 or better; -inf where a side has no valid token, so that a search never finds it.

    Raises:
        InputError: shapes or dtypes that do not fit.

    Source: Chen et al. 2023 (VALOR), multimodal grouping alignment, fine form.
    """
    _check_side(tokens_BTE, token_logits_BT, valid_BT, "tokens_BTE")
    _check_side(group_tokens_NUE, group_logits_NU, valid_NU, "group_tokens_NUE")
    if tokens_BTE.shape[-1] != group_tokens_NUE.shape[-1]:
        raise InputError(
            f"tokens are {tokens_BTE.shape[-1]} wide and group tokens {group_tokens_NUE.shape[-1]}: project both to "
            "one width first."
        )
    with without_autocast(tokens_BTE):
        tokens, groups = full_precision(tokens_BTE, group_tokens_NUE)
        has_B, usable_BT, tokens, weights_BT = _prepare(tokens, token_logits_BT, valid_BT)
        has_N, usable_NU, groups, weights_NU = _prepare(groups, group_logits_NU, valid_NU)
        per_group = max(1, tokens.shape[0] * tokens.shape[1] * groups.shape[1])
        chunk = max(1, max_elements // per_group)
        columns = [
            _block(tokens, weights_BT, usable_BT, *parts)
            for parts in zip(groups.split(chunk), weights_NU.split(chunk), usable_NU.split(chunk), strict=True)
        ]
        return torch.cat(columns, dim=1).masked_fill(~(has_B[:, None] & has_N[None, :]), -torch.inf)


def grouping_alignment(
    tokens_BTE: Tensor,
    group_tokens_BUE: Tensor,
    token_logits_BT: Tensor | None,
    group_logits_BU: Tensor | None,
    valid_BT: Tensor | None,
    valid_BU: Tensor | None,
    logit_scale: float | Tensor,
    *,
    reduction: Reduction = "mean",
    max_elements: int = 2**24,
) -> Tensor:
    """Symmetric InfoNCE over the fine scores of one group; average it over the groups that are present.

    A sample without a valid token on either side has no score in this group: it is neither anchor nor candidate.
    ``grouping_present(...).sum()`` counts those that took part.

    Args:
        tokens_BTE, group_tokens_BUE, token_logits_BT, group_logits_BU, valid_BT, valid_BU, max_elements: as in
            ``grouping_scores``; row i of the one belongs to row i of the other.
        logit_scale: the positive multiplier, already exponentiated: float or 0-d tensor.
        reduction: "mean" over present samples, "sum", or "none" for (B,) with 0 for absent ones.

    Returns:
        Scalar (or (B,)) in float32 or better; 0 with a graph when nobody is present.

    Raises:
        InputError: shapes or dtypes that do not fit.

    Source: Chen et al. 2023 (VALOR), multimodal grouping alignment.
    """
    if tokens_BTE.shape[0] != group_tokens_BUE.shape[0]:
        raise InputError(
            f"grouping_alignment got {tokens_BTE.shape[0]} sequences and {group_tokens_BUE.shape[0]} groups: row i of "
            "the one must belong to row i of the other."
        )
    scores = grouping_scores(
        tokens_BTE, group_tokens_BUE, token_logits_BT, group_logits_BU, valid_BT, valid_BU, max_elements=max_elements
    )
    present_B = grouping_present(valid_BT, valid_BU)
    return score_nce(scores, logit_scale, present_B=present_B, reduction=reduction)


def coarse_grouping_alignment(
    pooled_BE: Tensor,
    group_BE: Tensor,
    logit_scale: float | Tensor,
    *,
    present_B: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """The coarse form: symmetric InfoNCE of one vector a side (a group's is a projection of its slots' pooled vectors).

    Args:
        pooled_BE: (B, E), normalised by the caller.
        group_BE: (B, E), normalised by the caller.
        logit_scale: as in ``grouping_alignment``.
        present_B: (B,) bool, True = the sample has both sides.
        reduction: as in ``grouping_alignment``.

    Returns:
        Scalar (or (B,)) in float32 or better.

    Source: Chen et al. 2023 (VALOR), coarse form of its released code.
    """
    return info_nce(pooled_BE, group_BE, logit_scale, a_present_B=present_B, b_present_B=present_B, reduction=reduction)


def grouping_present(valid_BT: Tensor | None, valid_BU: Tensor | None) -> Tensor | None:
    """(B,) bool, True = both sides have a valid token; None if neither mask is given."""
    masks = [mask.any(dim=1) for mask in (valid_BT, valid_BU) if mask is not None]
    return torch.stack(masks).all(dim=0) if masks else None


def _check_side(tokens: Tensor, logits: Tensor | None, valid: Tensor | None, name: str) -> None:
    if tokens.ndim != 3 or not tokens.is_floating_point() or tokens.shape[1] == 0:
        raise InputError(
            f"{name} is {tokens.dtype} of shape {tuple(tokens.shape)}: it must be floating point (samples, tokens, "
            "width) with at least one token."
        )
    if logits is not None and logits.shape != tokens.shape[:2]:
        raise InputError(
            f"the weight logits of {name} have shape {tuple(logits.shape)}: they must have {tuple(tokens.shape[:2])}."
        )
    check_mask(valid, tuple(tokens.shape[:2]), f"the valid mask of {name}")


def _prepare(tokens: Tensor, logits: Tensor | None, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """has (samples,), usable mask, padding-free tokens and softmax weights (0 at padding)."""
    if valid is None:
        valid = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    has = valid.any(dim=1)
    # a sample of padding only is computed on zeros and masked at the end: a maximum over nothing has a NaN gradient
    usable = valid | ~has[:, None]
    tokens = tokens.masked_fill(~valid[..., None], 0)
    logits = tokens.new_zeros(tokens.shape[:2]) if logits is None else logits.to(tokens.dtype).masked_fill(~valid, 0)
    return has, usable, tokens, logits.masked_fill(~usable, -torch.inf).softmax(dim=1)


def _block(
    tokens_BTE: Tensor, weights_BT: Tensor, usable_BT: Tensor, groups_KUE: Tensor, weights_KU: Tensor, usable_KU: Tensor
) -> Tensor:
    (batch, length, width), (count, size, _) = tokens_BTE.shape, groups_KUE.shape
    similarity = tokens_BTE.reshape(-1, width) @ groups_KUE.reshape(-1, width).t()
    similarity = similarity.view(batch, length, count, size)
    # in place: neither the product nor max() keeps it for the backward pass, so only indices of the maxima stay
    similarity.masked_fill_(~usable_BT[:, :, None, None], -torch.inf).masked_fill_(~usable_KU[None, None], -torch.inf)
    best_BTK = similarity.max(dim=3).values.masked_fill(~usable_BT[:, :, None], 0)
    best_BKU = similarity.max(dim=1).values.masked_fill(~usable_KU[None], 0)
    forward = torch.einsum("bt,btk->bk", weights_BT, best_BTK)
    return (forward + torch.einsum("ku,bku->bk", weights_KU, best_BKU)) / 2
