"""Shape space: the cube from -1 to 1, in which the longest side of a shape's bounding box is 1.8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omni.errors import InputError

FILL = 0.9  # half of the longest side: the rest is air, so that surfaces close inside the cube
SIDE = 2 * FILL


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a shape stands in its own unit.

    Attributes:
        center_3: middle of the bounding box.
        half: half of the longest side.
    """

    center_3: tuple[float, float, float]
    half: float

    def into(self, points_N3: np.ndarray) -> np.ndarray:
        """The shape's own unit -> shape space, float64."""
        return (np.asarray(points_N3, np.float64) - np.asarray(self.center_3)) * (FILL / self.half)

    def out_of(self, points_N3: np.ndarray) -> np.ndarray:
        """Shape space -> the shape's own unit, float64."""
        return np.asarray(points_N3, np.float64) * (self.half / FILL) + np.asarray(self.center_3)

    def to_list(self) -> list[float]:
        """[x, y, z, half] for JSON."""
        return [*self.center_3, self.half]

    @classmethod
    def from_list(cls, values: list[float]) -> Frame:
        """From the JSON form."""
        x, y, z, half = map(float, values)
        return cls(center_3=(x, y, z), half=half)


def frame_of(points_N3: np.ndarray, *, name: str = "shape") -> Frame:
    """The frame of a shape's corners or points.

    Raises:
        InputError: no points, NaN or infinity, or all at one place.
    """
    points = np.asarray(points_N3, np.float64)
    if points.ndim != 2 or points.shape[1:] != (3,) or not len(points) or not np.isfinite(points).all():
        raise InputError(f"The {name} has points of shape {points.shape}; a frame needs finite (N, 3), N above 0.")
    low, high = points.min(0), points.max(0)
    half = float((high - low).max() / 2)
    if not half > 0:
        raise InputError(f"The {name} is one point, which has no size; it needs two points that differ.")
    x, y, z = ((low + high) / 2).tolist()
    return Frame(center_3=(x, y, z), half=half)
