"""Plain WAV files straight from their bytes: no decoder is needed where the samples lie open in the file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from mmap import mmap

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
PRODUCT_BLOCK = 1 << 12  # small enough for one thread in any BLAS: the loader's callers have threads of their own


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


def parse(data: bytes | mmap, name: str) -> Layout | None:
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


def _with_samples(header: bytes | None, data: bytes | mmap, start: int, size: int, name: str) -> Layout | None:
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


def mono(data: bytes | mmap, layout: Layout) -> np.ndarray:
    """The mean of all channels, (frames,) float32, a copy; integers are divided by their full range."""
    samples = np.empty(layout.frames, np.float32)
    if layout.kind == "<f4" and layout.channels > 1:
        return _mean_by_product(data, layout, samples)
    channels = [_channel(data, layout, number) for number in range(layout.channels)]
    scale = np.float32(1 / (FULL_SCALE[layout.kind] * layout.channels))
    middle = np.float32(128 * layout.channels if layout.kind == "u1" else 0)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by the loader
        for start in range(0, layout.frames, BLOCK):  # a block stays in the cache through all steps
            block = slice(start, start + BLOCK)
            total = samples[block]
            total[:] = _numbers(channels[0][block], layout)
            for channel in channels[1:]:
                np.add(total, _numbers(channel[block], layout), out=total, casting="unsafe")
            if middle:
                total -= middle
            if scale != 1.0:
                total *= scale
    return samples


def _mean_by_product(data: bytes | mmap, layout: Layout, samples: np.ndarray) -> np.ndarray:
    """Floats need no conversion, and a product reads interleaved channels in one pass."""
    size, parts = layout.frames * layout.channels, np.full(layout.channels, 1 / layout.channels, np.float32)
    frames_TC = np.frombuffer(data, layout.kind, size, layout.start).reshape(layout.frames, layout.channels)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, layout.frames, PRODUCT_BLOCK):
            block = slice(start, start + PRODUCT_BLOCK)
            np.matmul(frames_TC[block], parts, out=samples[block])
    return samples


def _channel(data: bytes | mmap, layout: Layout, number: int) -> np.ndarray:
    """A view of every sample of one channel; of 24 bits the 32 bits that end where the sample ends."""
    if layout.kind == "<i3":
        first = layout.start + 3 * number - 1
        return np.ndarray((layout.frames,), "<i4", buffer=data, offset=first, strides=(3 * layout.channels,))
    every = np.frombuffer(data, layout.kind, layout.frames * layout.channels, layout.start)
    return every[number :: layout.channels]


def _numbers(samples: np.ndarray, layout: Layout) -> np.ndarray:
    """Samples without the lowest eight bits that belong to the neighbour of a 24-bit one."""
    return samples & -256 if layout.kind == "<i3" else samples
