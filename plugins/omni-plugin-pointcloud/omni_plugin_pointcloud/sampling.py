"""Points on a mesh, uniform by area, the same on every machine for the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni.errors import InputError

GREY = 102  # what trimesh gives a mesh without colours


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Triangles of one or several meshes.

    Attributes:
        corners_F33: (F, 3 corners, 3) float64.
        mesh_F, face_F: (F,) which of ``meshes`` a triangle belongs to, and its number there.
        meshes: trimesh.Trimesh objects, for their colours.
    """

    corners_F33: np.ndarray
    mesh_F: np.ndarray
    face_F: np.ndarray
    meshes: tuple[Any, ...]


def surface_of(meshes: list[Any]) -> Surface:
    """The triangles of trimesh meshes, one after the other."""
    counts = [len(mesh.faces) for mesh in meshes]
    corners = [np.asarray(mesh.vertices, np.float64)[np.asarray(mesh.faces)] for mesh in meshes]
    return Surface(
        corners_F33=np.concatenate(corners) if corners else np.zeros((0, 3, 3)),
        mesh_F=np.repeat(np.arange(len(meshes)), counts),
        face_F=np.concatenate([np.arange(count) for count in counts]) if counts else np.zeros(0, np.int64),
        meshes=tuple(meshes),
    )


def sample_surface(surface: Surface, count: int, *, seed: object, color: bool, name: str) -> dict[str, np.ndarray]:
    """Points spread evenly over the area (Osada et al. 2002, section 3.1).

    Args:
        count: how many. seed: anything printable; the same seed gives the same points. color: also their colours.
        name: how messages call the mesh.

    Returns:
        points (N, 3) float64, normals (N, 3) of the triangles; colors (N, 3) uint8 where the meshes have some.

    Raises:
        InputError: the triangles have no area.
    """
    edges = surface.corners_F33[:, 1:] - surface.corners_F33[:, :1]
    normals_F3 = np.cross(edges[:, 0], edges[:, 1])
    area_F = np.linalg.norm(normals_F3, axis=1)
    total_F = np.cumsum(area_F)
    if not len(total_F) or not total_F[-1] > 0:
        raise InputError(f"The {name} has {len(area_F)} triangles without any area, so no surface; export it again.")
    rng = CounterRng("surface", seed)
    picks_N = np.searchsorted(total_F, rng.uniform((count,)) * total_F[-1], side="right")
    picks_N = np.minimum(picks_N, np.flatnonzero(area_F)[-1])
    root_N, second_N = np.sqrt(rng.uniform((count,))), rng.uniform((count,))
    weights_N3 = np.stack((1 - root_N, root_N * (1 - second_N), root_N * second_N), 1)
    found = {
        "points": np.einsum("nc,ncd->nd", weights_N3, surface.corners_F33[picks_N]),
        "normals": normals_F3[picks_N] / area_F[picks_N, None],
    }
    if color:
        colors_N3 = _colors(surface, picks_N, weights_N3)
        if colors_N3 is not None:
            found["colors"] = colors_N3
    return found


def _colors(surface: Surface, picks_N: np.ndarray, weights_N3: np.ndarray) -> np.ndarray | None:
    """uint8 (N, 3), or None where a mesh that was hit has no colours."""
    colors_N3 = np.full((len(picks_N), 3), GREY, np.uint8)
    for number in np.unique(surface.mesh_F[picks_N]):
        mine_N = surface.mesh_F[picks_N] == number
        faces = surface.face_F[picks_N[mine_N]]
        found = _mesh_colors(surface.meshes[number], faces, weights_N3[mine_N])
        if found is None:
            return None
        colors_N3[mine_N] = found
    return colors_N3


def _mesh_colors(mesh: Any, faces_N: np.ndarray, weights_N3: np.ndarray) -> np.ndarray | None:
    visual = mesh.visual
    if not visual.defined:
        return None
    if visual.kind == "texture":
        material, uv = visual.material, visual.uv
        if getattr(material, "image", None) is None and getattr(material, "baseColorTexture", None) is None:
            return np.broadcast_to(np.asarray(material.main_color)[:3], (len(faces_N), 3))
        if uv is None:
            return None
        uv_N2 = np.einsum("nc,ncd->nd", weights_N3, np.asarray(uv)[np.asarray(mesh.faces)[faces_N]])
        return np.asarray(material.to_color(uv_N2))[:, :3]
    if visual.kind == "face":
        return np.asarray(visual.face_colors)[faces_N, :3]
    corners_N33 = np.asarray(visual.vertex_colors)[np.asarray(mesh.faces)[faces_N], :3]
    return np.rint(np.einsum("nc,ncd->nd", weights_N3, corners_N33.astype(np.float64))).astype(np.uint8)
