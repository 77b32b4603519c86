"""Any sample rate to any other: torchaudio's windowed sinc, or a Fourier transform where its filter would be huge."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torchaudio
from torch import Tensor
from torch.nn import functional as F

MOST_WEIGHTS = 1 << 22  # 16 MiB; the filter for 44100 to 16000 Hz has 76 thousand, for 44101 Hz it would have 10**9
BLOCK_SAMPLES = 1 << 20
FOURIER_CONTEXT_S = 0.5


def resample(sound_T: Tensor, *, rate: int, sample_rate: int) -> Tensor:
    """A clip at another rate, in blocks, so that hours of sound need no more memory than input and output.

    Args:
        sound_T: (T,) float.
        rate: of the clip, Hz.
        sample_rate: wanted, Hz.

    Returns:
        (ceil(T * sample_rate / rate),) of the same dtype. Blocks give the numbers of the whole clip.
    """
    if rate == sample_rate:
        return sound_T
    divisor = math.gcd(rate, sample_rate)
    old, new = rate // divisor, sample_rate // divisor
    if _weights(old, new) <= MOST_WEIGHTS:
        sinc = _resampler(rate, sample_rate)
        return _in_blocks(sound_T, sinc, old=old, new=new, context=-(-sinc.width // old) + 1)
    context = math.ceil(FOURIER_CONTEXT_S * rate / old)
    return _in_blocks(sound_T, lambda part: _fourier(part, old=old, new=new), old=old, new=new, context=context)


def _weights(old: int, new: int) -> int:
    """Size of torchaudio's filter: one phase for each of ``new`` outputs."""
    width = math.ceil(6 * old / (0.99 * min(old, new)))
    return new * (2 * width + old)


@lru_cache(maxsize=16)
def _resampler(rate: int, sample_rate: int) -> torchaudio.transforms.Resample:
    """Keeps its filter, which for 44100 to 16000 Hz takes longer to make than to apply to a second of sound. It is made
    in double precision: single precision puts the phases off by up to 2e-5."""
    return torchaudio.transforms.Resample(rate, sample_rate, dtype=torch.float64).float()


def _in_blocks(sound_T: Tensor, inner: Callable[[Tensor], Tensor], *, old: int, new: int, context: int) -> Tensor:
    """Blocks of whole periods (``old`` samples in, ``new`` out) with ``context`` periods of their neighbours."""
    periods = -(-len(sound_T) // old)
    step = max(1, BLOCK_SAMPLES // old, 2 * context)
    padded = F.pad(sound_T, (context * old, (periods + context) * old - len(sound_T)))
    parts = []
    for first in range(0, periods, step):
        count = min(step, periods - first)
        part = inner(padded[first * old : (first + count + 2 * context) * old])
        parts.append(part[context * new : (context + count) * new])
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    return whole[: -(-len(sound_T) * new // old)]


def _fourier(sound_T: Tensor, *, old: int, new: int) -> Tensor:
    """Band-limited resampling of whole periods: the spectrum is cut off, or continued with zeros."""
    length = len(sound_T) // old * new
    spectrum = torch.fft.rfft(sound_T)
    bins = length // 2 + 1
    spectrum = spectrum[:bins] if len(spectrum) > bins else F.pad(spectrum, (0, bins - len(spectrum)))
    return torch.fft.irfft(spectrum, n=length) * (length / len(sound_T))
