"""A slot's value as a file of its own: its bytes and its ending, such that the slot's modality reads it back."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omni.data.loaders import describe, is_path, strings_are_paths
from omni.errors import InputError
from omni.plugin.specs import ModalitySpec

# (where, first bytes, ending, media type) of formats that browsers and loaders know by them
SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "png", "image/png"),
    (0, b"\xff\xd8\xff", "jpg", "image/jpeg"),
    (0, b"GIF8", "gif", "image/gif"),
    (8, b"WEBP", "webp", "image/webp"),
    (0, b"BM", "bmp", "image/bmp"),
    (0, b"II*\0", "tif", "image/tiff"),
    (0, b"MM\0*", "tif", "image/tiff"),
    (8, b"WAVE", "wav", "audio/wav"),
    (0, b"fLaC", "flac", "audio/flac"),
    (0, b"OggS", "ogg", "audio/ogg"),
    (0, b"ID3", "mp3", "audio/mpeg"),
    (0, b"\xff\xfb", "mp3", "audio/mpeg"),
    (0, b"\xff\xf3", "mp3", "audio/mpeg"),
    (4, b"ftyp", "mp4", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "webm", "video/webm"),
    (0, b"\x93NUMPY", "npy", "application/octet-stream"),
)


def signature(content: bytes) -> tuple[str, str] | None:
    """(ending, media type) of a file by its first bytes, or None."""
    for offset, start, ending, media in SIGNATURES:
        if content[offset : offset + len(start)] == start:
            return ending, media
    return None


def as_file(value: Any, spec: ModalitySpec, *, what: str) -> tuple[str, bytes]:
    """(ending without the dot, content) of a value.

    Paths are read and bytes taken as they are. Strings that are no paths become text, lists and numbers JSON, PIL
    images PNG, arrays .npy, or PNG where they are pictures and the modality reads no .npy, samples with their rate WAV.

    Raises:
        InputError: a file that cannot be read, or a value of which no file can be made that the modality reads.
    """
    if is_path(value, spec):
        path = Path(value)
        try:
            return path.suffix.lower().lstrip(".") or "bin", path.read_bytes()
        except OSError as error:
            raise InputError(f"{what}: the file {str(path)!r} cannot be read: {error.strerror}") from error
    if isinstance(value, (bytes, bytearray, memoryview)):
        content = bytes(value)
        found = signature(content)
        return (found[0] if found else "bin"), content
    if isinstance(value, str):
        return "txt", value.encode()
    made = _picture(value, spec) or _array(value, spec) or _sound(value, spec) or _plain(value, spec)
    if made is None:
        raise InputError(
            f"{what}: {describe(value)} cannot be made a file that {spec.name} reads "
            f"({', '.join(spec.extensions) or 'it names no endings'}). Give files or bytes."
        )
    return made


def _picture(value: Any, spec: ModalitySpec) -> tuple[str, bytes] | None:
    """PNG of a PIL image, or of a uint8 array with the shape of one where the modality reads no arrays."""
    if ".png" not in spec.extensions:
        return None
    if isinstance(value, np.ndarray) and ".npy" not in spec.extensions:
        if value.dtype != np.uint8 or not (value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (3, 4))):
            return None
        from PIL import Image

        value = Image.fromarray(value)
    if not (hasattr(value, "save") and hasattr(value, "mode")):
        return None
    content = io.BytesIO()
    value.save(content, "PNG")
    return "png", content.getvalue()


def _array(value: Any, spec: ModalitySpec) -> tuple[str, bytes] | None:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc" or ".npy" not in spec.extensions:
        return None
    content = io.BytesIO()
    np.save(content, value, allow_pickle=False)
    return "npy", content.getvalue()


def _sound(value: Any, spec: ModalitySpec) -> tuple[str, bytes] | None:
    """WAV (32-bit float, or the integers that they are) of samples with their rate, where the modality reads it."""
    found = samples_with_rate(value)
    if found is None or ".wav" not in spec.extensions:
        return None
    samples, rate = found
    return "wav", wav_file(samples, rate)


def wav_file(samples: np.ndarray, rate: int) -> bytes:
    """A WAV file of (T,) or (T, channels) samples: int16 and int32 as they are, anything else as 32-bit float.

    By hand: libsndfile writes the time of day into float files, so no two of them would be the same.
    """
    exact = samples.dtype in (np.int16, np.int32)
    content = np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder("<") if exact else "<f4")
    channels = 1 if content.ndim == 1 else content.shape[1]
    width = content.dtype.itemsize
    shape = struct.pack(
        "<HHIIHH", 1 if exact else 3, channels, rate, rate * channels * width, channels * width, 8 * width
    )
    data = content.tobytes()
    return b"".join((
        b"RIFF", struct.pack("<I", 4 + 24 + 8 + len(data)), b"WAVE",
        b"fmt ", struct.pack("<I", 16), shape,
        b"data", struct.pack("<I", len(data)), data,
    ))  # fmt: skip


def samples_with_rate(value: Any) -> tuple[np.ndarray, int] | None:
    """((T,) or (T, channels) samples, Hz) of ``(array, rate)``, ``{"array", "sample_rate"}`` or an object with
    ``samples_T`` and ``sample_rate``; None of anything else."""
    if isinstance(value, Mapping):
        array, rate = value.get("array"), value.get("sample_rate", value.get("sampling_rate"))
    elif isinstance(value, tuple) and len(value) == 2:
        array, rate = value
    else:
        array, rate = getattr(value, "samples_T", None), getattr(value, "sample_rate", None)
    if array is None or not isinstance(rate, (int, np.integer)) or isinstance(rate, bool):
        return None
    samples = np.asarray(array)
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T
    return (samples, int(rate)) if samples.ndim in (1, 2) and samples.dtype.kind in "fi" else None


def _plain(value: Any, spec: ModalitySpec) -> tuple[str, bytes] | None:
    """JSON of what the modality is given as plain values anyway."""
    if strings_are_paths(spec):
        return None
    try:
        return "json", json.dumps(value, ensure_ascii=False, sort_keys=True).encode()
    except (TypeError, ValueError):
        return None
