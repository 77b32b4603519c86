"""Augmentation of waveforms: another voice speed, another microphone, another room, another moment.

All randomness comes from torch's global generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError

EQ_KNOTS = 8
EQ_LOWEST_HZ = 60.0


@dataclass(frozen=True, kw_only=True)
class WaveAugment:
    """What training changes on a waveform. Zeros change nothing.

    Attributes:
        speed: largest relative change of speed and pitch, e.g. 0.1.
        eq_db: largest gain or cut of a random smooth frequency response, dB: another microphone or loudspeaker.
        noise_db: white to pink noise at a signal-to-noise ratio drawn from [noise_db, noise_db + 20] dB; None = none.
        gain_db: largest change of loudness, dB.
        shift_seconds: up to so much silence before and after.
    """

    speed: float = 0.0
    eq_db: float = 0.0
    noise_db: float | None = None
    gain_db: float = 0.0
    shift_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.speed < 1 or min(self.eq_db, self.gain_db, self.shift_seconds) < 0:
            raise ConfigError(f"Augmentation strengths must not be negative, and speed must be below 1: {self}.")

    def __call__(self, wave_T: Tensor, *, sample_rate: int) -> Tensor:
        """A changed copy of (T,); its length changes with speed and shift."""
        if self.speed:
            wave_T = _change_speed(wave_T, 1 + _uniform(self.speed))
        if self.eq_db:
            wave_T = _equalise(wave_T, self.eq_db, sample_rate)
        if self.shift_seconds:
            most = self.shift_seconds * sample_rate
            before, after = (int(share * most) for share in torch.rand(2).tolist())
            wave_T = F.pad(wave_T, (before, after))
        if self.noise_db is not None:
            wave_T = _add_noise(wave_T, self.noise_db + 20 * float(torch.rand(())))
        if self.gain_db:
            wave_T = wave_T * 10 ** (_uniform(self.gain_db) / 20)
        return wave_T


def _uniform(bound: float) -> float:
    return bound * (2 * float(torch.rand(())) - 1)


def _fast_length(length: int) -> int:
    """The next power of two: Fourier transforms of other lengths can be several times slower."""
    return 2 ** math.ceil(math.log2(max(length, 2)))


def _change_speed(wave_T: Tensor, factor: float) -> Tensor:
    length = max(1, round(len(wave_T) / factor))
    return F.interpolate(wave_T[None, None], size=length, mode="linear")[0, 0]


def _equalise(wave_T: Tensor, most_db: float, sample_rate: int) -> Tensor:
    """Gains in dB at knots on a logarithmic frequency axis, linear between them."""
    length = len(wave_T)
    padded = _fast_length(length)
    spectrum = torch.fft.rfft(wave_T, n=padded)
    hertz = torch.linspace(0, sample_rate / 2, len(spectrum)).clamp(min=EQ_LOWEST_HZ)
    octaves = math.log2(sample_rate / 2 / EQ_LOWEST_HZ)
    place = torch.log2(hertz / EQ_LOWEST_HZ) / octaves * (EQ_KNOTS - 1)
    gains_db = most_db * (2 * torch.rand(EQ_KNOTS) - 1)
    left = place.long().clamp(max=EQ_KNOTS - 2)
    response_db = torch.lerp(gains_db[left], gains_db[left + 1], place - left)
    return torch.fft.irfft(spectrum * 10 ** (response_db / 20), n=padded)[:length]


def _add_noise(wave_T: Tensor, ratio_db: float) -> Tensor:
    noise = torch.randn(_fast_length(len(wave_T)))
    tilt = float(torch.rand(()))  # 0 = white, 1 = pink
    spectrum = torch.fft.rfft(noise)
    slope = torch.arange(1, len(spectrum) + 1) ** (-tilt / 2)
    noise = torch.fft.irfft(spectrum * slope, n=len(noise))[: len(wave_T)]
    power = wave_T.square().mean() / noise.square().mean().clamp(min=1e-12)
    return wave_T + noise * (power * 10 ** (-ratio_db / 10)).sqrt()
