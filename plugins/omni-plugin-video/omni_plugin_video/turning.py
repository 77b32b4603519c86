"""Whether a file may hold turned pictures, told from its headers: then no frame has to be decoded to find out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

UNTURNED = (1 << 16, 0, 0, 1 << 16)
MATRIX_PLACE = {0: 40, 1: 52}  # within a track header's contents, by its version
PROJECTION = b"\x76\x70"  # an element of Matroska
HEAD_BYTES = 1 << 16
MOST_INDEX = 1 << 28


def may_be_turned(file: BinaryIO, family: str) -> bool:
    """False only where the headers say that every track is upright.

    Args:
        file: the film, open.
        family: its container, "mov" or "matroska", ...
    """
    if family in ("avi", "gif"):
        return False
    file.seek(0)
    if family == "matroska":
        return PROJECTION in file.read(HEAD_BYTES)
    if family != "mov":
        return True
    index = _index(file)
    matrices = list(_matrices(index)) if index else []
    return not matrices or any(matrix != UNTURNED for matrix in matrices)


def _index(file: BinaryIO) -> bytes:
    """The contents of the box moov."""
    while len(header := file.read(8)) == 8:
        length, kind, read = int.from_bytes(header[:4], "big"), header[4:], 8
        if length == 1:
            length, read = int.from_bytes(file.read(8), "big"), 16
        if kind == b"moov":
            return file.read(min(length - read, MOST_INDEX)) if length > read else b""
        if length < read:
            break
        file.seek(length - read, 1)
    return b""


def _matrices(data: bytes) -> Iterator[tuple[int, ...]]:
    """a, b, c, d of each track's matrix (ISO 14496-12, 8.3.2)."""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind != b"trak":
            continue
        for inner, first, last in _boxes(data, start, end):
            if inner == b"tkhd" and first < last:
                place = first + MATRIX_PLACE.get(data[first], 52)
                if place + 20 <= last:
                    a, b, _, c, d = struct.unpack_from(">5i", data, place)
                    yield a, b, c, d


def _boxes(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while place + 8 <= end:
        length = int.from_bytes(data[place : place + 4], "big")
        if length < 8 or place + length > end:
            return
        yield data[place + 4 : place + 8], place + 8, place + length
        place += length
