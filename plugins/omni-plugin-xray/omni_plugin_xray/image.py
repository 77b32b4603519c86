"""The raw value of the modality: a radiograph as it is to be shown, in 16 bits, and what may be told about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class XrayImage:
    """A radiograph, windowed and with bone bright.

    Attributes:
        levels_HW: (height, width) uint16, contiguous; 0 is black, 65535 white.
        meta: facts from fixed vocabularies and numbers only, no free text of the file (omni_plugin_xray.metadata).
        pixel_aspect: height of a pixel divided by its width.
        source: what error messages call it.
        identifiers: of patient, study and picture, only if the loader was asked for them; not in the repr.
    """

    levels_HW: np.ndarray = field(repr=False)
    meta: Mapping[str, Any] = field(default_factory=dict)
    pixel_aspect: float = 1.0
    source: str = "radiograph"
    identifiers: Mapping[str, str] | None = field(default=None, repr=False)

    def preview(self) -> Any:
        """The radiograph as a grey picture of Pillow, in 8 bits: for looking at only."""
        from PIL import Image

        return Image.fromarray((self.levels_HW >> 8).astype(np.uint8))
