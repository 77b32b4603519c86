"""Draws what was found: boxes with names and scores, masks in colour."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from omni.errors import InputError
from omni_plugin_detection.head import Detections
from omni_plugin_image.io import load

_GOLDEN = 0.61803398875  # hues a golden section apart differ however many there are


def colour(number: int) -> tuple[int, int, int]:
    """A label's RGB."""
    red, green, blue = colorsys.hsv_to_rgb((0.02 + number * _GOLDEN) % 1.0, 0.85, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw(
    picture: Any, found: Detections | None = None, *, labels: Sequence[str] = (), masks_NHW: np.ndarray | None = None,
    least: float = 0.0, path: str | Path | None = None,
) -> Image.Image:  # fmt: skip
    """The picture with boxes, names and scores over it.

    Args:
        picture: whatever the picture plugin's loader reads.
        found: boxes in its pixels. labels: names by number; others are written as numbers.
        masks_NHW: bool, of the picture's size, half transparent, coloured by their number.
        least: detections below this score are not drawn.
        path: where to write a PNG; None = nowhere.

    Raises:
        InputError: masks of another size.
    """
    made = load(picture).convert("RGB")
    if masks_NHW is not None:
        if masks_NHW.shape[1:] != (made.height, made.width):
            raise InputError(
                f"overlay: masks of {masks_NHW.shape[1:]} do not fit a picture of {made.height} x {made.width}."
            )
        pixels = np.array(made)
        for number, mask_HW in enumerate(masks_NHW):
            pixels[mask_HW] = pixels[mask_HW] // 2 + np.asarray(colour(number), np.uint8) // 2
        made = Image.fromarray(pixels)
    brush = ImageDraw.Draw(made)
    size = max(9, min(made.size) // 28)
    font, line = ImageFont.load_default(size), max(1, min(made.size) // 160)
    boxes = [] if found is None else [
        row for row in zip(found.boxes_N4.tolist(), found.scores_N.tolist(), found.labels_N.tolist(), strict=True)
        if row[1] >= least
    ]  # fmt: skip
    for (x0, y0, x1, y1), score, label in reversed(boxes):  # the best on top
        ink = colour(max(label, 0))
        brush.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=ink, width=line)
        name = labels[label] if 0 <= label < len(labels) else ("thing" if label < 0 else str(label))
        text = f"{name} {score:.2f}"
        place = (max(0, min(x0, made.width - brush.textlength(text, font=font))), max(0, y0 - size - 2))
        brush.rectangle(brush.textbbox(place, text, font=font), fill=ink)
        brush.text(place, text, fill="white" if sum(ink) < 400 else "black", font=font)
    if path is not None:
        made.save(path, format="PNG")
    return made
