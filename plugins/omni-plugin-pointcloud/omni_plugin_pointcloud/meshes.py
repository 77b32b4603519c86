"""Reads PLY, OBJ, GLB, STL and OFF through trimesh, from bytes: it opens no file and no address of its own."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import trimesh
from trimesh.resolvers import Resolver

from omni.errors import InputError
from omni_plugin_pointcloud.cloud import MOST_POINTS, Cloud, check_places, checked_cloud
from omni_plugin_pointcloud.files import check_whole
from omni_plugin_pointcloud.sampling import sample_surface, surface_of

MOST_REFERENCED = 64 << 20  # bytes of one material or texture
REFERENCED = {".mtl", ".png", ".jpg", ".jpeg", ".bmp", ".tga", ".gif"}

logging.getLogger("trimesh").addHandler(logging.NullHandler())  # what it cannot read becomes an error of ours


class FolderOnly(Resolver):
    """Gives trimesh the materials and textures that a mesh names: regular files in the mesh's folder and below, no
    link that leads out, nothing else.

    Args:
        folder: of the mesh; None = nothing is given.

    Attributes:
        refused: names that were asked for and not given.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = None if folder is None else folder.resolve()
        self.refused: list[str] = []

    def get(self, key: str) -> bytes:
        """The file's bytes; raises FileNotFoundError (trimesh then goes on without it)."""
        path = self._path(key)
        if path is None:
            self.refused.append(key)
            raise FileNotFoundError(key)
        return path.read_bytes()

    def _path(self, key: str) -> Path | None:
        name = PurePosixPath(key.strip().replace("\\", "/"))
        if self.folder is None or "\0" in key or name.is_absolute() or name.suffix.lower() not in REFERENCED:
            return None
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder) or not path.is_file() or os.stat(path).st_size > MOST_REFERENCED:
            return None
        return path

    def write(self, name: str, data: Any) -> None:
        raise NotImplementedError("nothing is written")

    def namespaced(self, namespace: str) -> FolderOnly:
        return FolderOnly(None)

    def keys(self) -> list[str]:
        return []


def read(data: bytes, kind: str, *, folder: Path | None, points: int, color: bool, normals: bool, name: str) -> Cloud:
    """A cloud of a file's bytes: its points if it has no faces, else ``points`` of its surface.

    The surface's points follow from the contents alone: the same file gives the same points.

    Args:
        kind: "ply", "obj", "glb", "stl" or "off".
        folder: where materials and textures may lie; None = they are not looked for.
        points: how many of a surface.
        color: also colours, where there are any. normals: also normals: of a surface those of its triangles.
        name: how messages call it.

    Raises:
        InputError: damaged, cut off, empty, without a surface, too large.
    """
    parts = _geometries(data, kind, folder=folder, color=color, name=name)
    meshes = [part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if meshes:
        return _surface(meshes, hashlib.sha256(data).hexdigest(), points, color, normals, name)
    clouds = [part for part in parts if isinstance(part, trimesh.PointCloud) or hasattr(part, "vertices")]
    if not sum(len(part.vertices) for part in clouds):
        raise InputError(f"The {name} holds no points; export it again.")
    return checked_cloud(
        np.concatenate([np.asarray(part.vertices) for part in clouds]),
        _joined([_vertex_colors(part) for part in clouds]) if color else None,
        _joined([_vertex_normals(part) for part in clouds]) if normals else None,
        name=name,
    )


def triangles(data: bytes, kind: str, *, name: str) -> np.ndarray:
    """(F, 3 corners, 3) float64: the triangles of a file's bytes, of all its meshes where they stand in the scene.

    Args:
        kind, name: as in read().

    Raises:
        InputError: as read() does, and where there are no faces.
    """
    parts = _geometries(data, kind, folder=None, color=False, name=name)
    meshes = [part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if not meshes:
        raise InputError(f"The {name} has no faces, so no solid; points alone have no inside.")
    return surface_of(meshes).corners_F33


def _geometries(data: bytes, kind: str, *, folder: Path | None, color: bool, name: str) -> list[Any]:
    check_whole(data, kind, name=name)
    resolver = FolderOnly(folder if color else None)
    options: dict[str, Any] = {"process": False}
    if kind == "obj":
        options["skip_materials"] = not color
    try:
        scene = trimesh.load_scene(io.BytesIO(data), file_type=kind, resolver=resolver, **options)
        parts = _parts(scene, name)
    except InputError:
        raise
    except Exception as error:  # whatever the parsers of six formats raise on a damaged file
        asked = f" It refers to another file ({resolver.refused[0]!r})." if resolver.refused else ""
        raise InputError(
            f"The {name} cannot be read as {kind.upper()}: {type(error).__name__}: {error}.{asked} Export it again."
        ) from error
    return parts


def _parts(scene: Any, name: str) -> list[Any]:
    """The geometries where they stand in the scene."""
    nodes = scene.graph.nodes_geometry
    total = sum(len(getattr(scene.geometry[scene.graph[node][1]], "vertices", ())) for node in nodes)
    if total > MOST_POINTS:  # a small file can repeat a mesh any number of times
        raise InputError(f"The {name} has {total} corners, more than {MOST_POINTS}; simplify it first.")
    for geometry in scene.geometry.values():
        vertices = np.asarray(getattr(geometry, "vertices", np.zeros((0, 3))))
        if len(vertices):
            check_places(vertices, name)
        faces = np.asarray(getattr(geometry, "faces", np.zeros((0, 3), np.int64)))
        if len(faces) and not (0 <= faces.min() and faces.max() < len(vertices)):
            raise InputError(f"The {name} has a face with corners that are not there; export it again.")
    return scene.dump()


def _surface(meshes: list[Any], seed: str, points: int, color: bool, normals: bool, name: str) -> Cloud:
    found = sample_surface(surface_of(meshes), points, seed=seed, color=color, name=name)
    return checked_cloud(found["points"], found.get("colors"), found["normals"] if normals else None, name=name)


def _joined(values: list[np.ndarray | None]) -> np.ndarray | None:
    found = [value for value in values if value is not None]
    return np.concatenate(found) if found and len(found) == len(values) else None


def _vertex_colors(part: Any) -> np.ndarray | None:
    colors = getattr(part, "colors", None)
    if colors is None and getattr(part.visual, "kind", None) == "vertex":
        colors = part.visual.vertex_colors
    if colors is None or len(colors) != len(part.vertices):
        return None
    return np.asarray(colors)[:, :3]


def _vertex_normals(part: Any) -> np.ndarray | None:
    """Those that a PLY file gives its points."""
    data = part.metadata.get("_ply_raw", {}).get("vertex", {}).get("data", {})
    names = data.dtype.names if isinstance(data, np.ndarray) else data
    if not names or not all(axis in names for axis in ("nx", "ny", "nz")):
        return None
    return np.column_stack([np.asarray(data[axis]).ravel() for axis in ("nx", "ny", "nz")])
