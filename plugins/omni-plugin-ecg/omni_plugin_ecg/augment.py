"""Changes of an ECG for training, in millivolts and hertz."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class EcgAugment:
    """Random changes; 0 = none. Draws from torch's global generator.

    Attributes:
        lead_drop: chance of each lead to be masked; one always stays.
        gain: all leads are scaled by one factor from 1 - gain to 1 + gain.
        noise_mv: deviation of white noise, up to this.
        wander_mv: height of a slow sine (0.05 to 0.5 Hz) on each lead, up to this.
    """

    lead_drop: float = 0.0
    gain: float = 0.0
    noise_mv: float = 0.0
    wander_mv: float = 0.0

    def __call__(self, signal_CT: Tensor, valid_CT: Tensor, *, sample_rate: float) -> tuple[Tensor, Tensor]:
        """Changed copies; what was not recorded stays zero."""
        count, length = signal_CT.shape
        if self.lead_drop:
            drop_C = torch.rand(count) < self.lead_drop
            present_C = valid_CT.any(1)
            if bool((drop_C | ~present_C).all()):  # keep one of those that there are
                drop_C[torch.multinomial(present_C.float(), 1)] = False
            valid_CT = valid_CT & ~drop_C[:, None]
        if self.gain:
            signal_CT = signal_CT * (1 + self.gain * (2 * torch.rand(()) - 1))
        if self.noise_mv:
            signal_CT = signal_CT + self.noise_mv * torch.rand(()) * torch.randn(count, length)
        if self.wander_mv:
            time_T = torch.arange(length) / sample_rate
            hertz_C, phase_C, height_C = (
                0.05 + 0.45 * torch.rand(count),
                2 * math.pi * torch.rand(count),
                torch.rand(count),
            )
            wave_CT = torch.sin(2 * math.pi * hertz_C[:, None] * time_T + phase_C[:, None])
            signal_CT = signal_CT + self.wander_mv * height_C[:, None] * wave_CT
        return signal_CT.masked_fill(~valid_CT, 0.0), valid_CT
