"""Sound through the encoder of Whisper-tiny.en, run by CTranslate2: log-mel spectrum, encoder, states of 20 ms."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
from torch import Tensor

from omni.errors import ConfigError, InputError
from omni_plugin_audio.io import Waveform
from omni_plugin_towers.packages import WHISPER, module_of, weights_of
from omni_plugin_towers.states import FrozenStates, as_states, positive

SAMPLE_RATE = 16_000
MELS, FFT, HOP = 80, 400, 160
WINDOW_SECONDS = 30.0  # what Whisper was trained on
PRECISIONS = ("float32", "int8")


def log_mel(wave_T: Tensor, *, seconds: float = WINDOW_SECONDS) -> Tensor:
    """Whisper's spectrum of a window: the sound is cut there, or filled up with silence.

    As in Whisper's audio.py (Radford et al. 2022, section 2.2): 80 Slaney bands of 25 ms every 10 ms, log10, at most 8
    below the window's maximum, then (x + 4) / 4.

    Args:
        wave_T: float, 16 kHz.
        seconds: of the window.

    Returns:
        float32 (80, F), F = 100 frames a second, even.
    """
    frames = 2 * math.ceil(seconds * SAMPLE_RATE / HOP / 2 - 1e-6)
    wave_T = wave_T.float()[: frames * HOP]
    wave_T = torch.nn.functional.pad(wave_T, (0, frames * HOP - len(wave_T)))
    window = torch.hann_window(FFT)
    spectrum = torch.stft(wave_T, FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    mel_MF = _filters().T @ spectrum[:, :-1].abs().square()
    log_MF = mel_MF.clamp(min=1e-10).log10()
    return (torch.maximum(log_MF, log_MF.max() - 8.0) + 4.0) / 4.0


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    return torchaudio.functional.melscale_fbanks(
        FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, MELS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )


def encode(mel_MF: Tensor, *, precision: str = "float32", path: Path | None = None) -> np.ndarray:
    """float32 (F/2, 384): the encoder's states of one spectrum, 20 ms each.

    Args:
        mel_MF: (80, F), F even and at most 3000.
        precision: "float32", or "int8" for the matrix products.
        path: folder of a model in CTranslate2's format; None = the package's.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    runtime = module_of(WHISPER, "ctranslate2")
    model = _model(str(path or weights_of(WHISPER).parent), precision, os.getpid())
    mel_1MF = np.ascontiguousarray(mel_MF[None].numpy(), dtype=np.float32)
    states = model.encode(runtime.StorageView.from_array(mel_1MF))
    return np.array(states.to(runtime.DataType.float32))[0]


@lru_cache(maxsize=2)
def _model(folder: str, precision: str, process: int) -> Any:
    """One for each process; its threads do not survive a fork."""
    runtime = module_of(WHISPER, "ctranslate2")
    threads = max(1, torch.get_num_threads())
    return runtime.models.Whisper(folder, device="cpu", compute_type=precision, intra_threads=threads)


class WhisperSound(FrozenStates):
    """The frozen states of the frames that hold sound.

    Args:
        window_seconds: of the window; longer sounds are cut there. 30 is what Whisper was trained on; where all sounds
            are short, a window a little longer than they are gives slightly different states in a tenth of the time.
        average: so many states of 20 ms next to each other become one.
        precision: "float32", or "int8".
        encoder, keep: see FrozenStates.

    Raises:
        ConfigError: a number out of range. MissingDependencyError, WeightsError: see FrozenStates.
    """

    source = WHISPER

    def __init__(
        self,
        *,
        window_seconds: float = WINDOW_SECONDS,
        average: int = 1,
        precision: str = "float32",
        encoder: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> None:
        super().__init__(encoder=encoder, keep=keep)
        self.window_seconds = positive("window_seconds", window_seconds, WINDOW_SECONDS)
        self.average = int(positive("average", average, 1500))
        if precision not in PRECISIONS:
            raise ConfigError(f"precision={precision!r} is not one of {', '.join(PRECISIONS)}")
        self.precision = precision

    def settings(self) -> dict[str, Any]:
        return {"window_seconds": self.window_seconds, "average": self.average, "precision": self.precision}

    def loader_options(self) -> dict[str, Any]:
        return {"sample_rate": SAMPLE_RATE}

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """{"states_LC"} float16 (L, 384), at least one state.

        Raises:
            InputError: not what the audio loader gives at 16 kHz.
        """
        if not isinstance(raw, Waveform):
            raise InputError(f"sound is what the audio loader gives (a Waveform), not {type(raw).__name__}")
        if raw.sample_rate != SAMPLE_RATE:
            raise InputError(
                f"the sound has {raw.sample_rate} Hz, Whisper reads {SAMPLE_RATE}: "
                f"loader=dict(sample_rate={SAMPLE_RATE})"
            )
        wave_T = raw.samples_T.float()[: int(self.window_seconds * SAMPLE_RATE)]
        return as_states(self._kept(wave_T.numpy().tobytes(), lambda: self._compute(wave_T)))

    def _compute(self, wave_T: Tensor) -> np.ndarray:
        states_LC = encode(log_mel(wave_T, seconds=self.window_seconds), precision=self.precision)
        real = max(1, math.ceil(len(wave_T) / (2 * HOP)))
        groups = [states_LC[at : min(at + self.average, real)] for at in range(0, real, self.average)]
        return np.stack([group.mean(0) for group in groups])
