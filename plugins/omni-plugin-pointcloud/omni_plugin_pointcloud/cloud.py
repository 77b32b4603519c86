"""A point cloud in memory, and what makes one sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omni.errors import InputError

MOST_POINTS = 20_000_000  # of a cloud, and corners of a mesh


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Points in the unit of their file, with what is known of each.

    Attributes:
        points_N3: (N, 3) float32.
        colors_N3: (N, 3) float32 in 0..1, or None.
        normals_N3: (N, 3) float32 of length 1, or None.
        source: how messages call it.
    """

    points_N3: np.ndarray
    colors_N3: np.ndarray | None = None
    normals_N3: np.ndarray | None = None
    source: str = "point cloud"

    def __len__(self) -> int:
        return len(self.points_N3)

    def columns(self) -> np.ndarray:
        """(N, 3 to 9) float32: points, colours and normals side by side."""
        return np.concatenate([x for x in (self.points_N3, self.colors_N3, self.normals_N3) if x is not None], 1)


def checked_cloud(points: Any, colors: Any = None, normals: Any = None, *, name: str) -> Cloud:
    """A cloud of numbers that make sense.

    Args:
        points: (N, 3) numbers. colors: (N, 3) in 0..1 (uint8: 0..255). normals: (N, 3), of any length but 0.
        name: how messages call it.

    Raises:
        InputError: no points, too many, NaN or infinity, all at one place, numbers beyond float32; colours outside of
            0..1; a normal without a direction; numbers of rows that differ.
    """
    points_N3 = rows_of_three(points, "points", name)
    if len(points_N3) == 0:
        raise InputError(f"The {name} has no points; export it again.")
    if len(points_N3) > MOST_POINTS:
        raise InputError(f"The {name} has {len(points_N3)} points, more than {MOST_POINTS}; thin it out first.")
    check_places(points_N3, name)
    single_N3 = points_N3.astype(np.float32)
    if (single_N3 == single_N3[0]).all():
        where = "at one place" if len(points_N3) > 1 else "one point"
        raise InputError(f"The {name} is {where}, which has no shape; it needs two points that differ.")
    return Cloud(
        points_N3=single_N3,
        colors_N3=None if colors is None else _colors(colors, len(points_N3), name),
        normals_N3=None if normals is None else _normals(normals, len(points_N3), name),
        source=name,
    )


def check_places(points_N3: np.ndarray, name: str) -> None:
    """Raise an InputError unless every coordinate is finite and its square fits float32."""
    bad = ~np.isfinite(points_N3).all(1)
    if bad.any():
        raise InputError(
            f"The {name} has NaN or infinity in {int(bad.sum())} of {len(points_N3)} points, first in number "
            f"{int(bad.argmax())}; remove them, nothing is put in their place."
        )
    largest = float(np.abs(points_N3).max())
    if largest > 1e15:
        raise InputError(f"The {name} has a coordinate of {largest:.3g}, beyond 1e15; is its unit or export right?")


def rows_of_three(values: Any, what: str, name: str) -> np.ndarray:
    """(N, 3) numbers, their type kept.

    Raises:
        InputError: they are not.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"The {what} of the {name} cannot be read: {error}. Give an array (N, 3).") from error
    if array.dtype.kind not in "iuf" or array.ndim != 2 or array.shape[1] != 3:
        raise InputError(
            f"The {what} of the {name} are {array.dtype} of shape {array.shape}; give numbers of shape (N, 3)."
        )
    return array


def _colors(values: Any, count: int, name: str) -> np.ndarray:
    colors_N3 = _as_many(rows_of_three(values, "colors", name), "colours", count, name)
    if colors_N3.dtype == np.uint8:
        return (colors_N3 / 255).astype(np.float32)
    low, high = float(colors_N3.min()), float(colors_N3.max())
    if not (low >= 0 and high <= 1):  # also NaN
        raise InputError(
            f"The {name} has colours from {low:g} to {high:g}; they are numbers in 0..1, or uint8. For numbers in "
            "0..255 tell the loader color_max=255."
        )
    return colors_N3.astype(np.float32)


def _normals(values: Any, count: int, name: str) -> np.ndarray:
    normals_N3 = _as_many(rows_of_three(values, "normals", name), "normals", count, name).astype(np.float64)
    length_N1 = np.linalg.norm(normals_N3, axis=1, keepdims=True)
    bad = ~(np.isfinite(length_N1[:, 0]) & (length_N1[:, 0] > 1e-6))
    if bad.any():
        raise InputError(
            f"The {name} has {int(bad.sum())} normals without a direction, first in number {int(bad.argmax())}; "
            "estimate them again, or read it without normals."
        )
    return (normals_N3 / length_N1).astype(np.float32)


def _as_many(values_N3: np.ndarray, what: str, count: int, name: str) -> np.ndarray:
    if len(values_N3) != count:
        raise InputError(f"The {name} has {count} points, but {len(values_N3)} {what}.")
    return values_N3
