"""Tiny films made on the spot. Frame i < 32 has the blue level 8 i everywhere and a red top left corner."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BLUE_STEP = 8
RATE = 16_000


def picture(number: int, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    channels = [
        (x * 2 + number * 3) % 128,
        (y * 2 + number * 5) % 128,
        np.full((height, width), number % 32 * BLUE_STEP),
    ]
    made = np.stack(channels, -1).astype(np.uint8)
    made[: height // 3, : width // 3] = (255, 0, number % 32 * BLUE_STEP)
    return made


def write_film(
    path: Path,
    *,
    frames: int = 12,
    height: int = 48,
    width: int = 64,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int = 25,
    milliseconds: Sequence[int] | None = None,
    rotation: int = 0,
    sound: str | None = None,
    volume: float = 0.3,
    first: int = 0,
    pitch: float = 440.0,
    kind: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a film.

    Args:
        path: the file; its ending says the container unless ``kind`` does.
        frames: 0 = no video stream.
        milliseconds: when each frame is shown, for a variable rate.
        rotation: degrees counterclockwise of the display matrix.
        sound: codec of a track of the film's length, a tone of ``pitch`` Hz.
        first: number of the first picture.
    """
    with av.open(str(path), "w", format=kind) as container:
        tick = Fraction(1, 1000) if milliseconds else Fraction(1, rate)
        if frames:
            stream = container.add_stream(codec, rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, pixels
            stream.codec_context.time_base = tick
            stream.codec_context.gop_size = 5
            stream.bit_rate = 4_000_000
            stream.options = options or ({"preset": "ultrafast", "bf": "2"} if codec == "libx264" else {})
            if rotation:
                stream.set_display_rotation(rotation)
        track = None
        if sound:
            track = container.add_stream(sound, rate=RATE)
            track.layout = "mono"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(first + number, height, width), format="rgb24")
            frame.pts, frame.time_base = (milliseconds or range(frames))[number], tick
            container.mux(stream.encode(frame))
        if frames:
            container.mux(stream.encode())
        if track is not None:
            _write_sound(container, track, max(frames, 12) / rate, volume, pitch)
    return path


def _write_sound(
    container: av.container.OutputContainer, track: av.AudioStream, seconds: float, volume: float, pitch: float
) -> None:
    time = np.arange(int(RATE * seconds)) / RATE
    wave = (volume * np.sin(2 * np.pi * pitch * time)).astype(np.float32)
    for start in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        frame.rate, frame.pts = RATE, start
        frame.time_base = Fraction(1, RATE)
        container.mux(track.encode(frame))
    container.mux(track.encode())


def numbers(frames_THWC: np.ndarray) -> list[int]:
    """Which frames these are, read from the blue level."""
    return np.round(frames_THWC[..., 2].mean((1, 2)) / BLUE_STEP).astype(int).tolist()


def all_frames(film, indices: Sequence[int] | None = None) -> np.ndarray:
    wanted = np.arange(len(film)) if indices is None else np.asarray(indices)
    return np.concatenate(list(film.blocks(wanted)))
