"""Finds files that were cut off, where the decoder would read them as shorter ones without a word."""

from __future__ import annotations

import os
from mmap import mmap

from omni.errors import InputError

UNKNOWN_SIZE = 2**31  # and more: written to a pipe, where the size was not known
HEADER = 12
OGG_HEADER, OGG_SEGMENTS = 27, 26


def check(data: bytes | mmap, name: str) -> None:
    """Compare what the file says of its size with what it holds.

    Raises:
        InputError: a WAV or AIFF file shorter than its header says, or an Ogg file that ends within a page.
    """
    _check_size(data[:HEADER], len(data), name)
    if data[:4] == b"OggS":
        _check_last_page(data, name)


def check_large(path: str, name: str) -> None:
    """The same for a file of which only the beginning is read; the pages of Ogg are not looked at."""
    with open(path, "rb") as file:
        _check_size(file.read(HEADER), os.path.getsize(path), name)


def _check_size(header: bytes, held: int, name: str) -> None:
    order = {b"RIFF": "little", b"FORM": "big"}.get(header[:4])
    if order is None:
        return
    announced = int.from_bytes(header[4:8], "little" if order == "little" else "big") + 8
    if announced < UNKNOWN_SIZE and announced > held + 1:
        raise InputError(f"The {name} is truncated: it announces {announced} bytes and holds {held}; copy it again.")


def _check_last_page(data: bytes | mmap, name: str) -> None:
    """An Ogg page has a header of 27 bytes, the last of them the number of segments, then a byte of size for each."""
    start = data.rfind(b"OggS")
    sizes = data[start + OGG_HEADER :][: data[start + OGG_SEGMENTS]] if len(data) > start + OGG_SEGMENTS else b""
    missing = len(data) <= start + OGG_SEGMENTS or len(sizes) < data[start + OGG_SEGMENTS]
    if missing or start + OGG_HEADER + len(sizes) + sum(sizes) > len(data):
        raise InputError(f"The {name} is truncated: it ends within a page; copy it again.")
