"""Writes meshes and points: GLB, PLY, OBJ, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omni.errors import ConfigError, InputError

if TYPE_CHECKING:
    import trimesh

MESH_ENDINGS = (".glb", ".ply", ".obj")
POINT_ENDINGS = (".glb", ".ply", ".obj", ".xyz")


def save_mesh(mesh: trimesh.Trimesh, path: str | os.PathLike[str]) -> Path:
    """Write a mesh by its file's ending; GLB and PLY hold float32, OBJ eight digits.

    Raises:
        ConfigError: another ending. InputError: no triangles. OSError: the file cannot be written.
    """
    if not len(mesh.faces):
        raise InputError("The mesh has no triangles; there is nothing to save.")
    return write_whole(path, _bytes_of(mesh, mesh_ending(path)))


def save_points(points_N3: np.ndarray, path: str | os.PathLike[str]) -> Path:
    """Write points without faces by their file's ending.

    Raises:
        ConfigError: another ending. InputError: no points. OSError: the file cannot be written.
    """
    import trimesh

    points = np.asarray(points_N3, np.float64)
    if points.ndim != 2 or points.shape[1:] != (3,) or not len(points):
        raise InputError(f"Points of shape {points.shape} cannot be saved; (N, 3) are needed.")
    ending = _ending(path, POINT_ENDINGS)
    if ending == ".obj":
        data = "".join(f"v {x:.8f} {y:.8f} {z:.8f}\n" for x, y, z in points).encode()
    elif ending == ".xyz":
        data = "".join(f"{x:.8f} {y:.8f} {z:.8f}\n" for x, y, z in points).encode()
    else:
        data = _bytes_of(trimesh.PointCloud(points), ending)
    return write_whole(path, data)


def write_whole(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write beside the file first, then put it in its place; missing folders are made."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(data)
    os.replace(part, target)
    return target


def _bytes_of(geometry: object, ending: str) -> bytes:
    data = geometry.export(file_type=ending[1:])  # type: ignore[attr-defined]
    return data.encode() if isinstance(data, str) else bytes(data)


def mesh_ending(path: str | os.PathLike[str]) -> str:
    """The ending of a mesh file; ConfigError for another."""
    return _ending(path, MESH_ENDINGS)


def _ending(path: str | os.PathLike[str], known: tuple[str, ...]) -> str:
    ending = Path(path).suffix.lower()
    if ending not in known:
        raise ConfigError(f"{Path(path).name!r}: shapes are saved as {', '.join(known)}; end the file's name in one.")
    return ending
