"""Plain WAV files straight from their bytes: no decoder is needed where the samples lie open in the file."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from omni.errors import InputError

INTEGER, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
KINDS = {
    (INTEGER, 8): "u1", (INTEGER, 16): "<i2", (INTEGER, 24): "<i3", (INTEGER, 32): "<i4",
    (FLOAT, 32): "<f4", (FLOAT, 64): "<f8",
}  # fmt: skip
FULL_SCALE = {"u1": 2.0**7, "<i2": 2.0**15, "<i3": 2.0**31, "<i4": 2.0**31, "<f4": 1.0, "<f8": 1.0}
UNKNOWN_SIZE = 2**31  # and more: written to a pipe, where the size was not known
BLOCK = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the samples of a WAV file are.

    Attributes:
        rate: Hz.
        channels: interleaved.
        kind: a key of FULL_SCALE; "<i3" is 24 bit.
        start: first byte of the samples.
        frames: samples a channel.
    """

    rate: int
    channels: int
    kind: str
    start: int
    frames: int


def parse(data: bytes, name: str) -> Layout | None:
    """Read the header.

    Returns:
        None for what is no little-endian WAV of plain integers or floats (compressed, over 4 GiB, odd headers): such
        files are for libsndfile.

    Raises:
        InputError: the file ends before the samples that it announces.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    layout, place = None, 12
    while place + 8 <= len(data):
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8
        if kind == b"fmt " and size >= 16:
            layout = data[place : place + size]
        elif kind == b"data":
            return _with_samples(layout, data, place, size, name)
        place += size + size % 2
    return None


def _with_samples(header: bytes | None, data: bytes, start: int, size: int, name: str) -> Layout | None:
    if header is None or not size:
        return None
    code, channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", header[:16])
    if code == EXTENSIBLE and len(header) >= 40:
        code = int.from_bytes(header[24:26], "little")
    kind = KINDS.get((code, bits))
    if kind is None or not channels or not rate or frame_bytes != channels * bits // 8:
        return None
    held = len(data) - start
    if size >= UNKNOWN_SIZE:
        size = held
    if size > held:
        raise InputError(f"The {name} is truncated: it announces {size} bytes of samples, not {held}; copy it again.")
    return Layout(rate=rate, channels=channels, kind=kind, start=start, frames=size // frame_bytes)


def mono(data: bytes, layout: Layout) -> np.ndarray:
    """The mean of all channels, (frames,) float32; integers are divided by their full range."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by the loader
        total = _channel(data, layout, 0)
        for number in range(1, layout.channels):
            total += _channel(data, layout, number)
    if layout.kind == "u1":
        total -= np.float32(128 * layout.channels)
    scale = FULL_SCALE[layout.kind] * layout.channels
    if scale != 1.0:
        total *= np.float32(1 / scale)
    return total


def _channel(data: bytes, layout: Layout, number: int) -> np.ndarray:
    """(frames,) float32, a copy, not yet scaled."""
    if layout.kind == "<i3":
        return _channel_of_24_bit(data, layout, number)
    samples = np.frombuffer(data, layout.kind, layout.frames * layout.channels, layout.start)
    return samples[number :: layout.channels].astype(np.float32)


def _channel_of_24_bit(data: bytes, layout: Layout, number: int) -> np.ndarray:
    """Reads 32 bits that end where each sample ends, and clears the lowest eight, which belong to its neighbour."""
    step, first = 3 * layout.channels, layout.start + 3 * number - 1
    words = np.ndarray((layout.frames,), "<i4", buffer=data, offset=first, strides=(step,))
    samples = np.empty(layout.frames, np.float32)
    for start in range(0, layout.frames, BLOCK):
        np.bitwise_and(words[start : start + BLOCK], -256, out=samples[start : start + BLOCK], casting="unsafe")
    return samples
