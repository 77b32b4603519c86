"""From the picture that the model sees back to the pixels of the original: the inverse of resizing and cropping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from omni.errors import ConfigError

LONGEST_STRIP = 8  # of image_basic: a longer strip loses its far ends before it is cropped


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Which part of an original the model sees: left, top, width, height in pixels of the original."""

    left: float
    top: float
    width: float
    height: float

    def to_pixels(self, fractions_N4: Tensor) -> Tensor:
        """(N, 4) x0, y0, x1, y1 as fractions of what the model sees -> pixels of the original."""
        scale = torch.tensor([self.width, self.height] * 2, dtype=fractions_N4.dtype, device=fractions_N4.device)
        shift = torch.tensor([self.left, self.top] * 2, dtype=fractions_N4.dtype, device=fractions_N4.device)
        return fractions_N4 * scale + shift

    def to_fractions(self, pixels_N4: Tensor) -> Tensor:
        """The inverse of ``to_pixels``."""
        scale = torch.tensor([self.width, self.height] * 2, dtype=pixels_N4.dtype, device=pixels_N4.device)
        shift = torch.tensor([self.left, self.top] * 2, dtype=pixels_N4.dtype, device=pixels_N4.device)
        return (pixels_N4 - shift) / scale


def frame_of(transform: Any, height: int, width: int) -> Frame:
    """What ``image_basic`` shows of an original outside of training.

    Modes "squash" and "keep" show all of it, "crop" the middle.

    Args:
        transform: of the slot. height, width: of the original, pixels.

    Raises:
        ConfigError: a transform of which this is not known.
    """
    mode, size = getattr(transform, "mode", None), getattr(transform, "size", None)
    if mode in ("squash", "keep"):
        return Frame(left=0.0, top=0.0, width=float(width), height=float(height))
    if mode != "crop" or size is None:
        raise ConfigError(
            f"What the transform {type(transform).__name__} shows of a picture is not known, so boxes cannot be "
            "brought back into its pixels. Use image_basic for the slot of the detection head."
        )
    tall, wide = size
    longest_tall, longest_wide = -(-LONGEST_STRIP * tall * width // wide), -(-LONGEST_STRIP * wide * height // tall)
    cut_top, cut_left = max(0, (height - longest_tall) // 2), max(0, (width - longest_wide) // 2)
    inner_tall, inner_wide = height - 2 * cut_top, width - 2 * cut_left
    if tall * inner_wide >= wide * inner_tall:
        new_tall, new_wide = tall, max(wide, tall * inner_wide // inner_tall)
    else:
        new_tall, new_wide = max(tall, wide * inner_tall // inner_wide), wide
    top, left = round((new_tall - tall) / 2), round((new_wide - wide) / 2)
    across, down = inner_wide / new_wide, inner_tall / new_tall
    return Frame(left=cut_left + left * across, top=cut_top + top * down, width=wide * across, height=tall * down)
