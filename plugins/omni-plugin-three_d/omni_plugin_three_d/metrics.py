"""How far one shape is from another: Chamfer distance, F-score, volumetric IoU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from omni.errors import ConfigError, InputError


@dataclass(frozen=True, kw_only=True)
class Chamfer:
    """Mean distances to the nearest point, each way.

    Attributes:
        accuracy: mean over the predicted points of the distance to the nearest true one.
        completeness: mean over the true points of the distance to the nearest predicted one.
        squared: the distances were squared before the mean.
    """

    accuracy: float
    completeness: float
    squared: bool

    @property
    def mean(self) -> float:
        """Half the sum of both ways (Mescheder et al. 2019, "Chamfer-L1")."""
        return (self.accuracy + self.completeness) / 2

    @property
    def sum(self) -> float:
        """Both ways added (Fan et al. 2017, with squared distances)."""
        return self.accuracy + self.completeness


@dataclass(frozen=True, kw_only=True)
class FScore:
    """Share of points within a threshold (Tatarchenko et al. 2019, section 4.3), each in 0..1.

    Attributes:
        precision: of the predicted points, near a true one. recall: of the true points, near a predicted one.
        threshold: in the points' unit; a distance equal to it counts.
    """

    precision: float
    recall: float
    threshold: float

    @property
    def value(self) -> float:
        """Harmonic mean of both; 0 where both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else 0.0


class PointIndex:
    """Points that are searched again and again.

    Args:
        points_N3: (N, 3) numbers, N above 0. name: how messages call them.

    Raises:
        InputError: they are not, or hold NaN or infinity.
    """

    def __init__(self, points_N3: np.ndarray, *, name: str = "shape") -> None:
        self.points_N3 = _checked(points_N3, name)
        self.tree = cKDTree(self.points_N3)

    def distances_to(self, other: PointIndex) -> np.ndarray:
        """(N,) float64: from each point of this one to the nearest of the other."""
        return other.tree.query(self.points_N3)[0]


def chamfer(
    predicted: np.ndarray | PointIndex, truth: np.ndarray | PointIndex, *, squared: bool = False
) -> Chamfer:  # fmt: skip
    """Chamfer distance of two point sets: means of plain, or of squared, distances both ways.

    Args:
        predicted: (N, 3). truth: (M, 3), in the same unit.

    Raises:
        InputError: points that are missing or make no sense.
    """
    there, back = _both_ways(predicted, truth)
    power = 2 if squared else 1
    return Chamfer(
        accuracy=float((there**power).mean()), completeness=float((back**power).mean()), squared=squared
    )  # fmt: skip


def f_score(predicted: np.ndarray | PointIndex, truth: np.ndarray | PointIndex, *, threshold: float) -> FScore:
    """F-score at a distance.

    Raises:
        ConfigError: a threshold that is not above 0. InputError: as in chamfer().
    """
    if not threshold > 0:
        raise ConfigError(f"f_score: threshold={threshold!r} must be above 0, in the unit of the points.")
    there, back = _both_ways(predicted, truth)
    return FScore(
        precision=float((there <= threshold).mean()), recall=float((back <= threshold).mean()), threshold=threshold
    )


def volumetric_iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two occupancies at the same places, in 0..1; 1 where both are empty.

    Args:
        predicted, truth: bool arrays of one shape. Probabilities are refused: compare them with a level first.

    Raises:
        InputError: other types, or shapes that differ.
    """
    first, second = np.asarray(predicted), np.asarray(truth)
    if first.dtype != np.bool_ or second.dtype != np.bool_ or first.shape != second.shape or not first.size:
        raise InputError(
            f"volumetric_iou compares bool arrays of one shape, not {first.dtype} {first.shape} and {second.dtype} "
            f"{second.shape}; compare probabilities with a level first."
        )
    union = int((first | second).sum())
    return float((first & second).sum() / union) if union else 1.0


def _both_ways(predicted: np.ndarray | PointIndex, truth: np.ndarray | PointIndex) -> tuple[np.ndarray, np.ndarray]:
    first = predicted if isinstance(predicted, PointIndex) else PointIndex(predicted, name="predicted shape")
    second = truth if isinstance(truth, PointIndex) else PointIndex(truth, name="true shape")
    return first.distances_to(second), second.distances_to(first)


def _checked(points_N3: np.ndarray, name: str) -> np.ndarray:
    points = np.asarray(points_N3)
    if points.ndim != 2 or points.shape[1:] != (3,) or not len(points) or points.dtype.kind not in "iuf":
        raise InputError(f"The {name} has points of shape {points.shape} and type {points.dtype}; it needs (N, 3).")
    points = points.astype(np.float64)
    if not np.isfinite(points).all():
        raise InputError(f"The {name} has NaN or infinity in {int((~np.isfinite(points)).any(1).sum())} points.")
    return points
