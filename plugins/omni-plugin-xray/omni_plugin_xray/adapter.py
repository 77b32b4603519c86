"""Radiographs -> tokens: the patches, positions and bias of pictures, with one channel."""

from __future__ import annotations

from collections.abc import Sequence

from omni_plugin_image.adapter import ImageAdapter


class XrayAdapter(ImageAdapter):
    """The image adapter of ONE-PEACE (2023) with a stem of one channel; inputs are ``pixels_BCHW`` of shape
    (B, 1, H, W) and, where sizes differ, ``sizes_B2``.

    A radiograph of 1024 pixels a side is 4,097 tokens of patches of 16; the bias between all of them is then large
    (67 MB for each head, float32): take ``patch_size=32, stem="patch"`` or ``relative_bias="none"`` for such sizes.

    Args:
        modality, width, num_heads, num_layers, stem, patch_size, relative_bias, parity: as in ImageAdapter.
        image_size: side or (height, width) that the position tables are made for; other sizes read them by
            interpolation.

    Raises:
        ConfigError: a size that is no multiple of the patch size, an unknown stem or bias.
    """

    def __init__(
        self,
        *,
        modality: str = "xray",
        width: int,
        num_heads: int,
        num_layers: int,
        stem: str = "hmlp",
        patch_size: int = 16,
        image_size: int | Sequence[int] = 224,
        relative_bias: str = "shared",
        parity: str = "default",
    ) -> None:
        super().__init__(
            modality=modality,
            width=width,
            num_heads=num_heads,
            num_layers=num_layers,
            stem=stem,
            patch_size=patch_size,
            image_size=image_size,
            relative_bias=relative_bias,
            parity=parity,
            channels=1,
        )
