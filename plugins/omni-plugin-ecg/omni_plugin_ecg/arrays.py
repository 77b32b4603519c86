"""Arrays in memory, and NumPy files; nothing is unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from omni.errors import InputError
from omni_plugin_ecg.files import MOST_BYTES
from omni_plugin_ecg.recording import Options, Raw

KEYS = ("array", "sample_rate", "unit", "leads", "valid")


def from_mapping(value: Mapping[str, Any], options: Options, *, name: str) -> Raw:
    """``{"array": ..., "sample_rate": ..., "unit": ..., "leads": ..., "valid": ...}``; only the array is required, the
    rest may be given as options of the loader.

    Raises:
        InputError: unknown keys, or as from_array.
    """
    unknown = sorted(set(map(str, value)) - set(KEYS))
    if unknown or "array" not in value:
        raise InputError(
            f"An ECG given as a dictionary has the keys {', '.join(KEYS)}, not {', '.join(map(str, value))}."
        )
    leads, rate, unit = value.get("leads"), value.get("sample_rate"), value.get("unit")
    if isinstance(leads, (str, bytes)):
        leads = [str(leads)]
    raw = from_array(value["array"], options, name=name, leads=leads, valid=value.get("valid"))
    count = len(raw.channels)
    units = [unit] * count if unit is None or isinstance(unit, str) else [str(item) for item in unit]
    if len(units) != count:
        raise InputError(f"The {name} has {count} leads, but {len(units)} units.")
    return Raw(
        channels=raw.channels,
        names=raw.names,
        units=units,
        rates=[None if rate is None else _scalar(rate, "sample_rate", name)] * count,
        valid=raw.valid,
        source=name,
    )


def from_array(array: Any, options: Options, *, name: str, leads: Any = None, valid: Any = None) -> Raw:
    """(T,), (leads, T) or (T, leads) of numbers in the unit that is given; which axis is which is told by the number of
    names.

    Raises:
        InputError: not numbers, no such axis, or one that could be either.
    """
    values = _numbers(array, name)
    names = None if leads is None else [str(item) for item in np.asarray(leads).ravel()]
    wanted = len(names) if names is not None else len(options.leads) if options.leads is not None else None
    values_CT = _leads_first(values, wanted, name)
    mask_CT = None
    if valid is not None:
        mask = np.asarray(valid)
        if mask.dtype != bool or mask.shape not in (values.shape, values_CT.shape):
            raise InputError(
                f"The mask of the {name} must be boolean and of the array's shape {values.shape}, True = recorded."
            )
        mask_CT = (
            mask if mask.shape == values_CT.shape and values.shape == values_CT.shape else mask.reshape(values.shape).T
        )
        mask_CT = mask_CT.reshape(values_CT.shape)
    options.check_size(channels=values_CT.shape[0], samples=values_CT.shape[1], rate=None, name=name)
    return Raw(
        channels=list(values_CT),
        names=names,
        units=[None] * len(values_CT),
        rates=[None] * len(values_CT),
        valid=None if mask_CT is None else list(mask_CT),
        source=name,
    )


def read(data: bytes, options: Options, *, name: str) -> Raw:
    """.npy (an array alone) or .npz (with the keys of from_mapping).

    Raises:
        InputError: damaged, cut off, objects inside (they would have to be unpickled), larger than it says.
    """
    try:
        if data[:2] != b"PK":
            return from_array(_array(io.BytesIO(data), len(data), name), options, name=name)
        members = {}
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                key = info.filename.removesuffix(".npy")
                if key not in KEYS:
                    raise InputError(f"The {name} has a member {info.filename!r}; known are {', '.join(KEYS)}.")
                if info.file_size > MOST_BYTES:  # a small archive can hold any amount of zeros
                    raise InputError(f"The {name} holds {info.file_size} bytes of {key!r}; cut it into pieces.")
                with archive.open(info) as stream:
                    members[key] = _array(stream, info.file_size, name)
    except InputError:
        raise
    except Exception as error:  # a damaged archive or header
        raise InputError(f"The {name} cannot be read: {type(error).__name__}: {error}.") from error
    value: dict[str, Any] = dict(members)
    for key in ("sample_rate", "unit"):
        if key in value and value[key].size == 1:
            value[key] = value[key].ravel()[0].item()
    return from_mapping(value, options, name=name)


def _array(stream: BinaryIO | Any, size: int, name: str) -> np.ndarray:
    """One array of the .npy format; its header is believed only as far as there are bytes."""
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(stream)
    if dtype.hasobject:
        raise InputError(f"The {name} holds Python objects, which are not unpickled; save numbers.")
    count = math.prod(shape)
    if count * dtype.itemsize > size:
        raise InputError(f"The {name} announces {shape} values of {dtype} and holds {size} bytes; copy it again.")
    data = stream.read(count * dtype.itemsize)
    values = np.frombuffer(data, dtype, count)
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)


def _numbers(array: Any, name: str) -> np.ndarray:
    if hasattr(array, "detach"):
        array = array.detach().cpu().double().numpy()
    try:
        values = np.asarray(array)
    except (TypeError, ValueError) as error:
        raise InputError(f"The {name} cannot be read: {error}. Give a numpy array or a tensor.") from error
    if values.dtype.kind not in "iuf":
        raise InputError(f"The {name} is of {values.dtype}; give numbers in a unit of voltage.")
    if values.ndim not in (1, 2) or values.size == 0:
        raise InputError(f"The {name} must have the shape (T,), (leads, T) or (T, leads), with samples.")
    return values


def _leads_first(values: np.ndarray, wanted: int | None, name: str) -> np.ndarray:
    if values.ndim == 1:
        return values[None]
    rows, columns = values.shape
    if wanted is None:  # only for the message about names that follows
        return values if rows <= columns else values.T
    if rows == columns == wanted:
        raise InputError(f"The {name} is square, so it is unclear which axis is time.")
    if rows == wanted:
        return values
    if columns == wanted:
        return values.T
    raise InputError(f"The {name} has no axis of {wanted} leads, which is how many names there are.")


def _scalar(rate: Any, what: str, name: str) -> float:
    try:
        return float(rate)
    except (TypeError, ValueError):
        raise InputError(f"The {what} of the {name} is {rate!r}, which is no number.") from None
