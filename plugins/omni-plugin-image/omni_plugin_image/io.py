"""Reads pictures: any file Pillow knows, bytes, PIL images and arrays; always gives upright RGB."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from omni.errors import InputError
from omni_plugin_image import jpeg

MAX_PIXELS = 89_478_485  # Pillow's own limit: a 256 MiB RGB picture
CHANNELS = (1, 3, 4)
WHITE = (255, 255, 255)
FORMS = ("pil", "array")
JPEG_FORMATS = ("JPEG", "MPO")  # MPO: several JPEGs in one file, as many phones write; the first is the picture
ORIENTATION = 0x0112


@dataclass(frozen=True, kw_only=True, eq=False)
class RgbArray:
    """A picture as an array, what the transforms of this plugin ask the loader for: no copy into a PIL image and back.

    Attributes:
        pixels_HWC: (height, width, 3) uint8, upright RGB, contiguous.
        source: what error messages call it.
    """

    pixels_HWC: np.ndarray
    source: str = "picture"


@dataclass(frozen=True, kw_only=True)
class _Options:
    """The keyword arguments of load()."""

    at_least: int | None
    background: tuple[int, ...]
    max_pixels: int
    frame: int


def load(
    value: Any,
    *,
    at_least: int | None = None,
    background: tuple[int, int, int] = WHITE,
    max_pixels: int = MAX_PIXELS,
    frame: int = 0,
    form: str = "pil",
) -> Image.Image | RgbArray:
    """One picture as RGB.

    EXIF orientation is applied; of an animation one frame is taken, the first unless told; transparent pixels are
    composited on ``background``; CMYK, palette, grey and 16-bit pictures are converted (16-bit grey by its full range).
    Colour profiles are not applied.

    Args:
        value: a path, the bytes of a file, a PIL image, an RgbArray, or an array: uint8 (height, width), (height,
            width, channels) or (channels, height, width); float in 0..1 with the same shapes. 1, 3 or 4 channels.
        at_least: if the picture will be resized to this many pixels a side, a JPEG of at least four times that size
            may be decoded smaller, never below twice that side (DCT scaling; after resizing a photograph differs from
            the full decode by about 0.2 of 255, at most 4; pixel noise by 2, at most 16). None decodes at full size.
        background: RGB below transparent pixels.
        max_pixels: larger pictures are refused before they are decoded.
        frame: which picture of an animation or of a file of several pages, counted from 0.
        form: "pil" or "array": what is returned.

    Returns:
        A PIL image in mode RGB, or an RgbArray; at least one pixel.

    Raises:
        InputError: missing, damaged, truncated or unknown file, no such frame, too many pixels, ambiguous array.
    """
    if form not in FORMS:
        raise InputError(f"The image loader's form is one of {', '.join(FORMS)}, not {form!r}.")
    name = describe(value)
    options = _Options(at_least=at_least, background=tuple(background), max_pixels=max_pixels, frame=frame)
    picture = _read(value, name, options)
    if form == "pil":
        return picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return RgbArray(pixels_HWC=np.array(picture) if isinstance(picture, Image.Image) else picture, source=name)


def _read(value: Any, name: str, options: _Options) -> Image.Image | np.ndarray:
    if isinstance(value, RgbArray):
        _check_size(value.pixels_HWC.shape[1::-1], name, options.max_pixels)
        return value.pixels_HWC
    if isinstance(value, Image.Image):
        return _to_rgb(value, name, options)
    if isinstance(value, (str, os.PathLike)):
        value = _read_file(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _decode(bytes(value), name, options)
    if hasattr(value, "__array__") or hasattr(value, "detach"):
        return _to_rgb(_from_array(value, name), name, options)
    raise InputError(
        f"A picture cannot be read from {type(value).__name__}; give a path, bytes, a PIL image or an array."
    )


def _decode(data: bytes, name: str, options: _Options) -> Image.Image | np.ndarray:
    """A file: the fast decoder where it is a plain JPEG, Pillow for the rest."""
    image = _open(data, name)
    _check_size(image.size, name, options.max_pixels)
    if image.format not in JPEG_FORMATS:
        return _to_rgb(image, name, options)
    shrink = jpeg.shrink_for(image.size, options.at_least)
    if image.mode in ("RGB", "L") and options.frame == 0:
        pixels = jpeg.decode(data, name, size=image.size, shrink=shrink)
        if pixels is not None:
            return jpeg.turn_upright(pixels, _orientation(image))
    if shrink > 1 and image.mode == "RGB":
        image.draft("RGB", tuple(-(-side // shrink) for side in image.size))
    return _to_rgb(image, name, options)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF: the pixels are still good
        return 1


def sample(variant: str = "typical") -> Image.Image:
    """A small picture made by a formula: "typical" 32 x 32, "minimum" 1 x 1, "other" 48 x 24 with other content."""
    sizes = {"typical": (32, 32, 1), "minimum": (1, 1, 2), "other": (48, 24, 5)}
    if variant not in sizes:
        raise InputError(f"Unknown sample {variant!r}; there are {', '.join(sizes)}.")
    width, height, seed = sizes[variant]
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x * (0.3 + 0.1 * c) * seed / 3 + y * (0.2 + 0.05 * c) + seed + c) for c in range(3)]
    return Image.fromarray((np.stack(waves, -1) * 127 + 128).astype(np.uint8))


def describe(value: Any) -> str:
    """How error messages call a value."""
    if isinstance(value, (str, os.PathLike)):
        return f"picture {os.fspath(value)!r}"
    if isinstance(value, Image.Image):
        file = getattr(value, "filename", "") or value.info.get("source", "")
        return f"picture {file!r}" if file else f"PIL image ({value.mode}, {value.width} x {value.height})"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"picture of {len(value)} bytes"
    shape = getattr(value, "shape", None)
    return f"picture array of shape {tuple(shape)}" if shape is not None else f"picture ({type(value).__name__})"


def _read_file(path: str | os.PathLike[str]) -> bytes:
    text = os.fspath(path)
    if isinstance(text, str) and "://" in text[:12]:
        raise InputError(f"Picture {text!r} is an address, not a file; download it first and give its path or bytes.")
    try:
        return Path(text).read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no picture {text!r}; check the path.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"Picture {text!r} cannot be read: {error}.") from error


def _open(data: bytes, name: str) -> Image.Image:
    if not data:
        raise InputError(f"The {name} is empty (0 bytes); save it again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels refuses it below
            return Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise InputError(
            f"The {name} is in no format that Pillow knows; convert it to PNG or JPEG. "
            "(Vector graphics have to be drawn to pixels first.)"
        ) from None
    except Image.DecompressionBombError as error:
        raise InputError(f"The {name} is refused: {error} Make it smaller.") from error
    except Exception as error:  # Pillow's parsers raise many types on damaged headers
        raise InputError(f"The {name} is damaged: {error}. Save it again.") from error


def _check_size(size: tuple[int, ...], name: str, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InputError(f"The {name} has no pixels ({width} x {height}).")
    if width * height > max_pixels:
        raise InputError(
            f"The {name} has {width} x {height} pixels, more than {max_pixels}; "
            "make it smaller, or raise the loader's max_pixels if the file can be trusted."
        )


def _to_rgb(image: Image.Image, name: str, options: _Options) -> Image.Image:
    _check_size(image.size, name, options.max_pixels)
    try:
        if options.frame:
            image = _frame(image, name, options.frame)
        image.load()
        image = _upright(image)
        if image.mode != "RGB" or "transparency" in image.info:
            image = _convert(image, name, options.background)
    except InputError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error ... on damaged files
        raise InputError(f"The {name} is damaged or truncated: {error}. Save or copy it again.") from error
    return image


def _frame(image: Image.Image, name: str, frame: int) -> Image.Image:
    count = getattr(image, "n_frames", 1)
    if not 0 <= frame < count:
        raise InputError(f"The {name} has {count} frame(s), so there is no frame {frame}; they count from 0.")
    position = image.tell()
    image.seek(frame)
    chosen = image.copy()
    image.seek(position)  # a PIL image that was given stays as it was
    return chosen


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF: the pixels are still good
        return image


def _convert(image: Image.Image, name: str, background: tuple[int, ...]) -> Image.Image:
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _from_deep(image, name)
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        below = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(below, image).convert("RGB")
    return image.convert("RGB")


def _from_deep(image: Image.Image, name: str) -> Image.Image:
    """16-bit integer and float grey pictures."""
    values = np.asarray(image)
    if values.dtype.kind == "f":
        return _grey(_unit_to_bytes(values, name))
    if values.min() < 0 or values.max() > 65535:
        raise InputError(
            f"The {name} holds integers from {values.min()} to {values.max()}; only 8 and 16 bit can be read. "
            "Scale it to 0..255 and give it as uint8."
        )
    return _grey(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values).convert("RGB")


def _unit_to_bytes(values: np.ndarray, name: str) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0.0 or high > 1.0:
        raise InputError(
            f"The {name} holds floats from {low:g} to {high:g}; floats must lie in 0..1 "
            "(undo any normalisation, divide 0..255 by 255 or give it as uint8)."
        )
    return np.round(values.astype(np.float64) * 255).astype(np.uint8)


def _from_array(value: Any, name: str) -> Image.Image:
    values = np.asarray(value.detach().cpu().float() if _is_half(value) else _numpy(value))
    if values.size == 0:
        raise InputError(f"The {name} is empty.")
    if values.ndim == 3:
        values = _channels_last(values, name)
    elif values.ndim != 2:
        raise InputError(
            f"The {name} must have 2 dimensions (height, width) or 3 (with channels); give pictures one by one."
        )
    if values.dtype.kind == "f":
        values = _unit_to_bytes(values, name)
    elif values.dtype != np.uint8:
        raise InputError(f"The {name} has dtype {values.dtype}; give uint8 in 0..255 or floats in 0..1.")
    return Image.fromarray(np.ascontiguousarray(values))


def _is_half(value: Any) -> bool:
    return str(getattr(value, "dtype", "")) in ("torch.bfloat16", "torch.float16")


def _numpy(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def _channels_last(values: np.ndarray, name: str) -> np.ndarray:
    first, last = values.shape[0] in CHANNELS, values.shape[-1] in CHANNELS
    if first == last:
        cause = "could be channels first or last" if first else "has no axis of 1, 3 or 4 channels"
        raise InputError(f"The {name} {cause}; give a PIL image instead (PIL.Image.fromarray).")
    values = values if last else values.transpose(1, 2, 0)
    return values[..., 0] if values.shape[-1] == 1 else values
