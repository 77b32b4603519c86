"""Writes small MP4 files (H.264, AAC stereo) and reads whole films small."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np

from omni.errors import InputError

RATE = 16_000  # Hz of the sound
_BLOCK = 1024  # samples of an AAC frame


def write_mp4(frames_THWC: np.ndarray, fps: int, sound_CT: np.ndarray | None) -> bytes:
    """An MP4 file.

    Args:
        frames_THWC: uint8 RGB, even sides.
        fps: frames a second.
        sound_CT: float32 (2, samples) in -1..1, 16 kHz; None = the file has no sound track.
    """
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames_THWC.shape[1:3], "yuv420p"
        stream.codec_context.thread_count = 1  # the same bytes whatever the machine
        stream.options = {"preset": "veryfast", "crf": "23"}
        track = None
        if sound_CT is not None:
            track = container.add_stream("aac", rate=RATE)
            track.layout, track.bit_rate = "stereo", 48_000
        for number, picture in enumerate(frames_THWC):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track is not None and sound_CT is not None:
            for start in range(0, sound_CT.shape[1], _BLOCK):
                block = np.ascontiguousarray(sound_CT[:, start : start + _BLOCK], np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
                container.mux(track.encode(frame))
            container.mux(track.encode())
    return buffer.getvalue()


def small_frames(film: bytes, *, fps: int, height: int, name: str) -> np.ndarray:
    """The film's frames at ``fps``, each the one shown then: uint8 (T, height, W, 3), W even, of the film's aspect.

    Raises:
        InputError: it cannot be decoded.
    """
    import av

    found: list[np.ndarray] = []
    try:
        with av.open(io.BytesIO(film)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            width = round(stream.width * height / stream.height / 2) * 2
            for frame in container.decode(stream):
                due = int(float(frame.time) * fps + 1e-6) + 1  # frames that are to be there when this one is shown
                if len(found) < due:
                    picture = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
                    found += [picture] * (due - len(found))
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{name} cannot be decoded as a film ({error}); fetch the package again") from error
    if not found:
        raise InputError(f"{name} holds no frames; fetch the package again")
    return np.stack(found)
