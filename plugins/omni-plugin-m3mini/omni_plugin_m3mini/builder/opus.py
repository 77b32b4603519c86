"""Ogg Opus with reproducible bytes: libsndfile gives every stream a random serial number and padded tags."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np

SAMPLE_RATE = 16_000
_PAGE_HEADER = 27
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def encode_opus(wave_T: np.ndarray, *, compression_level: float) -> bytes:
    """A mono 16 kHz Ogg Opus file, equal bytes for equal input (and equal libopus).

    Args:
        wave_T: float32 (T,) in [-1, 1], 16 kHz.
        compression_level: 0..1 of libsndfile, linear in the bit rate (1 = 6 kbit/s, 0 = 256 kbit/s).
    """
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, wave_T, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=compression_level)
    return canonical_ogg(buffer.getvalue())


def canonical_ogg(data: bytes) -> bytes:
    """The same stream with serial number 1, its comment header cut to the vendor string, and fresh checksums."""
    pages, offset = [], 0
    while offset < len(data):
        if data[offset : offset + 4] != b"OggS":
            raise ValueError(f"no Ogg page at byte {offset}")
        count = data[offset + 26]
        lacing = data[offset + _PAGE_HEADER : offset + _PAGE_HEADER + count]
        start = offset + _PAGE_HEADER + count
        body = data[start : start + sum(lacing)]
        if body.startswith(b"OpusTags"):
            body = _plain_tags(body)
            lacing = bytes([255] * (len(body) // 255) + [len(body) % 255])
        kind, granule = data[offset + 5], data[offset + 6 : offset + 14]
        sequence = data[offset + 18 : offset + 22]
        head = b"OggS\0" + bytes([kind]) + granule + struct.pack("<I", 1) + sequence
        rest = bytes([len(lacing)]) + lacing + body
        pages.append(head + struct.pack("<I", ogg_crc(head + b"\0\0\0\0" + rest)) + rest)
        offset = start + sum(data[offset + _PAGE_HEADER : start])
    return b"".join(pages)


def ogg_crc(data: bytes) -> int:
    """The Ogg checksum (CRC-32, polynomial 0x04c11db7, not reflected, initial value 0) through zlib's reflected one."""
    reflected = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)


def _plain_tags(body: bytes) -> bytes:
    size = struct.unpack_from("<I", body, 8)[0]
    return body[: 12 + size] + struct.pack("<I", 0)
