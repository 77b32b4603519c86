"""The sound of a film: one file feeds two slots, and a file without a sound track lacks the second."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omni.errors import ConfigError, InputError, MissingSlotError
from omni_plugin_video import animations
from omni_plugin_video.io import Part
from omni_plugin_video.probe import open_container, picture_streams
from omni_plugin_video.source import Source, describe, open_source

SILENT = ("missing", "error")
MAX_SECONDS = 4 * 3600.0


class SoundTrack(Mapping[str, Any]):
    """The sound of a film as a value of an audio slot: ``{"array": (T,) float32, "sample_rate": Hz}``.

    Nothing is opened before it is asked for; then a film without sound raises MissingSlotError, so that the slot is
    missing. What is decoded is handed out and not kept.

    Args:
        value: a path, the bytes of a file, or a Part.
        start, end: seconds; None = from the start, up to the end. Those of a Part win.
        silent: "missing": a track of which every sample is zero, or that has none in this part, is no sound either.
            "error": it is handed on, and the audio loader refuses it.
        max_seconds: longer sounds are refused.

    Raises:
        ConfigError: another word for ``silent``.
    """

    def __init__(
        self,
        value: str | os.PathLike[str] | bytes | Part,
        *,
        start: float | None = None,
        end: float | None = None,
        silent: str = "missing",
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        if silent not in SILENT:
            raise ConfigError(f"silent is one of {', '.join(SILENT)}, not {silent!r}.")
        if isinstance(value, Part):
            start, end = value.start if value.start is not None else start, value.end if value.end is not None else end
            value = value.path
        self.value, self.start, self.end = value, start, end
        self.silent, self.max_seconds = silent, max_seconds
        self._rate: int | None = None
        self._array: np.ndarray | None = None

    def __getitem__(self, key: str) -> Any:
        if key not in ("array", "sample_rate"):
            raise KeyError(key)
        if key == "sample_rate":
            if self._rate is None:
                self.check()
            return self._rate
        if self._array is None:
            self.check()
        array, self._array = self._array, None
        return array

    def check(self) -> None:
        """Decode the sound; the next reading of "array" gives it.

        Raises:
            MissingSlotError: there is none.
            InputError: the file, or a track that is there, cannot be read: a damaged track is not taken for a missing
                one.
        """
        source = open_source(self.value)
        if not _has_sound(source):
            raise MissingSlotError(f"The {source.name} has no sound track.")
        array, self._rate = _decode(source, self.start, self.end, self.max_seconds)
        if self.silent == "missing" and not np.any(array):
            part = "" if self.start is None and self.end is None else " in this part"
            raise MissingSlotError(f"The {source.name} has a sound track{part} that holds nothing but zeros.")
        self._array = array

    def __iter__(self) -> Iterator[str]:
        return iter(("array", "sample_rate"))

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return f"SoundTrack({describe(self.value)}, start={self.start}, end={self.end})"


def load(
    value: str | os.PathLike[str] | bytes | Part,
    *,
    start: float | None = None,
    end: float | None = None,
    silent: str = "missing",
    max_seconds: float = MAX_SECONDS,
) -> SoundTrack:
    """The sound of a film, for audio slots whose values are files of films: ``loader=dict(track="video.sound")``.

    Args:
        value: a path or the bytes of a file; of sound files, too.
        start, end, silent, max_seconds: of SoundTrack.

    Raises:
        MissingSlotError: the film has none.
        InputError: the file, or a track that is there, cannot be read.
        ConfigError: another word for ``silent``.
    """
    track = SoundTrack(value, start=start, end=end, silent=silent, max_seconds=max_seconds)
    track.check()
    return track


def sound_of(
    value: str | os.PathLike[str] | bytes | Part,
    *,
    start: float | None = None,
    end: float | None = None,
    silent: str = "missing",
    max_seconds: float = MAX_SECONDS,
) -> SoundTrack | None:
    """As ``load``, with None where the film has no sound: then the slot is missing."""
    try:
        return load(value, start=start, end=end, silent=silent, max_seconds=max_seconds)
    except MissingSlotError:
        return None


def split(
    value: str | os.PathLike[str],
    *,
    video: str = "video",
    audio: str = "audio",
    start: float | None = None,
    end: float | None = None,
    silent: str = "missing",
) -> dict[str, Any]:
    """The values of a sample's two slots from one file; a stream that the file lacks is left out.

    Args:
        value: the path.
        video, audio: names of the slots.
        start, end: seconds, for both.
        silent: as in sound_of.

    Returns:
        slot -> value, for ``Sample.values``.

    Raises:
        InputError: the file cannot be read, or has neither pictures nor sound.
    """
    path = Path(value)
    source = open_source(path)
    pictures = animations.kind_of(source) is not None
    if not pictures:
        with open_container(source) as container:
            pictures = bool(picture_streams(container))
    made: dict[str, Any] = {}
    if pictures:
        made[video] = path if start is None and end is None else Part(path=path, start=start, end=end)
    sound = sound_of(path, start=start, end=end, silent=silent)
    if sound is not None:
        made[audio] = sound
    if not made:
        raise InputError(f"The {source.name} has neither a video stream nor sound; leave it out.")
    return made


def _has_sound(source: Source) -> bool:
    if animations.kind_of(source) is not None:
        return False
    with open_container(source) as container:
        return bool(container.streams.audio)


def _decode(source: Source, start: float | None, end: float | None, max_seconds: float) -> tuple[np.ndarray, int]:
    """(T,) float32 mean of the channels, at the track's own rate, and the rate."""
    import av

    try:
        with open_container(source) as container:
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise InputError(f"The sound of the {source.name} is of a codec that is not there; convert it to AAC.")
            zero = container.start_time / 1_000_000 if container.start_time is not None else 0.0
            rate = int(stream.codec_context.sample_rate)
            if start is not None and start > 1.0:
                container.seek(int((start - 1.0 + zero) / stream.time_base), stream=stream, backward=True)
            blocks = list(_blocks(container, stream, rate, (start, end), zero, (max_seconds, source.name)))
    except av.FFmpegError as error:
        raise InputError(
            f"The sound of the {source.name} is damaged: {error.strerror or error}. Copy the file again."
        ) from error
    return (np.concatenate(blocks) if blocks else np.zeros(0, np.float32)), rate


def _blocks(
    container: Any, stream: Any, rate: int, window: tuple[float | None, float | None], zero: float,
    most: tuple[float, str],
) -> Iterator[np.ndarray]:  # fmt: skip
    import av

    resampler = av.AudioResampler(format="fltp", rate=rate)
    count = 0
    place: int | None = None  # in samples from the start of the file
    for frame in container.decode(stream):
        for part in resampler.resample(frame):
            values_CT = part.to_ndarray()
            if place is None:
                place = round((float(frame.pts * frame.time_base) - zero) * rate) if frame.pts is not None else 0
            first = 0 if window[0] is None else max(0, round(window[0] * rate) - place)
            last = values_CT.shape[1] if window[1] is None else round(window[1] * rate) - place
            place += values_CT.shape[1]
            if last <= 0:
                return
            kept = values_CT[:, first:last].mean(0, dtype=np.float32)
            count += len(kept)
            if count > most[0] * rate:
                raise InputError(f"The sound of the {most[1]} lasts longer than {most[0]:g} s; take a part of it.")
            if len(kept):
                yield kept
