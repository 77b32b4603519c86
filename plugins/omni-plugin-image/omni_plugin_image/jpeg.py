"""The fast way through a JPEG: libjpeg-turbo into one array, scaled in the DCT where much smaller is enough."""

from __future__ import annotations

import numpy as np

from omni.errors import InputError

try:
    import simplejpeg
except ImportError:  # no wheel for this machine: Pillow decodes everything, to the same pixels
    simplejpeg = None

HARMLESS = "extraneous bytes before marker"
DAMAGE = ("Premature end", "Corrupt JPEG data", "Unexpected end", "Bogus", "Invalid")


def decode(data: bytes, name: str, *, size: tuple[int, int], shrink: int) -> np.ndarray | None:
    """RGB pixels of a YCbCr or grey JPEG, not yet turned upright. Releases the interpreter lock.

    Args:
        data: the file.
        name: what messages call it.
        size: (width, height) of its header.
        shrink: 1, 2, 4 or 8: each side is divided by it, rounded up.

    Returns:
        (height, width, 3) uint8, writable; the pixels are those of Pillow's full or draft decode. None where this
        decoder is absent or does not know the kind of file, so that Pillow shall try.

    Raises:
        InputError: the compressed data are damaged or end early.
    """
    if simplejpeg is None:
        return None
    width, height = size
    scale = {"min_height": -(-height // shrink), "min_width": -(-width // shrink), "min_factor": shrink}
    try:
        return simplejpeg.decode_jpeg(data, "RGB", **(scale if shrink > 1 else {}))
    except ValueError as error:
        message = str(error)
        if HARMLESS not in message and any(word in message for word in DAMAGE):
            raise InputError(f"The {name} is damaged or truncated: {message}. Save or copy it again.") from error
        return None


def shrink_for(size: tuple[int, int], at_least: int | None) -> int:
    """The largest of 8, 4, 2 that divides both sides (a rounded side would shift the picture by part of a pixel) and
    leaves them at least twice ``at_least``; or 1."""
    if not at_least:
        return 1
    fits = (factor for factor in (8, 4, 2) if not any(side % factor for side in size))
    return next((factor for factor in fits if min(size) // factor >= 2 * at_least), 1)


def turn_upright(pixels_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels as EXIF orientation 1 to 8 says they are to be seen; any other number changes nothing."""
    if orientation in (5, 6, 7, 8):
        pixels_HWC = pixels_HWC.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels_HWC = pixels_HWC[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels_HWC = pixels_HWC[::-1]
    return np.ascontiguousarray(pixels_HWC)
