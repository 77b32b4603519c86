"""k nearest neighbours on frozen embeddings, by cosine: votes weighted by similarity (Wu et al., 2018) or equal."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni.metrics.classification import Predictions, predict
from omni.metrics.ranks import TIE

CHUNK, SCORES = 512, 2**24  # queries at a time, and numbers of a score matrix


@torch.no_grad()
def nearest_neighbours(
    train_NE: Tensor,
    train_labels_N: Tensor,
    test_ME: Tensor,
    test_labels_M: Tensor,
    *,
    classes: int,
    k: int = 20,
    temperature: float | None = 0.07,
) -> Predictions:
    """Classes of the test rows by the votes of their k nearest training rows.

    All training rows as near as the k-th (within rounding) vote, so what is equal decides nothing by its order; classes
    with equal votes count against the right one.

    Args:
        train_NE, test_ME: embeddings, brought to unit length here.
        train_labels_N, test_labels_M: int64 in [0, classes).
        k: neighbours; at most N.
        temperature: votes weigh exp(cosine / temperature) (Wu et al., equation 2 of section 3.4); None = one each.

    Raises:
        InputError: no training row. ConfigError: k below 1.
    """
    if not len(train_NE):
        raise InputError("There is no training sample to find neighbours among.")
    if k < 1 or (temperature is not None and temperature <= 0):
        raise ConfigError(f"k={k} must be at least 1 and temperature={temperature} above 0 (or None).")
    train = F.normalize(train_NE.float(), dim=1)
    onehot_NC = F.one_hot(train_labels_N, classes).float()
    rows = max(1, min(CHUNK, SCORES // len(train)))
    ranks, given = [], []
    for start in range(0, len(test_ME), rows):
        scores_MN = F.normalize(test_ME[start : start + rows].float(), dim=1) @ train.T
        nearest_M = scores_MN.amax(1, keepdim=True)
        last_M = scores_MN.topk(min(k, len(train)), dim=1).values[:, -1:]
        votes_MN = (scores_MN >= last_M - TIE).float()
        if temperature is not None:
            votes_MN *= ((scores_MN - nearest_M) / temperature).exp()
        votes_MC = votes_MN @ onehot_NC
        found = predict(votes_MC, test_labels_M[start : start + rows], tolerance_N=1e-5 * votes_MC.amax(1))
        ranks.append(found.rank_N)
        given.append(found.given_N)
    empty = torch.zeros(0, dtype=torch.long)
    return Predictions(rank_N=torch.cat(ranks or [empty]), given_N=torch.cat(given or [empty]))
