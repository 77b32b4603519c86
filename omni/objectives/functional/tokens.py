"""Losses over discrete tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def token_cross_entropy(
    logits_BTV: Tensor, targets_BT: Tensor, counts_BT: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the tokens that count.

    Args:
        logits_BTV: of each token. targets_BT: int64, the right ones; anything where they do not count.
        counts_BT: bool, which tokens count. label_smoothing: share of the target spread over the whole vocabulary.

    Returns:
        scalar; 0 with a graph where none counts.
    """
    if not bool(counts_BT.any()):
        return logits_BTV.sum() * 0
    logits, targets = logits_BTV[counts_BT], targets_BT[counts_BT]
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def token_log_probs(logits_BTV: Tensor, targets_BT: Tensor, counts_BT: Tensor) -> Tensor:
    """(B,) sum of the log-probabilities of the tokens that count."""
    each = logits_BTV.double().log_softmax(-1).gather(-1, targets_BT[..., None]).squeeze(-1)
    return each.masked_fill(~counts_BT, 0.0).sum(1)
