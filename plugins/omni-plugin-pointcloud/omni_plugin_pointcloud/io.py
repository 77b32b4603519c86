"""Reads point clouds and meshes: PLY, OBJ, GLB, STL, OFF, NumPy, arrays. Meshes become points of their surface."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omni.errors import ConfigError, InputError
from omni_plugin_pointcloud import arrays
from omni_plugin_pointcloud.cloud import MOST_POINTS, Cloud, checked_cloud
from omni_plugin_pointcloud.files import checked_path, kind_of, read_bytes

MESH_POINTS = 4096
MOST_MESH_POINTS = 1_000_000


def load(
    value: Any,
    *,
    mesh_points: int = MESH_POINTS,
    columns: Sequence[str] | str | None = None,
    color: bool = False,
    normals: bool = False,
    color_max: float | None = None,
) -> Cloud:
    """One point cloud, in the unit of its file.

    A mesh becomes ``mesh_points`` points spread evenly over its area; which ones follows from the file's contents, so
    a file gives the same points each time. Nothing is fetched or run; materials and textures are read only with
    ``color`` and only from the file's own folder.

    Args:
        value: a path of PLY, OBJ, GLB, STL, OFF, text (.xyz, .txt), .npy or .npz; the bytes of such a file (not OBJ,
            binary STL or text, which have no mark); an array (N, 3), (N, 6) or (N, 9); ``{"points": ..., "colors": ...,
            "normals": ...}``; or a Cloud.
        mesh_points: of a mesh.
        columns: what follows x, y, z in arrays and tables: "color", "normal", or both in their order.
        color: read colours of meshes and PLY files: of points, faces, materials or textures.
        normals: read normals: of a mesh those of its triangles.
        color_max: colours that are not uint8 are divided by it; None = they are in 0..1 already.

    Raises:
        InputError: missing, damaged, truncated or unknown file; no points, NaN or infinity, all at one place. The
            message names the file.
        ConfigError: an option that cannot be meant.
    """
    extra = arrays.check_columns(columns)
    if not 2 <= mesh_points <= MOST_MESH_POINTS:
        raise ConfigError(f"mesh_points is {mesh_points}; it must lie in 2 to {MOST_MESH_POINTS}.")
    if color_max is not None and not color_max > 0:
        raise ConfigError(f"color_max is {color_max}; it must be positive, as 255.")
    if isinstance(value, Cloud):
        return value
    mesh: dict[str, Any] = {"points": mesh_points, "color": color, "normals": normals}
    table: dict[str, Any] = {"columns": extra, "color_max": color_max}
    if isinstance(value, (bytes, bytearray, memoryview)):
        name = f"point cloud of {len(value)} bytes"
        if not len(value):
            raise InputError(f"The {name} is empty; export it again.")
        return _read(bytes(value), suffix="", folder=None, mesh=mesh, table=table, name=name)
    if isinstance(value, (str, os.PathLike)):
        path = checked_path(value)
        name = f"point cloud {str(path)!r}"
        return _read(read_bytes(path), suffix=path.suffix, folder=path.parent, mesh=mesh, table=table, name=name)
    if isinstance(value, Mapping):
        return arrays.from_mapping(value, color_max=color_max, name="point cloud")
    if value is None or isinstance(value, (bool, int, float)):
        raise InputError(f"A point cloud cannot be {value!r}; give a path, bytes or an array.")
    shape = getattr(value, "shape", None)
    if shape and shape[0] > MOST_POINTS:
        raise InputError(f"A point cloud of {shape[0]} points is more than {MOST_POINTS}; thin it out first.")
    name = "point cloud" if shape is None else f"point cloud of shape {tuple(shape)}"
    return arrays.from_array(value, **table, name=name)


def _read(
    data: bytes, *, suffix: str, folder: Path | None, mesh: dict[str, Any], table: dict[str, Any], name: str
) -> Cloud:
    kind = kind_of(data, suffix=suffix, name=name)
    if kind == "numpy":
        return arrays.read_numpy(data, **table, name=name)
    if kind == "text":
        return arrays.read_text(data, **table, name=name)
    from omni_plugin_pointcloud import meshes  # trimesh takes a second to import

    return meshes.read(data, kind, folder=folder, **mesh, name=name)


def sample(variant: str = "typical") -> Cloud:
    """Shapes made by a formula: "typical" 300 points of a ring, "other" 420 of a box's faces, "minimum" two points."""
    rng = np.random.default_rng(7)
    if variant == "typical":
        around, along = rng.uniform(0, 2 * np.pi, (2, 300))
        radius = 1.0 + 0.35 * np.cos(along)
        points = np.stack((radius * np.cos(around), radius * np.sin(around), 0.35 * np.sin(along)), 1)
    elif variant == "other":
        points = rng.uniform(-1, 1, (420, 3))
        face = rng.integers(0, 3, 420)
        points[np.arange(420), face] = np.sign(points[np.arange(420), face])
        points *= (1.0, 0.6, 1.4)
    elif variant == "minimum":
        points = np.array([(0.0, 0.0, 0.0), (0.0, 0.5, 1.0)])
    else:
        raise InputError(f"Unknown sample {variant!r}; there are typical, other, minimum.")
    return checked_cloud(points, name=f"sample {variant!r}")
