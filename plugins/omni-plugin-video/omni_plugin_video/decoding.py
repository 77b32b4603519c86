"""Frames of a film by number: one function over two decoders that give the same pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from omni.errors import ConfigError, InputError
from omni_plugin_video import animations
from omni_plugin_video.probe import Probe, open_container, video_stream
from omni_plugin_video.source import Source

RIGHT_DECORD = "2."  # decord2 from 3.0 to 3.4 at least gives up skipping frames where decoding is slow: wrong frames
BACKENDS = ("auto", "decord", "pyav")
BLOCK_PIXELS = 4 * 1280 * 720  # frames are handed on in blocks, so that a long film is never held as a whole
DECORD_BLOCKS = 8  # more are read by PyAV: decord's memory grows with what it has read


def decode(
    source: Source, probe: Probe, indices: np.ndarray, *, backend: str = "auto", num_threads: int = 0
) -> Iterator[np.ndarray]:
    """The frames ``indices``, upright RGB, block by block.

    decord reads what it is known to read rightly (``Probe.plain``) and, where it fails or is not installed, PyAV does;
    PyAV reads all else (turned pictures, more than 8 bits, transport streams, files without presentation stamps) and
    large parts of long films. Animated pictures (WebP, GIF, APNG) are read by Pillow.

    Args:
        source, probe: the film.
        indices: increasing, without repeats.
        backend: "auto", or one of them alone: "decord", "pyav".
        num_threads: of the decoder; 0 = its own choice.

    Yields:
        (t, height, width, 3) uint8, t >= 1.

    Raises:
        InputError: a frame cannot be decoded.
        ConfigError: an unknown backend, or "decord" where it is not installed.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"The video loader's backend is one of {', '.join(BACKENDS)}, not {backend!r}.")
    step = max(1, BLOCK_PIXELS // (probe.height * probe.width))
    if probe.container in animations.KINDS and backend == "auto":
        size = (probe.height, probe.width)
        yield from grouped(animations.frames(source, indices, count=len(probe.times_T), size=size), step)
        return
    blocks = [indices[start : start + step] for start in range(0, len(indices), step)]
    pyav = backend == "pyav" or (backend == "auto" and (not probe.plain or len(blocks) > DECORD_BLOCKS))
    reader = None if pyav else _decord_reader(source, probe, num_threads, backend)
    done = 0
    if reader is not None:
        for block in blocks:
            try:
                frames = _numpy(reader.get_batch(block.tolist()))
            except Exception as error:  # decord's errors are of one class that it does not export everywhere
                if backend == "decord":
                    raise InputError(f"The {source.name} cannot be decoded by decord: {_line(error)}.") from error
                break
            done += 1
            yield frames
    if done < len(blocks):
        yield from grouped(_pyav_frames(source, probe, np.concatenate(blocks[done:]), num_threads), step)


def _decord_reader(source: Source, probe: Probe, num_threads: int, backend: str) -> Any:
    """A decord reader, or None where PyAV is to read."""
    try:
        import decord
    except Exception as error:  # also a library that cannot be loaded
        if backend == "decord":
            raise ConfigError(
                f"decord is not installed ({error}); pip install 'decord2>=2,<3', or backend='auto'."
            ) from error
        return None
    if not decord.__version__.startswith(RIGHT_DECORD):
        if backend == "decord":
            raise ConfigError(
                f"decord {decord.__version__} is not used: decord2 of version 2 gives the same frames as PyAV, newer "
                "ones give wrong frames when the machine is busy; pip install 'decord2>=2,<3', or backend='auto'."
            )
        return None
    try:
        reader = decord.VideoReader(source.handle(), num_threads=num_threads)
        matches = len(reader) == len(probe.times_T)
    except Exception as error:
        if backend == "decord":
            raise InputError(f"The {source.name} cannot be opened by decord: {_line(error)}.") from error
        return None
    if not matches and backend == "decord":
        raise InputError(f"decord finds {len(reader)} frames in the {source.name}, its index {len(probe.times_T)}.")
    return reader if matches else None


def _numpy(batch: Any) -> np.ndarray:
    return batch.asnumpy() if hasattr(batch, "asnumpy") else np.asarray(batch)  # the user may have set a bridge


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def grouped(frames: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Frames in blocks of ``size``."""
    held: list[np.ndarray] = []
    for frame in frames:
        held.append(frame)
        if len(held) == size:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


def _pyav_frames(source: Source, probe: Probe, indices: np.ndarray, num_threads: int) -> Iterator[np.ndarray]:
    import av

    try:
        with open_container(source) as container:
            stream = video_stream(container, source.name)
            stream.codec_context.thread_count = num_threads
            stream.thread_type = "AUTO"
            found = _by_count if probe.pts_T is None else _by_stamp
            for frame in found(container, stream, probe, indices.tolist(), source.name):
                yield _upright(frame, probe)
    except av.FFmpegError as error:
        raise InputError(f"The {source.name} is damaged: {error.strerror or error}. Copy it again.") from error


def _upright(frame: Any, probe: Probe) -> np.ndarray:
    """RGB by the same conversion as decord's (bicubic chroma), turned."""
    rgb = frame.to_ndarray(format="rgb24", interpolation="BICUBIC", threads=1)
    if rgb.shape[:2] != (probe.height, probe.width):  # the size changes within the film
        rgb = frame.to_ndarray(format="rgb24", interpolation="BICUBIC", width=probe.width, height=probe.height)
    return np.ascontiguousarray(np.rot90(rgb, probe.turns)) if probe.turns else rgb


def _by_stamp(container: Any, stream: Any, probe: Probe, indices: list[int], name: str) -> Iterator[Any]:
    """Seek to the keyframe before each frame, or go on where that is nearer."""
    assert probe.pts_T is not None
    frames, position = container.decode(stream), -1
    for index in indices:
        key = int(probe.keyframes[np.searchsorted(probe.keyframes, index, side="right") - 1])
        target = int(probe.pts_T[index])
        if key > position + 1:
            container.seek(int(probe.pts_T[key]), stream=stream, backward=True)
            frames = container.decode(stream)
        frame = next((item for item in frames if item.pts is not None and item.pts >= target), None)
        if frame is None or frame.pts != target:  # the seek went too far: from the start
            container.seek(int(probe.pts_T[0]), stream=stream, backward=True)
            frames = container.decode(stream)
            frame = next((item for item in frames if item.pts is not None and item.pts >= target), None)
        if frame is None or frame.pts != target:
            raise _no_frame(name, index, probe)
        position = index
        yield frame


def _by_count(container: Any, stream: Any, probe: Probe, indices: list[int], name: str) -> Iterator[Any]:
    """From the start, frame by frame."""
    wanted, number = set(indices), -1
    for number, frame in enumerate(container.decode(stream)):
        if number in wanted:
            yield frame
        if number == indices[-1]:
            return
    raise _no_frame(name, number + 1, probe)


def _no_frame(name: str, index: int, probe: Probe) -> InputError:
    return InputError(
        f"Frame {index} of {len(probe.times_T)} (at {probe.times_T[index]:.3f} s) of the {name} cannot be decoded; "
        "the file is damaged there. Copy it again."
    )
