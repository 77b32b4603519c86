"""Which frames of a film are taken: evenly, one a segment, densely, or by time. All of them work in seconds, so that a
variable frame rate changes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from omni.errors import ConfigError, InputError

KINDS = ("uniform", "segments", "dense", "time")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How frames are chosen.

    A frame is shown from its time to the next frame's; "the frame at t" is the one that is shown then.

    - "uniform": the frames at the middles of ``num_frames`` equal spans of the film.
    - "segments": the same spans; in training at a random moment of each (TSN, Wang et al. 2016).
    - "dense": ``clips`` windows, each of ``num_frames`` frames with ``stride`` frames from one to the next at the
      film's mean rate; the windows are spread evenly, in training one alone lies anywhere.
    - "time": a frame every ``1 / rate`` seconds, the first after half of that; more than ``num_frames`` (of 0: of any
      number) are thinned to ``num_frames`` evenly.

    No frame is taken twice: a film of fewer frames gives each of them once.

    Args:
        kind: one of the four.
        num_frames: T; of "dense" in each window. 0 = no bound, for "time" only.
        stride: of "dense", in frames.
        clips: windows of "dense".
        rate: of "time", frames a second.

    Raises:
        ConfigError: an unknown kind, or numbers that are not positive.
    """

    kind: str = "uniform"
    num_frames: int = 8
    stride: int = 4
    clips: int = 1
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"sampling is one of {', '.join(KINDS)}, not {self.kind!r}.")
        least = 0 if self.kind == "time" else 1
        if self.num_frames < least or self.stride < 1 or self.clips < 1 or not self.rate > 0:
            raise ConfigError(
                f"num_frames {self.num_frames}, stride {self.stride}, clips {self.clips} and rate {self.rate} of the "
                "sampling must be positive (num_frames may be 0 for 'time')."
            )

    @property
    def random(self) -> bool:
        """Whether training draws."""
        return self.kind == "segments" or (self.kind == "dense" and self.clips == 1)

    def to_config(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    def indices(
        self, times_T: np.ndarray, end: float, *, window: tuple[float | None, float | None] = (None, None),
        training: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """The chosen frames.

        Args:
            times_T: when each frame is first shown, seconds, increasing.
            end: when the last one ends.
            window: only this part of the film, seconds; None = from the first, up to the last.
            training: draw where the kind draws; from torch's global generator.

        Returns:
            Increasing indices without repeats, at least one.

        Raises:
            InputError: the window holds nothing of the film.
        """
        start = max(times_T[0], window[0] if window[0] is not None else times_T[0])
        stop = min(end, window[1] if window[1] is not None else end)
        if not start < stop and not (len(times_T) == 1 and start == stop):
            raise InputError(
                f"the part from {window[0]} s to {window[1]} s holds nothing of a film that lasts from "
                f"{times_T[0]:.3f} s to {end:.3f} s"
            )
        moments = self._moments(start, stop, (end - times_T[0]) / len(times_T), training)
        shown = np.searchsorted(times_T, moments + 1e-9 * max(1.0, abs(end)), side="right") - 1
        return np.unique(shown.clip(0, len(times_T) - 1))

    def _moments(self, start: float, stop: float, period: float, training: bool) -> np.ndarray:
        span = stop - start
        if self.kind == "dense":
            return self._dense(start, stop, period, training)
        if self.kind == "time":
            count = max(1, int(np.ceil(span * self.rate - 0.5 - 1e-6)))
            if not self.num_frames or count <= self.num_frames:
                return start + (np.arange(count) + 0.5) / self.rate
        within = torch.rand(self.num_frames, dtype=torch.float64).numpy() if self._draws(training) else 0.5
        return start + (np.arange(self.num_frames) + within) * span / self.num_frames

    def _draws(self, training: bool) -> bool:
        return training and self.kind == "segments"

    def _dense(self, start: float, stop: float, period: float, training: bool) -> np.ndarray:
        length = ((self.num_frames - 1) * self.stride + 1) * period
        spare = max(0.0, stop - start - length)
        if training and self.clips == 1:
            firsts = np.array([float(torch.rand((), dtype=torch.float64)) * spare])
        elif self.clips == 1:
            firsts = np.array([spare / 2])
        else:
            firsts = np.linspace(0.0, spare, self.clips)
        steps = np.arange(self.num_frames) * self.stride * period
        moments = (start + firsts[:, None] + period / 2 + steps).ravel()
        return moments[moments < stop] if (moments < stop).any() else moments[:1]
