"""The stored values of one frame: native or compressed, checked before and after they are decoded."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder

from omni.errors import InputError, MissingDependencyError
from omni_plugin_xray import guarded
from omni_plugin_xray.metadata import number
from omni_plugin_xray.quiet import quiet

NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian,
          uid.DeflatedExplicitVRLittleEndian)  # fmt: skip
JPEG2000 = (uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
JPEG = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless,
        uid.JPEGLSNearLossless)  # fmt: skip
PLUGINS = {
    **dict.fromkeys(JPEG2000, "pylibjpeg"),
    **dict.fromkeys(JPEG, "gdcm"),
    uid.JPEGBaseline8Bit: "pillow",
    uid.RLELossless: "pydicom",  # 0.2 s for 3.6 million pixels, and no crash on damaged files
}
SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
DEFLATED = str(uid.DeflatedExplicitVRLittleEndian).encode()
MOST_INFLATED = 1 << 29
WIDEST = 65535


def check_deflated(data: bytes, name: str) -> None:
    """Refuse a deflated file that would become gigabytes, before the parser inflates all of it."""
    if DEFLATED + b"\0" not in data[132:1024] and DEFLATED not in data[132:1024]:
        return
    length = struct.unpack("<I", data[140:144])[0]
    try:
        more = zlib.decompressobj(-zlib.MAX_WBITS)
        more.decompress(data[144 + length :], MOST_INFLATED)
    except zlib.error:
        raise InputError(f"The {name} is damaged: its deflated part cannot be read. Copy it again.") from None
    if more.unconsumed_tail:
        raise InputError(f"The {name} inflates to more than {MOST_INFLATED} bytes and is refused.")


def stored_values(dataset: Dataset, name: str, *, frame: int | None, max_pixels: int) -> np.ndarray:
    """(rows, columns) of the stored values, uint8, uint16, int8 or int16.

    Raises:
        InputError: fields that are absent or contradict each other, several frames and no choice, too many pixels, cut
            off or damaged pixel data, a transfer syntax that is not read.
        MissingDependencyError: the decoder of the transfer syntax is not installed.
    """
    rows, columns = _sizes(dataset, name, max_pixels)
    _check_bits(dataset, name)
    index = _frame_index(dataset, name, frame)
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None) or uid.ImplicitVRLittleEndian
    if "PixelData" not in dataset or not dataset.PixelData:
        raise InputError(f"The {name} has no pixel data (or only of floats). Export it again with the picture.")
    if syntax in NATIVE:
        return _native(dataset, name, (rows, columns), index, big=syntax == uid.ExplicitVRBigEndian)
    if syntax not in PLUGINS:
        known = ", ".join(item.name for item in (*NATIVE, *PLUGINS))
        raise InputError(f"The {name} has a transfer syntax that is not read; convert it to one of: {known}.")
    _check_compressed(dataset, name, syntax, (rows, columns), index)
    values = _decoded(dataset, name, syntax, index)
    if values.shape != (rows, columns):
        raise InputError(f"The {name} says {rows} x {columns} pixels, its picture has {values.shape}. Export it again.")
    return values


def _sizes(dataset: Dataset, name: str, max_pixels: int) -> tuple[int, int]:
    rows, columns, samples = (number(dataset.get(tag)) for tag in ("Rows", "Columns", "SamplesPerPixel"))
    if not rows or not columns or not (0 < rows <= WIDEST and 0 < columns <= WIDEST):
        raise InputError(f"The {name} does not say how many rows and columns it has. Export it again.")
    if samples not in (None, 1):
        raise InputError(f"The {name} has {samples:g} samples a pixel; a radiograph has one.")
    if rows * columns > max_pixels:
        raise InputError(
            f"The {name} has {columns:g} x {rows:g} pixels, more than {max_pixels}; make it smaller, or raise the "
            "loader's max_pixels if the file can be trusted."
        )
    return int(rows), int(columns)


def _check_bits(dataset: Dataset, name: str) -> None:
    tags = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    allocated, stored, high, signed = (number(dataset.get(tag)) for tag in tags)
    stored = allocated if stored is None else stored
    if allocated not in (8, 16) or not 1 < stored <= allocated or high not in (None, stored - 1):
        raise InputError(
            f"The {name} stores {_shown(stored)} of {_shown(allocated)} bits, highest bit {_shown(high)}; 8 or 16 bits "
            "with the value in the lowest ones are read. Export it again."
        )
    if signed not in (0, 1):
        raise InputError(f"The {name} does not say whether its values have a sign. Export it again.")
    dataset.BitsStored, dataset.HighBit = int(stored), int(stored) - 1


def _shown(value: float | None) -> str:
    return "an unknown number" if value is None else f"{value:g}"


def _frame_index(dataset: Dataset, name: str, frame: int | None) -> int:
    count = number(dataset.get("NumberOfFrames"))
    count = 1 if count is None else int(count)
    if count < 1:
        raise InputError(f"The {name} says that it has {count} frames. Export it again.")
    if count > 1 and frame is None:
        raise InputError(f"The {name} has {count} frames; give the loader frame=0 to {count - 1}, or leave it out.")
    if frame is not None and not 0 <= frame < count:
        raise InputError(f"The {name} has {count} frame(s), so there is no frame {frame}; they count from 0.")
    return frame or 0


def _native(dataset: Dataset, name: str, shape: tuple[int, int], index: int, *, big: bool) -> np.ndarray:
    """Uncompressed values. Bits above the stored ones (old overlays) are cut away, the sign is extended."""
    bytes_each = dataset.BitsAllocated // 8
    size = shape[0] * shape[1] * bytes_each
    data = dataset.PixelData
    if len(data) < (index + 1) * size:
        raise InputError(
            f"The {name} is cut off: {len(data)} bytes of pixels where {(index + 1) * size} are needed. Copy it again."
        )
    raw = np.frombuffer(data, dtype=f"u{bytes_each}", count=size // bytes_each, offset=index * size)
    if big and (bytes_each == 2 or dataset["PixelData"].VR == "OW"):
        raw = raw.byteswap() if bytes_each == 2 else _swapped_bytes(data, index * size, size)
    return _cut_bits(raw.reshape(shape), dataset.BitsStored, signed=bool(dataset.PixelRepresentation))


def _swapped_bytes(data: bytes, start: int, size: int) -> np.ndarray:
    """8-bit values that were written as big-endian words."""
    whole = np.frombuffer(data, np.uint8)
    whole = np.concatenate((whole, np.zeros(len(whole) % 2, np.uint8))).reshape(-1, 2)[:, ::-1].reshape(-1)
    return whole[start : start + size]


def _cut_bits(raw: np.ndarray, stored: int, *, signed: bool) -> np.ndarray:
    spare = 8 * raw.itemsize - stored
    if signed:
        return np.right_shift(np.left_shift(raw, spare).view(f"i{raw.itemsize}"), spare)
    return raw & raw.dtype.type((1 << stored) - 1) if spare else raw


def _check_compressed(dataset: Dataset, name: str, syntax: str, shape: tuple[int, int], index: int) -> None:
    """The frame is there to its end, and is as large as the header says: decoders would fill in or allocate."""
    frame = b""
    try:
        with quiet():
            frame = get_frame(dataset.PixelData, index, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    except Exception:
        frame = b""
    if not frame:
        raise InputError(f"The {name} is cut off or damaged: its compressed picture is not all there. Copy it again.")
    if syntax == uid.RLELossless:
        return
    if not frame.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise InputError(f"The {name} is cut off: its compressed picture has no end. Copy or export it again.")
    found = _size_2000(frame) if syntax in JPEG2000 else _size_jpeg(frame)
    if found != shape:
        what = "no size" if found is None else f"{found[0]} x {found[1]} pixels"
        raise InputError(
            f"The {name} is damaged: it says {shape[0]} x {shape[1]} pixels, its compressed picture {what}. "
            "Export it again."
        )


def _size_2000(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG 2000 codestream (SIZ marker)."""
    at = frame[:4096].find(b"\xff\x4f\xff\x51")
    if at < 0 or len(frame) < at + 24:
        return None
    wide, high, left, top = struct.unpack(">IIII", frame[at + 8 : at + 24])
    return high - top, wide - left


def _size_jpeg(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG or JPEG-LS (SOF marker)."""
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker in SIZE_MARKERS:
            return struct.unpack(">HH", frame[at + 5 : at + 9])
        at += 1 if marker == 0xFF else 2 + struct.unpack(">H", frame[at + 2 : at + 4])[0]
    return None


def _decoded(dataset: Dataset, name: str, syntax: str, index: int) -> np.ndarray:
    decoder, plugin = get_decoder(syntax), PLUGINS[syntax]
    if syntax == uid.JPEGExtended12Bit and dataset.BitsStored > 8:
        plugin = "pylibjpeg"  # GDCM decodes 8 bits of this syntax only
        if plugin not in decoder.available_plugins:
            raise MissingDependencyError(
                f"The {name} is a JPEG of 12 bits; its decoder (GPL-3.0): pip install 'omni-plugin-xray[jpeg12]'."
            )
    if plugin not in decoder.available_plugins:
        raise MissingDependencyError(
            f"The {name} is compressed as {uid.UID(syntax).name}, but its decoder is missing or damaged: pip install "
            "--force-reinstall python-gdcm pylibjpeg pylibjpeg-openjpeg pillow."
        )
    values = None
    try:
        with quiet():
            if plugin == "gdcm":
                fields = {tag: getattr(dataset, tag) for tag in guarded.FIELDS}
                frame = get_frame(dataset.PixelData, index, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
                values = guarded.decode(fields, str(syntax), frame)
            else:
                values, _ = decoder.as_array(dataset, index=index, raw=True, decoding_plugin=plugin)
    except Exception:  # decoders raise many types, with texts of the file
        values = None
    if values is None:
        raise InputError(f"The {name} is damaged: its compressed picture cannot be decoded. Copy or export it again.")
    return np.asarray(values)
