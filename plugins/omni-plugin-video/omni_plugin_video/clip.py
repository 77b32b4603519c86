"""A film before its frames are chosen: a file whose frames are read when they are asked for, or frames in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from omni_plugin_video.decoding import decode
from omni_plugin_video.probe import Probe
from omni_plugin_video.sampling import Sampling
from omni_plugin_video.source import Source

PREVIEWED = 4  # frames of a preview


class Film(ABC):
    """What the transforms take.

    Attributes:
        times_T: (T,) float64, when each frame is first shown, seconds; increasing, T >= 1.
        end: when the last frame ends, seconds.
        height, width: of the upright frames.
        window: the part that is meant, seconds; None = from the first, up to the last.
        source: what error messages call it.
    """

    times_T: np.ndarray
    end: float
    height: int
    width: int
    window: tuple[float | None, float | None] = (None, None)
    source: str = "video"

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.times_T)

    @abstractmethod
    def blocks(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """The frames of increasing ``indices``, some at a time: (t, height, width, 3) uint8 RGB.

        Raises:
            InputError: a frame cannot be decoded.
        """

    def preview(self) -> Any:
        """At most four frames spread over the part that is meant, one beside another, as a picture of Pillow.

        Raises:
            InputError: a frame cannot be decoded, or the part holds nothing of the film.
        """
        from PIL import Image

        chosen = Sampling(num_frames=PREVIEWED).indices(self.times_T, self.end, window=self.window)
        return Image.fromarray(np.concatenate(list(np.concatenate(list(self.blocks(chosen)))), 1))


class Clip(Film):
    """Frames in memory.

    Args:
        frames_THWC: (T, height, width, 3) uint8 RGB.
        times_T: seconds, increasing.
        end: seconds; None = as long after the last frame as it is after the one before.
        source: what error messages call it.
    """

    def __init__(
        self, *, frames_THWC: np.ndarray, times_T: np.ndarray, end: float | None = None, source: str = "video"
    ) -> None:
        self.frames_THWC, self.times_T, self.source = frames_THWC, np.asarray(times_T, np.float64), source
        self.height, self.width = frames_THWC.shape[1:3]
        last = float(self.times_T[-1])
        gap = last - float(self.times_T[-2]) if len(self.times_T) > 1 else 0.0
        self.end = last + gap if end is None else float(end)

    def blocks(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        yield self.frames_THWC[indices]


class FilmFile(Film):
    """A film in a file or in its bytes; made by omni_plugin_video.io.load.

    Args:
        source: the file.
        probe: its index.
        window: the part that is meant, seconds.
        backend, num_threads: of omni_plugin_video.decoding.decode.
    """

    def __init__(
        self,
        source: Source,
        probe: Probe,
        *,
        window: tuple[float | None, float | None] = (None, None),
        backend: str = "auto",
        num_threads: int = 0,
    ) -> None:
        self.file, self.probe, self.window, self.source = source, probe, window, source.name
        self.backend, self.num_threads = backend, num_threads
        self.times_T, self.end = probe.times_T, probe.end
        sides = (probe.height, probe.width)
        self.height, self.width = sides[::-1] if probe.turns % 2 else sides

    def blocks(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        return decode(self.file, self.probe, indices, backend=self.backend, num_threads=self.num_threads)
