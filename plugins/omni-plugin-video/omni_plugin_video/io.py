"""Reads films: files, their bytes, parts of them, and arrays of frames with their rate."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omni.errors import InputError
from omni_plugin_video.clip import Clip, Film, FilmFile
from omni_plugin_video.decoding import BACKENDS
from omni_plugin_video.pictures import FrameFilm, FrameFolder
from omni_plugin_video.probe import MAX_PIXELS, probe
from omni_plugin_video.source import describe, open_source

CHANNELS = (1, 3)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a film.

    Attributes:
        path: of the file.
        start, end: seconds from the start of the file; None = from the first frame, up to the last.
    """

    path: Path
    start: float | None = None
    end: float | None = None


def load(
    value: Any,
    *,
    start: float | None = None,
    end: float | None = None,
    backend: str = "auto",
    num_threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Film:
    """A film whose index is read and whose frames are decoded later, when a transform has chosen them.

    Rotation that the file tells is applied. Frames keep their stored size: pixels that are not square stay so.

    Args:
        value: a path or the bytes of a file; a Part; a FrameFolder; ``(frames, fps)`` or ``{"frames": ..., "fps":
            ...}`` with frames of (T, height, width, channels) or (T, channels, height, width), uint8 or float in 0..1,
            1 or 3 channels; or a Film. Bare frames are refused, since their rate cannot be known.
        start, end: take only this part, seconds; those of a Part win.
        backend: "auto", "decord" or "pyav" (see omni_plugin_video.decoding).
        num_threads: of the decoder, 0 = its own choice; None = 1 within a worker of a DataLoader, else 0.
        max_pixels: of one frame; larger ones are refused before they are decoded.

    Raises:
        InputError: missing, empty, damaged, truncated or unknown file; no video stream; no frames; frames without a
            rate or of an ambiguous shape.
    """
    if backend not in BACKENDS:
        raise InputError(f"The video loader's backend is one of {', '.join(BACKENDS)}, not {backend!r}.")
    if isinstance(value, Film):
        return value
    if isinstance(value, Part):
        start, end = value.start if value.start is not None else start, value.end if value.end is not None else end
        value = value.path
    _check_window(start, end, value)
    if isinstance(value, FrameFolder):
        film = FrameFilm(value, max_pixels=max_pixels)
        film.window = (start, end)
        return film
    if isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview)):
        source = open_source(value)
        threads = _threads() if num_threads is None else num_threads
        found = probe(source, max_pixels=max_pixels)
        return FilmFile(source, found, window=(start, end), backend=backend, num_threads=threads)
    clip = _from_frames(*_with_rate(value))
    clip.window = (start, end)
    return clip


def sample(variant: str = "typical") -> Clip:
    """A small film made by a formula: "typical" 8 frames of 32 x 32, "minimum" 1 frame of 1 x 1, "other" 5 frames of
    24 x 48 with other content."""
    sizes = {"typical": (8, 32, 32, 1), "minimum": (1, 1, 1, 2), "other": (5, 24, 48, 5)}
    if variant not in sizes:
        raise InputError(f"Unknown sample {variant!r}; there are {', '.join(sizes)}.")
    count, height, width, seed = sizes[variant]
    t, y, x = np.mgrid[0:count, 0:height, 0:width]
    waves = [np.sin((x + 2 * t) * (0.3 + 0.1 * c) * seed / 3 + (y - t) * 0.2 + seed + c) for c in range(3)]
    frames = (np.stack(waves, -1) * 127 + 128).astype(np.uint8)
    return Clip(frames_THWC=frames, times_T=np.arange(count) / 8, end=count / 8, source=f"sample {variant!r}")


def _threads() -> int:
    from torch.utils.data import get_worker_info

    return 0 if get_worker_info() is None else 1


def _check_window(start: float | None, end: float | None, value: Any) -> None:
    for bound in (start, end):
        if bound is not None and not (isinstance(bound, (int, float)) and math.isfinite(bound)):
            raise InputError(f"A part of the {describe(value)} is told in seconds, not by {bound!r}.")
    if start is not None and end is not None and not start < end:
        raise InputError(f"The part of the {describe(value)} starts at {start} s and ends at {end} s; swap them.")


def _with_rate(value: Any) -> tuple[Any, float]:
    if isinstance(value, Mapping):
        if set(value) != {"frames", "fps"}:
            raise InputError(
                f'A video given as a dictionary has the keys "frames" and "fps", not {sorted(map(str, value))}.'
            )
        frames, rate = value["frames"], value["fps"]
    elif isinstance(value, tuple) and len(value) == 2:
        frames, rate = value
    else:
        raise InputError(
            f"A {describe(value)} has no frame rate; give (frames, fps), "
            '{"frames": ..., "fps": ...}, a path or the bytes of a file.'
        )
    number = isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool)
    if not number or not 0 < float(rate) <= 100_000:
        raise InputError(f"The frame rate of a video must be a number above 0, not {rate!r}.")
    return frames, float(rate)


def _from_frames(frames: Any, rate: float) -> Clip:
    name = describe(frames)
    if isinstance(frames, (list, tuple)) and len({np.shape(frame) for frame in frames}) > 1:
        raise InputError("The frames of a video have different sizes; make them equal.")
    values = frames.detach().cpu() if hasattr(frames, "detach") else frames
    if str(getattr(values, "dtype", "")) in ("torch.bfloat16", "torch.float16"):
        values = values.float()
    values = np.asarray(values)
    if values.ndim != 4 or values.size == 0:
        raise InputError(f"The {name} must have the shape (T, height, width, channels), with at least one frame.")
    first, last = values.shape[1] in CHANNELS, values.shape[3] in CHANNELS
    if first == last:
        cause = "could have its channels first or last" if first else "has no axis of 1 or 3 channels"
        raise InputError(f"The {name} {cause}; give (T, height, width, 3).")
    values = values if last else values.transpose(0, 2, 3, 1)
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0.0 and high <= 1.0):  # NaN fails too
            raise InputError(f"The {name} holds floats from {low:g} to {high:g}; they must lie in 0..1.")
        values = np.round(values.astype(np.float64) * 255).astype(np.uint8)
    if values.dtype != np.uint8:
        raise InputError(f"The {name} has dtype {values.dtype}; give uint8 in 0..255 or floats in 0..1.")
    values = np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:3], 3)))
    return Clip(frames_THWC=values, times_T=np.arange(len(values)) / rate, end=len(values) / rate, source=name)
