"""Animated pictures as films: WebP, GIF and APNG, their times read from the file's own structure, frames by Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from omni.errors import InputError
from omni_plugin_image.io import load as load_picture
from omni_plugin_video.source import Source

KINDS = ("webp", "gif", "apng")
PNG = b"\x89PNG\r\n\x1a\n"
UNTOLD_MS = 100.0  # of a frame that is said to last 0 ms, as browsers show it
ABOUT_THE_PICTURE = ("exif", "xmp", "XML:com.adobe.xmp")  # told for the file, and not of the frames of a film


def kind_of(source: Source) -> str | None:
    """"webp", "gif" or "apng" by the file's first bytes, else None. A PNG without an animation is "apng" too."""
    with source.open() as file:
        start = file.read(12)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    return "gif" if start[:4] == b"GIF8" else "apng" if start[:8] == PNG else None


def read_index(source: Source, kind: str, *, max_pixels: int) -> tuple[np.ndarray, float, int, int]:
    """When each frame is first shown and when the last one ends, seconds; height and width. Nothing is decoded.

    A still WebP or GIF is a film of one frame.

    Args:
        source: the file.
        kind: as ``kind_of`` says.
        max_pixels: of one frame.

    Raises:
        InputError: damaged or cut off, too large, or a PNG that is no animation.
    """
    with source.open() as file:
        data = file.read()
    try:
        lasting_ms = {"webp": _webp, "gif": _gif, "apng": _apng}[kind](data)
    except (IndexError, ValueError) as error:
        raise InputError(f"The {source.name} is damaged or cut off: {error}. Copy it again.") from error
    if not lasting_ms:
        if kind == "apng":
            raise InputError(f"The {source.name} is a still picture, no animation; give it to a slot of pictures.")
        raise InputError(f"The {source.name} holds no frame; it is damaged or cut off. Copy it again.")
    with _open(source) as image:
        width, height = image.size
    if width * height > max_pixels:
        raise InputError(
            f"The {source.name} has frames of {width} x {height} pixels, more than {max_pixels}; make it smaller, or "
            "raise the loader's max_pixels if the file can be trusted."
        )
    ends = np.cumsum([each or UNTOLD_MS for each in lasting_ms]) / 1000
    return np.concatenate([[0.0], ends[:-1]]), float(ends[-1]), height, width


def frames(source: Source, indices: np.ndarray, *, count: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The frames of increasing ``indices``, (height, width, 3) uint8 RGB, transparent pixels on white.

    Args:
        source: the file.
        indices: from 0.
        count: frames of the whole.
        size: (height, width).

    Raises:
        InputError: a frame cannot be decoded.
    """
    with _open(source) as image:
        skipped = int(bool(getattr(image, "default_image", False)))  # a PNG's still picture may not belong to the film
        for index in indices.tolist():
            try:
                image.seek(index + skipped)
                picture = image.copy()
            except Exception as error:  # Pillow's decoders raise many types on damaged data
                raise InputError(
                    f"Frame {index} of {count} of the {source.name} cannot be decoded ({_told(error)}); the file is "
                    "damaged there. Copy it again."
                ) from error
            for name in ABOUT_THE_PICTURE:
                picture.info.pop(name, None)
            made = load_picture(picture, max_pixels=size[0] * size[1], form="array").pixels_HWC
            yield made


def _open(source: Source) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels refuses it
            return Image.open(source.handle(), formats=("WEBP", "GIF", "PNG"))
    except Exception as error:
        raise InputError(f"The {source.name} is damaged ({_told(error)}). Copy it again.") from error


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def _webp(data: bytes) -> list[float]:
    """Milliseconds of each frame (RIFF chunks ANMF; developers.google.com/speed/webp/docs/riff_container)."""
    found, still, place = [], False, 12
    end = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while place + 8 <= end:
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if place + 8 + size > len(data):
            raise ValueError(f"a chunk of {size} bytes begins at byte {place} of {len(data)}")
        if kind == b"ANMF":
            found.append(float(int.from_bytes(data[place + 20 : place + 23], "little")))
        still |= kind in (b"VP8 ", b"VP8L")
        place += 8 + size + size % 2
    return found or [0.0] * still


def _apng(data: bytes) -> list[float]:
    """Milliseconds of each frame (chunks fcTL of PNG, third edition)."""
    found, place, animated, kind = [], 8, False, b""
    while kind != b"IEND":
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if len(kind) < 4 or place + 12 + size > len(data):
            raise ValueError(f"it has {len(data)} bytes and no end (IEND)")
        animated |= kind == b"acTL"
        if kind == b"fcTL" and size >= 24:
            over, under = (int.from_bytes(data[place + 8 + at : place + 10 + at], "big") for at in (20, 22))
            found.append(1000 * over / (under or 100))
        place += 12 + size
    return found if animated else []


def _gif(data: bytes) -> list[float]:
    """Milliseconds of each frame (graphic control extensions of GIF89a)."""
    found, lasting, place = [], 0.0, 13 + _colours(data[10])
    while place < len(data) and data[place] != 0x3B:
        if data[place] == 0x21:
            if data[place + 1] == 0xF9 and data[place + 2] >= 4:
                lasting = 10.0 * int.from_bytes(data[place + 4 : place + 6], "little")
            place = _after_blocks(data, place + 2)
        elif data[place] == 0x2C:
            place = _after_blocks(data, place + 10 + _colours(data[place + 9]) + 1)
            found.append(lasting)
            lasting = 0.0
        else:
            raise ValueError(f"byte {place} begins no block")
    return found


def _colours(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    """Where the sub-blocks end that begin here."""
    while size := data[place]:
        place += 1 + size
    return place + 1
