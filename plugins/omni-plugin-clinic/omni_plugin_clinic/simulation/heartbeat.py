"""One heart's beat, taken from a generated recording: its P wave, its QRS complex and its T wave apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from omni_plugin_clinic.simulation.pulse import LEADS, SAMPLE_RATE

BEFORE, AFTER = 160, 280  # samples of the window about the R peak: 0.32 s and 0.56 s
_LEAST_BEATS = 6
_LEAST_LIKENESS = 0.93  # mean correlation of the beats with their median
_P_SPAN = (140, 12)  # samples before the QRS complex between which the P wave is looked for
_VOLTAGE = (900.0, 4500.0)  # microvolts of S in V1 and R in V5 or V6 together
_QRS = (36, 75)  # samples: 72 to 150 ms


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A beat's parts in microvolts at 500 Hz, each starting and ending at the baseline.

    Attributes:
        p_CT: (8, T) the P wave, from its onset.
        qrs_CT: (8, T) from the onset of the QRS complex to the J point; the last sample is J's level.
        t_CT: (8, T) from J to the end of the T wave; the first sample is J's level.
    """

    p_CT: np.ndarray
    qrs_CT: np.ndarray
    t_CT: np.ndarray

    @property
    def voltage(self) -> float:
        """Sokolow and Lyon's sum in microvolts: S in V1, and the larger R of V5 and V6."""
        return sokolow(self.qrs_CT)


def sokolow(qrs_CT: np.ndarray) -> float:
    """S in V1 and the larger R of V5 and V6, in the unit of the input; leads as in pulse.LEADS."""
    v1, v5, v6 = (qrs_CT[LEADS.index(name)] for name in ("V1", "V5", "V6"))
    return float(max(0.0, -v1.min()) + max(v5.max(), v6.max()))


def take_beat(record_CT: np.ndarray) -> Beat | None:
    """The median beat of a generated recording (8, 5000), in parts; None where the recording is not regular and clear
    enough to find them."""
    smooth_CT = signal.sosfiltfilt(_BAND, record_CT, axis=1)
    peaks = find_peaks(smooth_CT)
    peaks = peaks[(peaks >= BEFORE) & (peaks < smooth_CT.shape[1] - AFTER)]
    if len(peaks) < _LEAST_BEATS or np.std(np.diff(peaks)) > 0.12 * np.mean(np.diff(peaks)):
        return None
    beats_NCT = np.stack([smooth_CT[:, peak - BEFORE : peak + AFTER] for peak in peaks])
    median_CT = np.median(beats_NCT, axis=0)
    if np.mean([np.corrcoef(beat.ravel(), median_CT.ravel())[0, 1] for beat in beats_NCT]) < _LEAST_LIKENESS:
        return None
    return _parts(median_CT)


def find_peaks(signal_CT: np.ndarray) -> np.ndarray:
    """Samples of the QRS complexes: where the slope over all leads is largest, at least 0.35 s apart."""
    slope_T = np.sqrt((np.diff(signal_CT, axis=1, prepend=signal_CT[:, :1]) ** 2).sum(0))
    slope_T = np.convolve(slope_T, np.hanning(31) / 15, mode="same")
    return signal.find_peaks(slope_T, height=0.45 * np.quantile(slope_T, 0.98), distance=int(0.35 * SAMPLE_RATE))[0]


def _parts(beat_CT: np.ndarray) -> Beat | None:
    bounds = _qrs_bounds(beat_CT)
    if bounds is None:
        return None
    start, stop = bounds
    beat_CT = beat_CT - beat_CT[:, max(0, start - 6) : start + 1].mean(1, keepdims=True)
    p_wave = _p_wave(beat_CT, start)
    t_CT = _t_wave(beat_CT, stop)
    if p_wave is None or t_CT is None:
        return None
    beat = Beat(p_CT=p_wave, qrs_CT=_from_zero(beat_CT[:, start:stop]), t_CT=t_CT)
    return beat if _VOLTAGE[0] <= beat.voltage <= _VOLTAGE[1] else None


def _qrs_bounds(beat_CT: np.ndarray) -> tuple[int, int] | None:
    """Onset and J point: where the slope over all leads falls below a part of its largest and stays so for 16 ms."""
    slope_T = np.sqrt((np.gradient(beat_CT, axis=1) ** 2).sum(0))
    slope_T = np.convolve(slope_T, np.ones(5) / 5, mode="same")
    peak = BEFORE - 25 + int(np.argmax(slope_T[BEFORE - 25 : BEFORE + 25]))
    low = slope_T < 0.06 * slope_T[peak]
    start = next((at for at in range(peak, peak - 60, -1) if low[at - 8 : at + 1].all()), None)
    stop = next((at for at in range(peak, peak + 70) if low[at : at + 9].all()), None)
    if start is None or stop is None or not _QRS[0] <= stop - start <= _QRS[1]:
        return None
    return start, stop


def _p_wave(beat_CT: np.ndarray, qrs_start: int) -> np.ndarray | None:
    first, last = max(4, qrs_start - _P_SPAN[0]), qrs_start - _P_SPAN[1]
    if last - first < 50:
        return None
    part_CT = beat_CT[:, first:last]
    part_CT = part_CT - np.linspace(part_CT[:, :4].mean(1), part_CT[:, -4:].mean(1), last - first, axis=1)
    size_T = np.convolve(np.sqrt((part_CT**2).sum(0)), np.ones(7) / 7, mode="same")
    peak = int(np.argmax(size_T))
    above = size_T > 0.2 * size_T[peak]
    start, stop = _run_about(above, peak)
    if not 25 <= stop - start <= 75 or not 40.0 <= float(np.abs(part_CT[1, start:stop]).max()) <= 400.0:
        return None
    return _tapered(part_CT[:, start:stop], 8, 8)


def _t_wave(beat_CT: np.ndarray, stop: int) -> np.ndarray | None:
    rest_CT = beat_CT[:, stop - 1 :]
    size_T = np.convolve(np.sqrt((rest_CT**2).sum(0)), np.ones(9) / 9, mode="same")
    peak = 40 + int(np.argmax(size_T[40:190])) if size_T.shape[0] > 190 else 0
    if not 40 < peak < 189:
        return None
    below = np.flatnonzero(size_T[peak:] < 0.25 * size_T[peak])
    end = min(peak + (int(below[0]) if len(below) else 80) + 10, rest_CT.shape[1])
    return _tapered(rest_CT[:, :end], 0, 30)


def _run_about(above: np.ndarray, peak: int) -> tuple[int, int]:
    start = stop = peak
    while start > 0 and above[start - 1]:
        start -= 1
    while stop < len(above) and above[stop]:
        stop += 1
    return start, stop


def _tapered(part_CT: np.ndarray, head: int, tail: int) -> np.ndarray:
    """Raised-cosine ends, so that the part joins the baseline."""
    window_T = np.ones(part_CT.shape[1])
    if head:
        window_T[:head] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(head) + 0.5) / head)
    window_T[-tail:] *= 0.5 + 0.5 * np.cos(np.pi * (np.arange(tail) + 0.5) / tail)
    return part_CT * window_T


def _from_zero(part_CT: np.ndarray) -> np.ndarray:
    """Without the step at the first sample; the last keeps its level."""
    return part_CT - part_CT[:, :1] * np.linspace(1, 0, part_CT.shape[1])


_BAND = signal.butter(3, (0.5, 45.0), btype="bandpass", fs=SAMPLE_RATE, output="sos")
