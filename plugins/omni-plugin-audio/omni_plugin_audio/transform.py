"""From a sound to what the stems read: a normalised waveform, or log-mel frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torchaudio
from torch import Tensor

from omni.data.transform import Transform
from omni.errors import ConfigError, InputError
from omni_plugin_audio import effects as sound_effects
from omni_plugin_audio.augment import WaveAugment
from omni_plugin_audio.io import SAMPLE_RATE, Waveform, load

NORM_EPS = 1e-5
LOG_FLOOR = 1e-4
MOMENTS_BLOCK = 1 << 18
LOG_MEAN, LOG_STD = -3.7, 4.0  # of 150 spoken words of five languages; see LogMel


class _SoundTransform(Transform):
    """Options and steps that both transforms share.

    Args:
        sample_rate: Hz; other rates are resampled.
        min_seconds: shorter clips are repeated up to it; 0 = leave them.
        max_seconds: longer clips are cut; None = never.
        crop: "first": keep the start; "random": in training keep a random part.
        augment: keyword arguments of WaveAugment, for training; None = none.
        effects: effects of torchaudio, for training, after ``augment``; for example ``[{"type": "reverb", "p": 0.5}]``
            (see omni_plugin_audio.effects).

    Augmentation draws from torch's global generator only: ``torch.manual_seed`` fixes it, workers of a DataLoader draw
    apart from each other, and training with omni seeds it for each sample, whatever the workers.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        min_seconds: float,
        max_seconds: float | None,
        crop: str,
        augment: dict[str, Any] | None,
        effects: Sequence[Mapping[str, Any]],
    ) -> None:
        if crop not in ("first", "random"):
            raise ConfigError(f'crop is "first" or "random", not {crop!r}.')
        if max_seconds is not None and not 0 <= min_seconds <= max_seconds:
            raise ConfigError(f"min_seconds {min_seconds} must lie between 0 and max_seconds {max_seconds}.")
        self.sample_rate, self.crop = sample_rate, crop
        self.effects = sound_effects.build_effects(effects)
        self.deterministic = crop == "first" and not self.effects and not any((augment or {}).values())
        self.min_seconds, self.max_seconds = min_seconds, max_seconds
        try:
            self.augment = WaveAugment(**(augment or {}))
        except TypeError as error:
            known = ", ".join(WaveAugment.__dataclass_fields__)
            raise ConfigError(f"augment: {error}. Known are {known}.") from error

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        augment = asdict(self.augment)
        return {
            "sample_rate": self.sample_rate,
            "min_seconds": self.min_seconds,
            "max_seconds": self.max_seconds,
            "crop": self.crop,
            "augment": None if self.augment == WaveAugment() else augment,
            "effects": sound_effects.to_config(self.effects),
        }

    def _wave(self, raw: Any, training: bool) -> Tensor:
        """(T,) float32: zero mean and unit variance over the whole clip, then cut or repeated."""
        if not (isinstance(raw, Waveform) and raw.sample_rate == self.sample_rate):
            raw = load(raw, sample_rate=self.sample_rate)
        wave_T = raw.samples_T.float()
        if training and self.augment != WaveAugment():
            wave_T = self.augment(wave_T, sample_rate=self.sample_rate)
        for effect in self.effects if training else ():
            wave_T = effect(wave_T, sample_rate=self.sample_rate)
        low, high = torch.aminmax(wave_T)
        if float(high - low) == 0.0:
            raise InputError(f"The {raw.source} is constant: {len(wave_T)} equal samples carry no sound.")
        mean, variance = _moments(wave_T)
        part_T = self._fit(wave_T, training)
        return ((part_T.double() - mean) * (variance + NORM_EPS) ** -0.5).float()

    def _fit(self, wave_T: Tensor, training: bool) -> Tensor:
        if self.max_seconds is not None:
            most = max(1, int(self.max_seconds * self.sample_rate))
            spare = len(wave_T) - most
            if spare > 0:
                start = int(torch.randint(spare + 1, ())) if training and self.crop == "random" else 0
                wave_T = wave_T[start : start + most]
        least = int(self.min_seconds * self.sample_rate)
        if len(wave_T) < least:
            wave_T = wave_T.repeat(-(-least // len(wave_T)))[:least]
        return wave_T


class Wave(_SoundTransform):
    """Raw waveforms as ONE-PEACE (2023) takes them: normalised over the whole clip before it is cut.

    Args:
        sample_rate, min_seconds, max_seconds, crop, augment, effects: as in _SoundTransform; the published values are
            16000 Hz, clips below 1 s repeated, the first 15 s of longer ones. A change of loudness has no effect here.

    Raises:
        ConfigError: a wrong setting.
    """

    def __init__(
        self,
        *,
        sample_rate: int = SAMPLE_RATE,
        min_seconds: float = 1.0,
        max_seconds: float | None = 15.0,
        crop: str = "first",
        augment: dict[str, Any] | None = None,
        effects: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            min_seconds=min_seconds,
            max_seconds=max_seconds,
            crop=crop,
            augment=augment,
            effects=effects,
        )

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """wave_T float32. ``raw`` is a Waveform, or anything that the loader reads."""
        return {"wave_T": self._wave(raw, training)}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """wave_BT, zeros after each clip's end, and valid_BT."""
        return _pad([item["wave_T"] for item in items], "wave_BT")


class LogMel(_SoundTransform):
    """Logarithmic mel spectrogram: 25 ms Hann windows every 10 ms of the clip normalised to unit variance.

    Values are (ln(mel + 1e-4) - mean) / std with fixed numbers, so that ordinary speech has about zero mean and unit
    variance; a clip's loudness does not matter.

    Args:
        sample_rate, min_seconds, max_seconds, crop, augment, effects: as in _SoundTransform.
        mels: bands (Slaney's scale and norm), up to half the sample rate.
        hop_seconds, window_seconds: step and length of the windows.
        mean, std: of the fixed normalisation.
        time_masks, time_mask_seconds, mel_masks, mel_mask_bands: in training, how many stretches of time and of bands
            are set to the mean, each of a random length up to the given one (SpecAugment, Park et al. 2019).

    Raises:
        ConfigError: a wrong setting.
    """

    def __init__(
        self,
        *,
        sample_rate: int = SAMPLE_RATE,
        min_seconds: float = 0.0,
        max_seconds: float | None = 15.0,
        crop: str = "first",
        mels: int = 80,
        hop_seconds: float = 0.01,
        window_seconds: float = 0.025,
        mean: float = LOG_MEAN,
        std: float = LOG_STD,
        time_masks: int = 0,
        time_mask_seconds: float = 0.2,
        mel_masks: int = 0,
        mel_mask_bands: int = 15,
        augment: dict[str, Any] | None = None,
        effects: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            min_seconds=min_seconds,
            max_seconds=max_seconds,
            crop=crop,
            augment=augment,
            effects=effects,
        )
        if mels < 1 or hop_seconds <= 0 or window_seconds <= 0 or std <= 0:
            raise ConfigError("log_mel: mels, hop_seconds, window_seconds and std must be positive.")
        self.mels, self.hop_seconds, self.window_seconds = mels, hop_seconds, window_seconds
        self.mean, self.std = float(mean), float(std)
        self.time_masks, self.time_mask_seconds = time_masks, time_mask_seconds
        self.mel_masks, self.mel_mask_bands = mel_masks, mel_mask_bands
        self.deterministic = self.deterministic and not (time_masks or mel_masks)

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """mel_TC float32, C = mels. ``raw`` is a Waveform, or anything that the loader reads."""
        spectrogram = _spectrogram(
            self.sample_rate,
            self.mels,
            round(self.hop_seconds * self.sample_rate),
            round(self.window_seconds * self.sample_rate),
        )
        mel_CT = spectrogram(self._wave(raw, training))
        mel_CT = (torch.log(mel_CT + LOG_FLOOR) - self.mean) / self.std
        if training:
            mel_CT = self._mask(mel_CT)
        return {"mel_TC": mel_CT.t().contiguous()}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """mel_BTC, zeros after each clip's end, and valid_BT."""
        return _pad([item["mel_TC"] for item in items], "mel_BTC")

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return super().to_config(folder) | {
            "mels": self.mels,
            "hop_seconds": self.hop_seconds,
            "window_seconds": self.window_seconds,
            "mean": self.mean,
            "std": self.std,
            "time_masks": self.time_masks,
            "time_mask_seconds": self.time_mask_seconds,
            "mel_masks": self.mel_masks,
            "mel_mask_bands": self.mel_mask_bands,
        }

    def _mask(self, mel_CT: Tensor) -> Tensor:
        longest = max(1, min(round(self.time_mask_seconds / self.hop_seconds), mel_CT.shape[1] // 2))
        mask = torchaudio.functional.mask_along_axis
        for _ in range(self.time_masks):
            mel_CT = mask(mel_CT[None], longest, 0.0, axis=2)[0]
        for _ in range(self.mel_masks):
            mel_CT = mask(mel_CT[None], min(self.mel_mask_bands, self.mels), 0.0, axis=1)[0]
        return mel_CT


def _moments(wave_T: Tensor) -> tuple[float, float]:
    """Mean and variance in double precision: summing seconds of single precision with an offset loses digits. Block by
    block, so that an hour of sound is not copied."""
    mean = float(wave_T.sum(dtype=torch.float64)) / len(wave_T)
    blocks = ((block_T.double() - mean) for block_T in wave_T.split(MOMENTS_BLOCK))
    return mean, sum(float(block_T @ block_T) for block_T in blocks) / len(wave_T)


@lru_cache(maxsize=8)
def _spectrogram(sample_rate: int, mels: int, hop: int, window: int) -> torchaudio.transforms.MelSpectrogram:
    return torchaudio.transforms.MelSpectrogram(
        sample_rate=sample_rate,
        n_fft=window,
        hop_length=hop,
        n_mels=mels,
        pad_mode="constant",  # reflection needs a clip longer than half a window
        norm="slaney",
        mel_scale="slaney",
    )


def _pad(rows: list[Tensor], key: str) -> dict[str, Tensor]:
    length_B = torch.tensor([len(row) for row in rows])
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return {key: padded, "valid_BT": torch.arange(padded.shape[1])[None] < length_B[:, None]}
