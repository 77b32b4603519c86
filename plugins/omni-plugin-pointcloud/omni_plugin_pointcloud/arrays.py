"""Arrays in memory, NumPy files and text tables; nothing is unpickled."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omni.errors import ConfigError, InputError
from omni_plugin_pointcloud.cloud import Cloud, checked_cloud
from omni_plugin_pointcloud.files import MOST_BYTES

KEYS = ("points", "colors", "normals")
EXTRA = ("color", "normal")


def check_columns(columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """What stands behind x, y and z: different ones of "color" and "normal", three columns each.

    Raises:
        ConfigError: it is something else.
    """
    if columns is None:
        return None
    found = (columns,) if isinstance(columns, str) else tuple(columns)
    if not set(found) <= set(EXTRA) or len(set(found)) < len(found):
        raise ConfigError(
            f"A point cloud's columns after x, y, z are 'color' and 'normal' in their order, not {columns!r}."
        )
    return found


def from_mapping(value: Mapping[str, Any], *, color_max: float | None, name: str) -> Cloud:
    """``{"points": (N, 3), "colors": (N, 3), "normals": (N, 3)}``; only the points are required.

    Raises:
        InputError: other keys, or values that make no sense.
    """
    if "points" not in value or not set(map(str, value)) <= set(KEYS):
        raise InputError(f"A {name} as a dictionary has the keys {', '.join(KEYS)}, not {', '.join(map(str, value))}.")
    return checked_cloud(value["points"], _scaled(value.get("colors"), color_max), value.get("normals"), name=name)


def from_array(array: Any, *, columns: tuple[str, ...] | None, color_max: float | None, name: str) -> Cloud:
    """(N, 3), or (N, 6 or 9) with ``columns`` that say what stands behind x, y, z.

    Raises:
        InputError: another shape, or columns that nobody named.
    """
    if hasattr(array, "detach"):
        array = array.detach().cpu().float().numpy()
    try:
        values = np.asarray(array)
    except (TypeError, ValueError) as error:
        raise InputError(f"The {name} cannot be read: {error}. Give an array (N, 3).") from error
    if values.ndim != 2 or values.shape[1] not in (3, 6, 9):
        raise InputError(f"The {name} has the shape {values.shape}; give (N, 3), (N, 6) or (N, 9).")
    wanted = 3 + 3 * len(columns or ())
    if wanted != values.shape[1]:
        said = "x, y, z" + "".join(f", {each}" for each in columns or ())
        raise InputError(
            f"The {name} has {values.shape[1]} columns, and {said} are {wanted}. Tell the loader what follows x, y, z: "
            "columns=['color'], ['normal'] or ['color', 'normal']."
        )
    parts = {extra: values[:, 3 + 3 * place : 6 + 3 * place] for place, extra in enumerate(columns or ())}
    return checked_cloud(values[:, :3], _scaled(parts.get("color"), color_max), parts.get("normal"), name=name)


def _scaled(colors: Any, color_max: float | None) -> Any:
    if colors is None or color_max is None:
        return colors
    values = np.asarray(colors.detach().cpu() if hasattr(colors, "detach") else colors)
    return values if values.dtype == np.uint8 else values.astype(np.float64) / color_max


def read_numpy(data: bytes, *, columns: tuple[str, ...] | None, color_max: float | None, name: str) -> Cloud:
    """.npy (an array alone) or .npz (with the keys of from_mapping).

    Raises:
        InputError: damaged, cut off, objects inside (they would have to be unpickled), larger than it says.
    """
    try:
        if data[:2] != b"PK":
            return from_array(_array(data), columns=columns, color_max=color_max, name=name)
        members = {}
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if info.file_size > MOST_BYTES:  # a small archive can hold any amount of zeros
                    raise InputError(f"The {name} holds {info.file_size} bytes of {info.filename!r}; thin it out.")
                members[info.filename.removesuffix(".npy")] = _array(archive.read(info))
    except InputError:
        raise
    except Exception as error:  # a damaged archive or header
        raise InputError(f"The {name} cannot be read: {type(error).__name__}: {error}. Export it again.") from error
    return from_mapping(members, color_max=color_max, name=name)


def _array(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False, max_header_size=4096)


def read_text(data: bytes, *, columns: tuple[str, ...] | None, color_max: float | None, name: str) -> Cloud:
    """A line a point, numbers between blanks, commas or semicolons; lines that start with # are passed over.

    Raises:
        InputError: not UTF-8, something that is no number, lines of different lengths.
    """
    try:
        text = data.decode("utf-8-sig")
        lines = [line.partition("#")[0] for line in text.replace(",", " ").replace(";", " ").splitlines()]
        if not any(map(str.strip, lines)):
            raise InputError(f"The {name} holds no points; export it again.")
        values = np.loadtxt(lines, dtype=np.float64, ndmin=2)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"The {name} cannot be read as a table of points: {error}.") from error
    return from_array(values, columns=columns, color_max=color_max, name=name)
