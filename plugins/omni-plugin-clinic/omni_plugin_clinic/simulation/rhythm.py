"""From a beat to a recording: how fast, which PR interval, how wide a QRS complex, which voltage, how regular."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import signal

from omni.data.building.counter_rng import CounterRng
from omni_plugin_clinic.latents import RHYTHMS
from omni_plugin_clinic.simulation.heartbeat import Beat
from omni_plugin_clinic.simulation.pulse import LEADS, SAMPLE_RATE

STORED_RATE = 100
STORED_SECONDS = 5
STEP_MICROVOLTS = 5
_LEAD_IN = 2.0  # seconds made before the recording, so that it starts anywhere in a beat
_NORMAL, _BRADYCARDIA, _LONG_PR, _WIDE_QRS, _IRREGULAR = range(len(RHYTHMS))
_F_WAVES = np.array([0.15, 0.6, 1.0, 0.7, 0.4, 0.3, 0.2, 0.2])  # share of the fibrillatory waves a lead sees


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a recording was made with.

    Attributes:
        rate: mean heart rate a minute. pr_ms: onset of P to onset of QRS, None without P waves. qrs_ms: QRS duration.
        voltage_mv: Sokolow and Lyon's sum. spread: standard deviation of the RR intervals over their mean.
    """

    rate: float
    pr_ms: float | None
    qrs_ms: float
    voltage_mv: float
    spread: float

    def to_dict(self) -> dict[str, float | None]:
        """JSON form, rounded."""
        return {name: None if value is None else round(value, 3) for name, value in asdict(self).items()}


def draw_setting(c: int, e: int, rng: CounterRng) -> Setting:
    """The numbers of a recording that shows c (voltage) and e (rhythm); all else is drawn from the normal range."""
    rate, pr, qrs, spread = (float(rng.uniform((), *span)) for span in ((62, 92), (130, 185), (78, 102), (0.01, 0.03)))
    if e == _BRADYCARDIA:
        rate = float(rng.uniform((), 36, 48))
    elif e == _LONG_PR:
        pr = float(rng.uniform((), 240, 310))
    elif e == _WIDE_QRS:
        qrs = float(rng.uniform((), 150, 185))
    elif e == _IRREGULAR:
        rate, spread = float(rng.uniform((), 75, 120)), float(rng.uniform((), 0.2, 0.3))
    voltage = float(rng.uniform((), *((3.9, 5.6) if c else (1.5, 2.8))))
    return Setting(rate=rate, pr_ms=None if e == _IRREGULAR else pr, qrs_ms=qrs, voltage_mv=voltage, spread=spread)


def make_recording(beat: Beat, setting: Setting, rng: CounterRng, *, seconds: float = STORED_SECONDS) -> np.ndarray:
    """(8, seconds x 500) float64 in microvolts: beat after beat, then wander and noise."""
    whole = seconds + _LEAD_IN + 1.0
    onsets = _onsets(setting, rng, whole)
    signal_CT = np.zeros((len(LEADS), round((whole + 1.0) * SAMPLE_RATE)))
    gain = setting.voltage_mv * 1000.0 / beat.voltage
    qrs_CT = _stretched(beat.qrs_CT, round(setting.qrs_ms / 1000 * SAMPLE_RATE)) * gain
    for number, onset in enumerate(onsets):
        breath = 1.0 + 0.04 * np.sin(2 * np.pi * 0.25 * onset)
        start = round(onset * SAMPLE_RATE)
        room = (onsets[number + 1] - onset) if number + 1 < len(onsets) else 60.0 / setting.rate
        _add(signal_CT, start, _repolarised(qrs_CT, beat.t_CT, gain, room) * breath)
        if setting.pr_ms is not None:
            _add(signal_CT, start - round(setting.pr_ms / 1000 * SAMPLE_RATE), beat.p_CT)
    first = round(rng.uniform((), 0.5, _LEAD_IN) * SAMPLE_RATE)
    signal_CT = signal_CT[:, first : first + round(seconds * SAMPLE_RATE)]
    if setting.pr_ms is None:
        signal_CT = signal_CT + _fibrillation(signal_CT.shape[1], rng)
    return signal_CT + _wander(signal_CT.shape, rng)


def stored(signal_CT: np.ndarray) -> np.ndarray:
    """500 Hz in microvolts -> int16 (8, T) at 100 Hz, in steps of 5 microvolts, below 40 Hz."""
    low_CT = signal.sosfiltfilt(_LOW, signal_CT, axis=1)[:, :: SAMPLE_RATE // STORED_RATE]
    return (np.rint(np.clip(low_CT, -30_000, 30_000) / STEP_MICROVOLTS) * STEP_MICROVOLTS).astype(np.int16)


def _onsets(setting: Setting, rng: CounterRng, seconds: float) -> list[float]:
    """Times of the QRS onsets in seconds. Irregular intervals are independent, regular ones breathe."""
    mean = 60.0 / setting.rate
    irregular = setting.spread > 0.1
    times, now = [], 0.4 + float(rng.uniform()) * 0.3
    while now < seconds:
        times.append(now)
        step = setting.spread * float(np.clip(rng.normal(), -1.8, 2.2))
        if not irregular:
            step = setting.spread * (np.sqrt(2) * np.sin(2 * np.pi * 0.25 * now) + 0.2 * step)
        now += mean * max(1.0 + step, 0.45)
    return times


def _repolarised(qrs_CT: np.ndarray, t_CT: np.ndarray, gain: float, room: float) -> np.ndarray:
    """The QRS complex and its T wave, which is shorter at a faster rate; J's level joins them."""
    length = round(t_CT.shape[1] * float(np.clip(np.cbrt(room / 0.85), 0.72, 1.12)))
    wave_CT = _stretched(t_CT, length) * np.sqrt(gain)
    step_C = qrs_CT[:, -1] - wave_CT[:, 0]
    wave_CT = wave_CT + step_C[:, None] * np.exp(-np.arange(length) / 8.0)
    return np.concatenate([qrs_CT, wave_CT[:, 1:]], axis=1)


def _stretched(part_CT: np.ndarray, length: int) -> np.ndarray:
    """The same shape over another number of samples."""
    at = np.linspace(0, part_CT.shape[1] - 1, length)
    return np.stack([np.interp(at, np.arange(part_CT.shape[1]), row) for row in part_CT])


def _add(signal_CT: np.ndarray, start: int, part_CT: np.ndarray) -> None:
    stop = min(start + part_CT.shape[1], signal_CT.shape[1])
    skipped = max(0, -start)
    if stop > max(start, 0):
        signal_CT[:, max(start, 0) : stop] += part_CT[:, skipped : stop - start]


def _fibrillation(length: int, rng: CounterRng) -> np.ndarray:
    """Waves of 5 to 8 a second that take the place of P waves."""
    time_T = np.arange(length) / SAMPLE_RATE
    rate, size, phase = rng.uniform((), 5.0, 8.0), rng.uniform((), 25.0, 70.0), rng.uniform((), 0.0, 2 * np.pi)
    bend_T = 0.8 * np.sin(2 * np.pi * 0.6 * time_T + phase)
    wave_T = np.sin(2 * np.pi * rate * time_T + bend_T + phase) + 0.3 * np.sin(4 * np.pi * rate * time_T + 2 * bend_T)
    return size * _F_WAVES[:, None] * wave_T


def _wander(shape: tuple[int, int], rng: CounterRng) -> np.ndarray:
    """Breathing, electrodes, muscles: slow waves of tens of microvolts and noise of about 8."""
    leads, length = shape
    time_T = np.arange(length) / SAMPLE_RATE
    slow_CT = np.zeros(shape)
    for low, high, size in ((0.1, 0.2, 45.0), (0.2, 0.4, 25.0)):
        rate, phase = rng.uniform((), low, high), rng.uniform((leads, 1), 0.0, 2 * np.pi)
        slow_CT += size * rng.uniform((leads, 1)) * np.sin(2 * np.pi * rate * time_T + phase)
    return slow_CT + rng.uniform((), 4.0, 12.0) * rng.normal(shape)


_LOW = signal.butter(6, 40.0, btype="lowpass", fs=SAMPLE_RATE, output="sos")
