"""Augmentations of sound by name, on what the loader gives, so for every transform alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from omni.data.augment import Augmentation, amount
from omni.errors import ConfigError
from omni_plugin_audio.augment import WaveAugment
from omni_plugin_audio.io import Waveform, load


class _Change(Augmentation):
    def raw(self, raw: Any) -> Waveform:
        """A changed sound; one that would be silent stays as it is."""
        sound = raw if isinstance(raw, Waveform) else load(raw)
        changed_T = self.change(sound.samples_T, sound.sample_rate)
        return replace(sound, samples_T=changed_T) if bool(changed_T.any()) else sound

    def change(self, wave_T: Tensor, sample_rate: int) -> Tensor:
        """A changed copy."""
        raise NotImplementedError


class _Wave(_Change):
    def __init__(self, settings: WaveAugment) -> None:
        self.settings = settings

    def change(self, wave_T: Tensor, sample_rate: int) -> Tensor:
        """By WaveAugment."""
        return self.settings(wave_T, sample_rate=sample_rate)


class AudioSpeed(_Wave):
    """Speed and pitch together, times 1 - most to 1 + most."""

    def __init__(self, *, most: float = 0.1) -> None:
        if amount(most, "audio_speed: most") >= 1:
            raise ConfigError(f"audio_speed: most is {most!r}; it must be below 1.")
        super().__init__(WaveAugment(speed=most))


class AudioEq(_Wave):
    """A random smooth frequency response, up to ``db`` either way: another microphone or loudspeaker."""

    def __init__(self, *, db: float = 6.0) -> None:
        super().__init__(WaveAugment(eq_db=amount(db, "audio_eq: db")))


class AudioNoise(_Wave):
    """White to pink noise at a signal-to-noise ratio from ``db`` to db + 20."""

    def __init__(self, *, db: float = 15.0) -> None:
        super().__init__(WaveAugment(noise_db=float(db)))


class AudioShift(_Wave):
    """Up to ``seconds`` of silence before and after."""

    def __init__(self, *, seconds: float = 0.2) -> None:
        super().__init__(WaveAugment(shift_seconds=amount(seconds, "audio_shift: seconds")))


class AudioMask(_Change):
    """Silences one stretch, drawn up to ``seconds``, at most half of the sound."""

    def __init__(self, *, seconds: float = 0.2) -> None:
        self.seconds = amount(seconds, "audio_mask: seconds")

    def change(self, wave_T: Tensor, sample_rate: int) -> Tensor:
        """With the silence."""
        share, place = torch.rand(2).tolist()
        stretch = round(share * min(self.seconds * sample_rate, len(wave_T) // 2))
        start = int(place * (len(wave_T) - stretch + 1))
        changed_T = wave_T.clone()
        changed_T[start : start + stretch] = 0
        return changed_T
