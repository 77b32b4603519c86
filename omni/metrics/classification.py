"""Numbers of a classification: top-k, the mean over classes, the confusion matrix, intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from omni.errors import InputError
from omni.metrics.bootstrap import Bootstrap, Interval, bootstrap_intervals


@dataclass(frozen=True, kw_only=True)
class ClassificationNumbers:
    """What came out over n samples.

    Attributes:
        accuracy: k -> share of the samples whose class is among the first k.
        balanced: top-1 within each class that occurs, averaged over classes.
        standard_error: of top-1, by the binomial.
        samples, classes: how many (classes to choose from).
        chance: 1 / classes. majority: share of the most frequent class, what a constant answer reaches at best.
        intervals: "top1", "top5", ... -> bootstrap interval.
        confusion_CC: (true, given) counts; a class that is tied with a wrong one counts as the wrong one.
    """

    accuracy: dict[int, float]
    balanced: float
    standard_error: float
    samples: int
    classes: int
    chance: float
    majority: float
    intervals: dict[str, Interval] = field(default_factory=dict)
    confusion_CC: Tensor | None = None

    def to_dict(self) -> dict[str, Any]:
        """Flat JSON form: {"top1": ..., "top5": ..., "balanced": ..., ...}."""
        return {
            **{f"top{k}": value for k, value in self.accuracy.items()},
            **{name: getattr(self, name) for name in ("balanced", "standard_error", "samples", "classes", "chance")},
            "majority": self.majority,
            "intervals": {name: vars(interval) for name, interval in self.intervals.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Of each sample: (N,) rank of its class from 1, ties against it; (N,) the class that was given."""

    rank_N: Tensor
    given_N: Tensor


def predict(scores_NC: Tensor, labels_N: Tensor, *, tolerance_N: Tensor | float = 0.0) -> Predictions:
    """Ranks of the right class. A wrong class within ``tolerance_N`` of the right one's score stands before it."""
    labels = labels_N[:, None]
    right_N = scores_NC.gather(1, labels)
    wrong_NC = scores_NC.scatter(1, labels, float("-inf"))
    limit = right_N - (tolerance_N[:, None] if isinstance(tolerance_N, Tensor) else tolerance_N)
    rank_N = 1 + (wrong_NC >= limit).sum(1)
    given_N = torch.where(rank_N == 1, labels_N, wrong_NC.argmax(1))
    return Predictions(rank_N=rank_N, given_N=given_N)


def classification_numbers(
    rank_N: Tensor,
    given_N: Tensor,
    labels_N: Tensor,
    *,
    classes: int,
    ks: Sequence[int] = (1, 5),
    bootstrap: Bootstrap | None = None,
) -> ClassificationNumbers:
    """Numbers from the predictions.

    Args:
        rank_N, given_N: as ``predict`` gives them.
        labels_N: (N,) int64 in [0, classes).

    Raises:
        InputError: no sample.
    """
    if not len(labels_N):
        raise InputError("There is no sample to classify.")
    cutoffs = [k for k in ks if k == 1 or k < classes]
    hits = {f"top{k}": (rank_N <= k).double() for k in cutoffs}
    intervals = bootstrap_intervals(hits, bootstrap=bootstrap) if bootstrap else {}
    confusion = torch.bincount(labels_N * classes + given_N, minlength=classes * classes).view(classes, classes)
    size_C = torch.bincount(labels_N, minlength=classes)
    right_C = torch.bincount(labels_N[rank_N == 1], minlength=classes)
    there = size_C > 0
    top1 = float((rank_N == 1).double().mean())
    return ClassificationNumbers(
        accuracy={k: float(hits[f"top{k}"].mean()) for k in cutoffs},
        balanced=float((right_C[there] / size_C[there].double()).mean()),
        standard_error=(top1 * (1 - top1) / len(labels_N)) ** 0.5,
        samples=len(labels_N),
        classes=classes,
        chance=1 / classes,
        majority=float(size_C.max() / len(labels_N)),
        intervals=intervals,
        confusion_CC=confusion,
    )
