"""Augmentations of films by name: those of pictures, alike in all frames of a film."""

from __future__ import annotations

from omni_plugin_image.augmentations import ImageColor, ImageErase, ImageFlip

FRAMES = "pixels_TCHW"


class VideoFlip(ImageFlip):
    """Mirrors whole films."""

    key = FRAMES


class VideoErase(ImageErase):
    """Fills one rectangle with the mean colour, the same in every frame."""

    key = FRAMES


class VideoColor(ImageColor):
    """Brightness, contrast and saturation, the same in every frame."""

    key = FRAMES
