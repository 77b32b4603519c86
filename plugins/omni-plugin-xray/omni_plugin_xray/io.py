"""Reads radiographs: DICOM, PNG and JPEG files, their bytes, PIL pictures and arrays; gives 16 bits, bone bright."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omni.errors import ConfigError, InputError
from omni_plugin_xray import metadata as md
from omni_plugin_xray.dicom import PERCENT, DicomOptions, is_dicom, read_dicom, read_header
from omni_plugin_xray.display import Window, range_window, to_levels
from omni_plugin_xray.image import XrayImage
from omni_plugin_xray.raster import decode_raster, from_array, from_picture, is_raster

MAX_PIXELS = 89_478_485
MAX_BYTES = 1 << 30
WINDOWS = ("file", "minmax", "percentile")


def load(
    value: Any,
    *,
    window: str | tuple[float, float] = "file",
    invert: bool | None = None,
    frame: int | None = None,
    max_pixels: int = MAX_PIXELS,
    identifiers: bool = False,
    allow_burned_in: bool = False,
    any_modality: bool = False,
) -> XrayImage:
    """One radiograph as 16-bit grey levels with bone bright.

    Of DICOM the modality table or slope, the window and the polarity are applied; rows and columns stay as they are
    stored, whatever PatientOrientation says. PNG and JPEG are taken as they are shown (EXIF orientation is applied).

    Args:
        value: a path, the bytes of a file, a PIL picture, an XrayImage, or an array (height, width): uint8, uint16 or
            floats in 0..1.
        window: "file": the first display table or window of a DICOM file, where it has none from its lowest value to
            its highest, and the full range of other pictures; "minmax"; "percentile" (0.5 % cut at either end); or
            (center, width), in the units of the rescaled values, of a DICOM file.
        invert: True: bone is dark in the stored values; False: it is bright; None: as a DICOM file says, bright in
            other pictures.
        frame: which of several frames, from 0; None refuses a file of several.
        max_pixels: larger pictures are refused before they are decoded.
        identifiers: also read who and what the file is of, into XrayImage.identifiers only.
        allow_burned_in: read a file that says that text about the patient is in its pixels.
        any_modality: read DICOM files of other modalities than radiography.

    Raises:
        InputError: missing, damaged, truncated, blank or unknown file; colour; contradictory or unusable fields; too
            many pixels; an ambiguous array. Texts name the file and hold nothing of its header but numbers.
        ConfigError: an unknown window.
        MissingDependencyError: a compressed file whose decoder is not installed.
    """
    window = _checked_window(window)
    name = describe(value)
    if isinstance(value, (str, os.PathLike)):
        value = _read_file(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value)
        if not value:
            raise InputError(f"The {name} is empty (0 bytes); copy or export it again.")
        if is_dicom(value):
            options = DicomOptions(
                window=window, invert=invert, frame=frame, max_pixels=max_pixels, identifiers=identifiers,
                allow_burned_in=allow_burned_in, any_modality=any_modality,
            )  # fmt: skip
            return read_dicom(value, name, options)
    if isinstance(value, XrayImage):
        return value
    if isinstance(window, tuple) or frame:
        raise InputError(f"The {name} is no DICOM file; a window of numbers and a frame are read from those only.")
    return _from_levels(value, name, window=window, invert=bool(invert), max_pixels=max_pixels)


def read_metadata(value: str | os.PathLike[str] | bytes) -> dict[str, Any]:
    """The descriptive fields of a DICOM file without its pixels: view position, side, body part, spacing, for making
    manifests (omni_plugin_xray.metadata.facts). {} for a PNG or JPEG, which have none.

    Raises:
        InputError: missing, damaged or unknown file.
    """
    name = describe(value)
    data = value if isinstance(value, bytes) else _read_file(value)
    if is_dicom(data):
        return md.facts(read_header(data, name, pixels=False))
    if is_raster(data):
        return {}
    raise InputError(_unknown(name))


def sample(variant: str = "typical") -> XrayImage:
    """A small radiograph-like picture by a formula: "typical" 32 x 32, "minimum" 1 x 1, "other" 48 x 24."""
    sizes = {"typical": (32, 32, 1), "minimum": (1, 1, 2), "other": (48, 24, 5)}
    if variant not in sizes:
        raise InputError(f"Unknown sample {variant!r}; there are {', '.join(sizes)}.")
    height, width, seed = sizes[variant]
    y, x = np.mgrid[0:height, 0:width]
    waves = np.sin(x * 0.3 * seed / 3 + y * 0.2 + seed) * 0.5 + 0.5
    return XrayImage(levels_HW=np.rint(waves * 65535).astype(np.uint16), source=f"sample {variant!r}")


def describe(value: Any) -> str:
    """How error messages call a value."""
    if isinstance(value, (str, os.PathLike)):
        return f"radiograph {os.fspath(value)!r}"
    if isinstance(value, XrayImage):
        return value.source
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"radiograph of {len(value)} bytes"
    shape = getattr(value, "shape", getattr(value, "size", None))
    return f"radiograph ({type(value).__name__} of size {tuple(shape) if isinstance(shape, tuple) else shape})"


def _checked_window(window: Any) -> str | tuple[float, float]:
    if isinstance(window, str) and window in WINDOWS:
        return window
    if isinstance(window, (tuple, list)) and len(window) == 2:
        pair = tuple(md.number(value) for value in window)
        if None not in pair and not Window(center=float(pair[0]), width=float(pair[1])).problem():
            return float(pair[0]), float(pair[1])
    raise ConfigError(f"The xray loader's window is {', '.join(WINDOWS)} or (center, width >= 1), not {window!r}.")


def _read_file(path: str | os.PathLike[str]) -> bytes:
    text = os.fspath(path)
    if isinstance(text, str) and "://" in text[:12]:
        raise InputError(f"Radiograph {text!r} is an address, not a file; download it first and give its path.")
    try:
        status = os.stat(text)
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"Radiograph {text!r} is a folder; give the files in it.")
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device: reading might never end
            raise InputError(f"Radiograph {text!r} is no ordinary file; give a file or bytes.")
        if status.st_size > MAX_BYTES:
            raise InputError(f"Radiograph {text!r} has {status.st_size} bytes, more than {MAX_BYTES}; is it one?")
        return Path(text).read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no radiograph {text!r}; check the path.") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:  # no permission, a loop of links, a name with a zero byte
        raise InputError(f"Radiograph {text!r} cannot be read: {error}.") from error


def _unknown(name: str) -> str:
    return f"The {name} is neither DICOM nor PNG nor JPEG; convert it to one of them."


def _levels(value: Any, name: str, max_pixels: int) -> tuple[np.ndarray, dict[str, Any]]:
    if isinstance(value, bytes):
        if not is_raster(value):
            raise InputError(_unknown(name))
        return decode_raster(value, name, max_pixels)
    if isinstance(value, Image.Image):
        levels, bits = from_picture(value, name)
    elif hasattr(value, "__array__") or hasattr(value, "detach"):
        levels, bits = from_array(value, name)
    else:
        raise InputError(
            f"A radiograph cannot be read from {type(value).__name__}; give a path, bytes, a picture or an array."
        )
    return levels, {"format": "memory", "bits_stored": bits}


def _from_levels(value: Any, name: str, *, window: str, invert: bool, max_pixels: int) -> XrayImage:
    """Whatever is not DICOM: as it is shown, or from its lowest level to its highest."""
    levels, meta = _levels(value, name, max_pixels)
    shown = levels / np.float64(65535)
    if window != "file":
        shown = range_window(levels, PERCENT if window == "percentile" else 0.0, name)(levels)
    levels = to_levels(shown, invert=invert, padding=None, name=name)
    meta |= {"rows": levels.shape[0], "columns": levels.shape[1], "inverted": invert, "window_source": window}
    return XrayImage(levels_HW=levels, meta=meta, source=name)
