"""From stored pixel values to grey levels for the eye: the window, the polarity, 16 bits (DICOM PS3.3 C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from omni.errors import InputError

WHITE = 65535
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window on the values after rescaling.

    Attributes:
        center, width: in the units of the rescaled values.
        function: "LINEAR" (its ends lie half a value inside), "LINEAR_EXACT" or "SIGMOID".
    """

    center: float
    width: float
    function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] = "LINEAR"

    def problem(self) -> str:
        """Why it cannot be applied, "" if it can."""
        if not (np.isfinite(self.center) and np.isfinite(self.width)):
            return "is not a finite number"
        least = 1.0 if self.function == "LINEAR" else 0.0
        if self.width < least or self.width == 0:
            return f"has the width {self.width:g}"
        return ""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values of any shape -> float64 in 0..1 (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
        values = np.asarray(values, np.float64)
        if self.function == "SIGMOID":
            return 1 / (1 + np.exp(np.clip(-4 * (values - self.center) / self.width, -700, 700)))
        if self.function == "LINEAR_EXACT":
            return np.clip((values - self.center) / self.width + 0.5, 0, 1)
        if self.width == 1:
            return (values > self.center - 0.5).astype(np.float64)
        return np.clip((values - (self.center - 0.5)) / (self.width - 1) + 0.5, 0, 1)


def range_window(values: np.ndarray, percent: float, name: str) -> Window:
    """The window from the lowest value to the highest, leaving ``percent`` of the values out at either end.

    Raises:
        InputError: all values are the same.
    """
    low, high = (float(end) for end in np.percentile(values, (percent, 100 - percent)))
    if not low < high:
        raise InputError(f"The {name} is blank: its pixels have one value. Leave it out of the data.")
    return Window(center=(low + high) / 2, width=high - low, function="LINEAR_EXACT")


def to_levels(shown: np.ndarray, *, invert: bool, padding: np.ndarray | None, name: str) -> np.ndarray:
    """0..1 -> uint16 of 0..65535.

    Args:
        shown: (H, W) float in 0..1, after the window.
        invert: 0 is white in the file.
        padding: (H, W) bool, pixels outside the picture, which become black; None = none.
        name: of the file, for messages.

    Raises:
        InputError: a single grey level is left.
    """
    levels = np.rint((1 - shown if invert else shown) * WHITE).astype(np.uint16)
    inside = levels if padding is None else levels[~padding]
    if inside.size == 0 or inside.min() == inside.max():
        raise InputError(
            f"The {name} has one grey level after its window: blank, or the window does not fit its values. "
            'Look at it, or give the loader window="minmax".'
        )
    if padding is not None:
        levels[padding] = 0
    return np.ascontiguousarray(levels)
