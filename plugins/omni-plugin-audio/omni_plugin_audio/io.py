"""Reads sound: WAV, files that libsndfile knows, their bytes, arrays with their rate; always gives mono float32."""

from __future__ import annotations

import io
import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omni.errors import InputError
from omni_plugin_audio import truncation, wav
from omni_plugin_audio.resampling import resample

SAMPLE_RATE = 16_000
MOST_CHANNELS = 32
MOST_SECONDS = 4 * 3600.0
LARGE_FILE = 1 << 26  # bytes; larger files are read piece by piece
MAPPED_FILE = 1 << 20
BLOCK_FRAMES = 1 << 20


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


def load(value: Any, *, sample_rate: int = SAMPLE_RATE, max_seconds: float = MOST_SECONDS) -> Waveform:
    """One sound as mono float32 at ``sample_rate``.

    Channels are averaged; other rates are resampled (windowed sinc, torchaudio). Integer samples are divided by their
    full range. Plain WAV files are read without a decoder; large files piece by piece.

    Args:
        value: a path or the bytes of a WAV, FLAC, Ogg, MP3 or AIFF file of any bit depth; ``(array, rate)`` or
            ``{"array": ..., "sample_rate": ...}`` with an array of (T,), (channels, T) or (T, channels), float or
            integer; or a Waveform. A bare array is refused, since its rate cannot be known.
        sample_rate: of the result, Hz.
        max_seconds: longer sounds are refused, before they are decoded where the file says its length: a small file
            can hold days of silence.

    Raises:
        InputError: missing, damaged, truncated or unknown file; no samples, only zeros, NaN or infinity; too long; an
            array without a rate or with ambiguous axes.
    """
    if isinstance(value, Waveform):
        sound, rate, name = value.samples_T, value.sample_rate, value.source
    elif isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview)):
        sound, rate, name = _read(value, max_seconds)
    else:
        array, rate = _with_rate(value)
        sound, name = _from_array(array), f"sound array of shape {tuple(np.shape(array))}"
    _check_length(len(sound), rate, name, max_seconds)
    _check(sound, name)
    sound = resample(sound, rate=rate, sample_rate=sample_rate)
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


def _read(
    value: str | os.PathLike[str] | bytes | bytearray | memoryview, max_seconds: float
) -> tuple[Tensor, int, str]:
    if not isinstance(value, (str, os.PathLike)):
        data: bytes | mmap.mmap = bytes(value)
        name = f"sound of {len(data)} bytes"
    else:
        path = os.fspath(value)
        name = f"sound {path!r}"
        if _is_large(path):
            return *_decode(path, name, max_seconds), name
        data = _bytes_of(path)
    if not data:
        raise InputError(f"The {name} is empty (0 bytes); save it again.")
    truncation.check(data, name)
    layout = wav.parse(data, name)
    if layout is None:
        return *_decode(io.BytesIO(data), name, max_seconds), name
    _check_length(layout.frames, layout.rate, name, max_seconds)
    return torch.from_numpy(wav.mono(data, layout)), layout.rate, name


def _is_large(path: str) -> bool:
    try:
        return os.path.getsize(path) > LARGE_FILE
    except (OSError, ValueError):
        return False  # what is wrong is said when it is read


def _decode(source: str | io.BytesIO, name: str, max_seconds: float) -> tuple[Tensor, int]:
    """Through libsndfile, piece by piece."""
    import soundfile  # loads libsndfile

    if isinstance(source, str):
        truncation.check_large(source, name)
    blocks, count = [], 0
    try:
        with soundfile.SoundFile(source) as file:
            rate, announced = int(file.samplerate), file.frames if 0 < file.frames < 2**62 else 0
            _check_length(announced, rate, name, max_seconds)
            while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                count += len(block)
                _check_length(count, rate, name, max_seconds)
                blocks.append(_mean_of_channels(block))
    except InputError:
        raise
    except Exception as error:  # libsndfile's errors have several types; all mean that the file is no sound
        raise InputError(
            f"The {name} cannot be read: {error} Known are WAV, FLAC, Ogg, MP3 and AIFF; convert or copy it again."
        ) from error
    if count < announced:
        raise InputError(f"The {name} is truncated: it announces {announced} samples and holds {count}; copy it again.")
    return torch.from_numpy(np.concatenate(blocks) if blocks else np.empty(0, np.float32)), rate


def _mean_of_channels(block_TC: np.ndarray) -> np.ndarray:
    channels = block_TC.shape[1]
    return block_TC[:, 0].copy() if channels == 1 else block_TC @ np.full(channels, 1 / channels, np.float32)


def _check_length(frames: int, rate: int, name: str, max_seconds: float) -> None:
    if frames > max_seconds * rate:
        raise InputError(
            f"The {name} lasts {frames / rate:.0f} s or longer, more than {max_seconds:g} s; cut it, or raise the "
            "loader's max_seconds if the file can be trusted."
        )


def _bytes_of(path: str) -> bytes | mmap.mmap:
    """The file's contents; mapped where copying them would take longer than converting them."""
    if "://" in path[:12]:
        raise InputError(f"Sound {path!r} is an address, not a file; download it first and give its path or bytes.")
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > MAPPED_FILE:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return file.read()
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
    low, high = (float(bound) for bound in torch.aminmax(sound))  # NaN wins in both
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"The {name} holds NaN or infinite samples; export it again.")
    if low == high == 0.0:
        raise InputError(
            f"The {name} is silent (all samples are zero), so nothing can be said about it; leave the slot out."
        )
