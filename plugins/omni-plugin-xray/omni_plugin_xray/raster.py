"""PNG and JPEG of 8 and 16 bits, PIL pictures and arrays -> grey levels of 16 bits. Text chunks are not read."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from omni.errors import InputError
from omni_plugin_xray.display import WHITE
from omni_plugin_xray.quiet import quiet

FORMATS = ("PNG", "JPEG", "MPO")
GREY_MODES = ("L", "I;16", "I;16B", "I;16L", "I", "1")
TINT = 12  # how far the channels of a grey picture may differ after JPEG compression, of 255
SWAPPED = 0.001  # share of the pixels that may differ more


def is_raster(data: bytes) -> bool:
    """It starts as PNG or JPEG do."""
    return data[:8] == b"\x89PNG\r\n\x1a\n" or data[:3] == b"\xff\xd8\xff"


def decode_raster(data: bytes, name: str, max_pixels: int) -> tuple[np.ndarray, dict[str, Any]]:
    """(H, W) uint16 of 0..65535, and bits and format.

    Raises:
        InputError: damaged, truncated, too many pixels, in colour, transparent.
    """
    image = _open(data, name)
    if image.width * image.height > max_pixels:
        raise InputError(
            f"The {name} has {image.width} x {image.height} pixels, more than {max_pixels}; make it smaller, or raise "
            "the loader's max_pixels if the file can be trusted."
        )
    kind = str(image.format)
    try:
        with quiet():
            image.load()
            image = _upright(image)
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error ... on damaged files
        problem = type(error).__name__
    else:
        problem = ""
    if problem:
        raise InputError(f"The {name} is damaged or truncated ({problem}). Save or copy it again.")
    levels, bits = from_picture(image, name)
    return levels, {"format": "JPEG" if kind == "MPO" else kind, "bits_stored": bits}


def _open(data: bytes, name: str) -> Image.Image:
    try:
        with quiet():  # Pillow warns of many pixels; max_pixels refuses them
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        problem = "has far too many pixels; make it smaller"
    except Exception as error:  # Pillow's parsers raise many types on damaged headers
        problem = f"is damaged ({type(error).__name__}); save it again"
    raise InputError(f"The {name} {problem}.")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF: the pixels are still good
        return image


def from_picture(image: Image.Image, name: str) -> tuple[np.ndarray, int]:
    """(H, W) uint16 of 0..65535 and the bits of a picture in memory.

    Raises:
        InputError: colours, transparent pixels, integers beyond 16 bits, floats.
    """
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("LA", "RGBA"):
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min() < 255:
            raise InputError(f"The {name} has transparent pixels; a radiograph has none. Save it without them.")
        image = image.convert("L" if image.mode == "LA" else "RGB")
    if image.mode == "RGB":
        image = _grey(image, name)
    if image.mode not in GREY_MODES:
        raise InputError(f"The {name} is in the mode {image.mode}; give a grey picture of 8 or 16 bits.")
    values = np.asarray(image)
    if values.dtype in (np.uint8, np.bool_):
        scale = WHITE if values.dtype == np.bool_ else WHITE // 255
        return np.ascontiguousarray(values.astype(np.uint16) * np.uint16(scale)), 8
    if values.min() < 0 or values.max() > WHITE:
        raise InputError(f"The {name} holds integers beyond 16 bits. Scale it to 0..65535 and give it as uint16.")
    return np.ascontiguousarray(values.astype(np.uint16)), 16


def _grey(image: Image.Image, name: str) -> Image.Image:
    """A grey picture that was saved in three channels."""
    values = np.asarray(image).astype(np.int16)
    spread = values.max(-1) - values.min(-1)
    if (spread > TINT).mean() > SWAPPED:
        raise InputError(f"The {name} is in colour; a radiograph is grey. Leave it out, or convert it to grey.")
    if not spread.any():
        return image.getchannel(0)
    return image.convert("L")


def from_array(value: Any, name: str) -> tuple[np.ndarray, int]:
    """(H, W), (1, H, W) or (H, W, 1) of uint8, uint16 or floats in 0..1 -> (H, W) uint16 of 0..65535 and its bits.

    Raises:
        InputError: another shape or type, floats outside 0..1 or not finite.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float().numpy() if str(value.dtype) in ("torch.bfloat16", "torch.float16") else value.numpy()
    values = np.asarray(value)
    if values.ndim == 3 and (values.shape[0] == 1) != (values.shape[-1] == 1):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"The {name} must have the shape (height, width), one radiograph at a time.")
    if values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(WHITE // 255), 8
    if values.dtype == np.uint16:
        return np.ascontiguousarray(values), 16
    if values.dtype.kind != "f":
        raise InputError(f"The {name} has dtype {values.dtype}; give uint8, uint16 or floats in 0..1.")
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0.0 or high > 1.0:
        raise InputError(f"The {name} holds floats from {low:g} to {high:g}; floats must lie in 0..1, without NaN.")
    return np.rint(values.astype(np.float64) * WHITE).astype(np.uint16), 16
