"""Augmentation of a batch of spectrograms inside the adapter: cheap enough where the log-mel is kept in tables."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from omni.errors import ConfigError


class MelAugment(nn.Module):
    """In training only: another loudness, another microphone, noise, and a stretch of bands left out, all a clip.

    Draws from torch's global generator, as dropout does. Zeros change nothing.

    Args:
        gain: standard deviation of one number added to all of a clip's frames (unit: of the normalised log-mel).
        tilt: standard deviation of one number a band, added to all frames.
        noise: standard deviation of independent noise on every value.
        mask_bands: so many neighbouring bands are set to 0, at a place drawn for each clip (SpecAugment).

    Raises:
        ConfigError: a negative strength.
    """

    def __init__(self, *, gain: float = 0.0, tilt: float = 0.0, noise: float = 0.0, mask_bands: int = 0) -> None:
        super().__init__()
        if min(gain, tilt, noise, mask_bands) < 0:
            raise ConfigError("The audio adapter's mel_augment: strengths must not be negative.")
        self.gain, self.tilt, self.noise, self.mask_bands = gain, tilt, noise, int(mask_bands)

    def forward(self, mel_BTC: Tensor) -> Tensor:
        """(B, T, C) to a changed copy; the same tensor in evaluation."""
        if not self.training:
            return mel_BTC
        batch, _, bands = mel_BTC.shape
        offset_B1C = self.gain * mel_BTC.new_empty(batch, 1, 1).normal_()
        offset_B1C = offset_B1C + self.tilt * mel_BTC.new_empty(batch, 1, bands).normal_()
        mel_BTC = mel_BTC + offset_B1C
        if self.noise:
            mel_BTC = mel_BTC + self.noise * torch.randn_like(mel_BTC)
        if self.mask_bands:
            first_B = torch.randint(0, max(bands - self.mask_bands, 0) + 1, (batch, 1), device=mel_BTC.device)
            band_C = torch.arange(bands, device=mel_BTC.device)
            masked_BC = (band_C >= first_B) & (band_C < first_B + self.mask_bands)
            mel_BTC = mel_BTC.masked_fill(masked_BC[:, None], 0.0)
        return mel_BTC
