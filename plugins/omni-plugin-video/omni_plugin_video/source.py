"""Where a film's bytes come from, and what can be told of a file before it is decoded."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from omni.errors import InputError

UNKNOWN_SIZE = 2**31
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"sidx", b"uuid", b"pnot", b"meta"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file or its bytes.

    Attributes:
        data: the path, or the bytes.
        name: what error messages call it.
    """

    data: str | bytes
    name: str

    def handle(self) -> str | BinaryIO:
        """What decoders open."""
        return self.data if isinstance(self.data, str) else io.BytesIO(self.data)

    def open(self) -> BinaryIO:
        """The bytes, to be read and closed."""
        return open(self.data, "rb") if isinstance(self.data, str) else io.BytesIO(self.data)


def describe(value: object) -> str:
    """How error messages call a value."""
    if isinstance(value, (str, os.PathLike)):
        return f"video {os.fspath(value)!r}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"video of {len(value)} bytes"
    shape = getattr(value, "shape", None)
    return f"video array of shape {tuple(shape)}" if shape is not None else f"video ({type(value).__name__})"


def open_source(value: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Source:
    """Check a path or bytes: there, readable, not empty, not cut off.

    A file says its own size in MP4, MOV (boxes), AVI (RIFF) and Matroska, WebM (segment); that is compared with what
    it holds. Other kinds (transport streams, GIF) cannot be told from shorter ones.

    Raises:
        InputError: a missing, unreadable, empty or truncated file; an address; a folder.
    """
    name = describe(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        source = Source(data=bytes(value), name=name)
        _check(io.BytesIO(source.data), len(source.data), name)
        return source
    path = os.fspath(value)
    if "://" in path[:12]:
        raise InputError(f"The {name} is an address, not a file; download it first and give its path or bytes.")
    try:
        if not Path(path).is_file():
            cause = "is not a regular file" if Path(path).exists() else "does not exist; check the path"
            raise InputError(f"The {name} {cause}.")
        with open(path, "rb") as file:
            _check(file, os.fstat(file.fileno()).st_size, name)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"The {name} cannot be read: {error}.") from error
    return Source(data=path, name=name)


def _check(file: BinaryIO, size: int, name: str) -> None:
    if size == 0:
        raise InputError(f"The {name} is empty (0 bytes); save it again.")
    start = file.read(64)
    if start[:4] == b"RIFF":
        _within(int.from_bytes(start[4:8], "little") + 8, size, name)
    elif start[:4] == EBML:
        _check_matroska(file, size, name)
    elif start[4:8] in BOXES:
        _check_boxes(file, size, name)


def _within(announced: int, size: int, name: str) -> None:
    if announced > size + 1:
        raise InputError(f"The {name} is truncated: it announces {announced} bytes and holds {size}; copy it again.")


def _check_boxes(file: BinaryIO, size: int, name: str) -> None:
    """MP4: boxes of four bytes of size and four of kind, up to the end of the file."""
    place, seen = 0, set()
    while place + 8 <= size:
        file.seek(place)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        seen.add(kind)
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length == 0:  # up to the end
            break
        if length < 8 or (place and not kind.isascii()):
            break  # what follows the boxes does no harm
        _within(place + length, size, name)
        place += length
    if b"moov" not in seen:
        raise InputError(
            f"The {name} has no index (moov), so nothing in it can be found; its recording was broken off, or the end "
            "is missing. Copy it again."
        )


def _check_matroska(file: BinaryIO, size: int, name: str) -> None:
    """Matroska: an EBML header, then one segment with its size."""
    file.seek(4)
    length, width = _vint(file.read(8))
    file.seek(4 + width + (length or 0))
    head = file.read(12)
    if head[:4] != SEGMENT:
        return
    announced, bytes_of_size = _vint(head[4:])
    if announced is not None:  # live streams do not know it
        _within(4 + width + (length or 0) + 4 + bytes_of_size + announced, size, name)


def _vint(data: bytes) -> tuple[int | None, int]:
    """A number of EBML and how many bytes it takes; None where all its bits are set: unknown."""
    if not data or data[0] == 0:
        return None, 1
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width
