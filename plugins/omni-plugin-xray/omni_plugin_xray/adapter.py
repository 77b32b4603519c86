"""Radiographs -> tokens: the patches, positions and bias of pictures, with one channel."""

from __future__ import annotations

from omni_plugin_image.adapter import ImageAdapter


class XrayAdapter(ImageAdapter):
    """ImageAdapter, with its arguments, and a stem of one channel; inputs are ``pixels_BCHW`` (B, 1, H, W) and, where
    sizes differ, ``sizes_B2``.

    A radiograph of 1024 pixels a side is 4,097 tokens of patches of 16; the bias between all of them is then large
    (67 MB for each head, float32): take ``patch_size=32, stem="patch"`` or ``relative_bias="none"`` for such sizes.
    """

    channels = 1
