"""Reads sound: files that libsndfile knows, their bytes, and arrays with their rate; always gives mono float32."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
from torch import Tensor

from omni.errors import InputError

SAMPLE_RATE = 16_000
MOST_CHANNELS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Waveform:
    """Mono sound.

    Attributes:
        samples_T: float32, at least one sample, finite, not all zero.
        sample_rate: in Hz.
        source: what error messages call it.
    """

    samples_T: Tensor
    sample_rate: int = SAMPLE_RATE
    source: str = "sound"


def load(value: Any, *, sample_rate: int = SAMPLE_RATE) -> Waveform:
    """One sound as mono float32 at ``sample_rate``.

    Channels are averaged; other rates are resampled (windowed sinc, torchaudio). Integer samples are divided by their
    full range.

    Args:
        value: a path or the bytes of a WAV, FLAC, Ogg, MP3 or AIFF file of any bit depth; ``(array, rate)`` or
            ``{"array": ..., "sample_rate": ...}`` with an array of (T,), (channels, T) or (T, channels), float or
            integer; or a Waveform. A bare array is refused, since its rate cannot be known.
        sample_rate: of the result, Hz.

    Raises:
        InputError: missing, damaged, truncated or unknown file; no samples, only zeros, NaN or infinity; an array
            without a rate or with ambiguous axes.
    """
    if isinstance(value, Waveform):
        sound, rate, name = value.samples_T, value.sample_rate, value.source
    elif isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview)):
        sound, rate, name = _read(value)
    else:
        array, rate = _with_rate(value)
        sound, name = _from_array(array), f"sound array of shape {tuple(np.shape(array))}"
    _check(sound, name)
    if rate != sample_rate:
        sound = _resampler(rate, sample_rate)(sound)
    if sound.numel() == 0:
        raise InputError(f"The {name} is too short: nothing is left of it at {sample_rate} Hz.")
    return Waveform(samples_T=sound, sample_rate=sample_rate, source=name)


def sample(variant: str = "typical") -> Waveform:
    """Sound made by a formula: "typical" 0.25 s, "minimum" 400 samples (one frame of the waveform stem), "other"
    1.3 s at another pitch."""
    lengths = {"typical": (4000, 220.0), "minimum": (400, 330.0), "other": (20800, 150.0)}
    if variant not in lengths:
        raise InputError(f"Unknown sample {variant!r}; there are {', '.join(lengths)}.")
    length, pitch = lengths[variant]
    time = torch.arange(length, dtype=torch.float64) / SAMPLE_RATE
    tone = sum(torch.sin(2 * torch.pi * pitch * k * time + k) / k for k in (1, 2, 3, 5))
    swell = 0.6 + 0.4 * torch.sin(2 * torch.pi * 3.0 * time)
    return Waveform(samples_T=(0.2 * tone * swell).float(), source=f"sample {variant!r}")


def _read(value: str | os.PathLike[str] | bytes | bytearray | memoryview) -> tuple[Tensor, int, str]:
    import soundfile  # loads libsndfile

    if isinstance(value, (str, os.PathLike)):
        name = f"sound {os.fspath(value)!r}"
        data = _bytes_of(os.fspath(value))
    else:
        data = bytes(value)
        name = f"sound of {len(data)} bytes"
    if not data:
        raise InputError(f"The {name} is empty (0 bytes); save it again.")
    _check_riff(data, name)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, announced = file.samplerate, file.frames
            samples = file.read(dtype="float32", always_2d=True)
    except Exception as error:  # libsndfile's errors have several types; all mean that the file is no sound
        raise InputError(
            f"The {name} cannot be read: {error} Known are WAV, FLAC, Ogg, MP3 and AIFF; convert or copy it again."
        ) from error
    if 0 < announced < 2**62 and len(samples) < announced:
        raise InputError(
            f"The {name} is truncated: it announces {announced} samples and holds {len(samples)}; copy it again."
        )
    return torch.from_numpy(samples).mean(1), int(rate), name


def _check_riff(data: bytes, name: str) -> None:
    """libsndfile reads a WAV that was cut off as a shorter one without a word; the header knows its true size."""
    if data[:4] != b"RIFF":
        return
    announced = int.from_bytes(data[4:8], "little") + 8
    streamed = announced >= 2**31  # written to a pipe: the size was not known
    if not streamed and announced > len(data) + 1:
        raise InputError(
            f"The {name} is truncated: it announces {announced} bytes and holds {len(data)}; copy it again."
        )


@lru_cache(maxsize=16)
def _resampler(rate: int, sample_rate: int) -> torchaudio.transforms.Resample:
    """Keeps its filter, which for 44100 to 16000 Hz takes longer to make than to apply to a second of sound."""
    return torchaudio.transforms.Resample(rate, sample_rate)


def _bytes_of(path: str) -> bytes:
    if "://" in path[:12]:
        raise InputError(f"Sound {path!r} is an address, not a file; download it first and give its path or bytes.")
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no sound {path!r}; check the path.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"Sound {path!r} cannot be read: {error}.") from error


def _with_rate(value: Any) -> tuple[Any, int]:
    if isinstance(value, Mapping):
        if not {"array", "sample_rate"} <= set(value):
            raise InputError(
                'A sound given as a dictionary needs the keys "array" and "sample_rate", not '
                f"{sorted(map(str, value))}."
            )
        array, rate = value["array"], value["sample_rate"]
    elif isinstance(value, tuple) and len(value) == 2:
        array, rate = value
        if np.ndim(array) == 0 and np.ndim(rate):
            raise InputError("A sound tuple is (array, sample_rate), in this order.")
    else:
        shape = getattr(value, "shape", None)
        what = f"an array of shape {tuple(shape)}" if shape is not None else type(value).__name__
        raise InputError(
            f"Sound given as {what} has no sample rate; give (array, sample_rate), "
            '{"array": ..., "sample_rate": ...}, a path or the bytes of a file.'
        )
    if isinstance(rate, bool) or np.ndim(rate) or not _is_whole(rate) or not 100 <= int(rate) <= 1_000_000:
        raise InputError(f"The sample rate of a sound must be a whole number of Hz (100 to 1000000), not {rate!r}.")
    return array, int(rate)


def _is_whole(rate: Any) -> bool:
    try:
        return float(rate) == int(rate)
    except (TypeError, ValueError, OverflowError):
        return False


def _from_array(array: Any) -> Tensor:
    values = array.detach().cpu() if isinstance(array, Tensor) else _tensor(array)
    if values.dim() == 2:
        values = _mono(values)
    elif values.dim() != 1:
        raise InputError(f"A sound array must have the shape (T,) or (channels, T), not {tuple(values.shape)}.")
    if values.is_floating_point():
        return values.float()
    if values.dtype == torch.uint8:
        return (values.float() - 128) / 128
    if values.dtype in (torch.int16, torch.int32):
        return (values.double() / 2 ** (15 if values.dtype == torch.int16 else 31)).float()
    raise InputError(f"A sound array of {values.dtype} is ambiguous; give floats in -1..1, or int16, int32 or uint8.")


def _tensor(array: Any) -> Tensor:
    try:
        values = np.array(array)
        return torch.from_numpy(values.astype(values.dtype.newbyteorder("=")))
    except (TypeError, ValueError) as error:
        raise InputError(f"A sound array cannot be read: {error}. Give a numpy array or a tensor.") from error


def _mono(values: Tensor) -> Tensor:
    rows, columns = values.shape
    if min(rows, columns) > MOST_CHANNELS or (max(rows, columns) <= MOST_CHANNELS and min(rows, columns) > 1):
        raise InputError(
            f"In a sound array of shape ({rows}, {columns}) it is unclear which axis is time; give one channel (T,)."
        )
    channel_axis = 0 if rows <= columns else 1
    scaled = values if values.is_floating_point() else _scaled(values)
    return scaled.float().mean(channel_axis)


def _scaled(values: Tensor) -> Tensor:
    """Integer samples of several channels as floats, before they are averaged."""
    return _from_array(values.flatten()).view(values.shape)


def _check(sound: Tensor, name: str) -> None:
    if sound.numel() == 0:
        raise InputError(f"The {name} has no samples; record or export it again.")
    if not bool(torch.isfinite(sound).all()):
        raise InputError(f"The {name} holds NaN or infinite samples; export it again.")
    if not bool(sound.any()):
        raise InputError(
            f"The {name} is silent (all samples are zero), so nothing can be said about it; leave the slot out."
        )
