"""A shape as a prediction: a field or a set of points, and what people do with it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omni.errors import InputError
from omni_plugin_three_d import files
from omni_plugin_three_d.frame import Frame
from omni_plugin_three_d.meshing import lattice, surface_mesh
from omni_plugin_three_d.sampling import surface_points

if TYPE_CHECKING:
    import trimesh
    from PIL import Image

PICTURES = (".png", ".gif")


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """A shape in shape space (the cube from -1 to 1), as a field on a lattice or as points; exactly one of them.

    Attributes:
        values_XYZ: (R, R, R) float32 at ``meshing.lattice(R)``; None for a point set.
        inside: "above": the solid is where the values are above the level (occupancy); "below": signed distance.
        level: of the surface.
        points_N3: (N, 3) float32; None for a field.
        up: "y" or "z", for pictures.
    """

    values_XYZ: np.ndarray | None = None
    inside: str = "above"
    level: float = 0.5
    points_N3: np.ndarray | None = None
    up: str = "y"
    _meshes: list[trimesh.Trimesh] = field(default_factory=list, repr=False, init=False)

    def __post_init__(self) -> None:
        if (self.values_XYZ is None) == (self.points_N3 is None):
            raise InputError("A shape is a field (values_XYZ) or a point set (points_N3), exactly one of them.")

    @property
    def has_surface(self) -> bool:
        """A field that crosses its level: ``mesh()`` works."""
        if self.values_XYZ is None:
            return False
        over = self.values_XYZ > self.level
        return bool(over.any() and not over.all())

    def mesh(self, *, frame: Frame | None = None) -> trimesh.Trimesh:
        """The surface as a trimesh.Trimesh, closed, its triangles turned outwards.

        Args:
            frame: the unit and place to bring it to; None = shape space.

        Raises:
            InputError: a point set, or a field without a surface.
        """
        if self.values_XYZ is None:
            raise InputError("A point set has no surface; use .points(), or a model with the head 'shape_field'.")
        if not self._meshes:
            self._meshes.append(surface_mesh(self.values_XYZ, level=self.level, inside=self.inside, name="shape"))
        mesh = self._meshes[0].copy()
        if frame is not None:
            mesh.vertices = frame.out_of(mesh.vertices)
        return mesh

    def points(self, count: int = 2048, *, seed: object = 0) -> np.ndarray:
        """(N, 3) float64 of the surface, spread evenly; of a point set the first ``count`` that it has.

        Raises:
            InputError: a field without a surface.
        """
        if self.points_N3 is not None:
            return self.points_N3[:count].astype(np.float64)
        return surface_points(self.mesh().triangles, count, seed=seed, name="shape")

    def contains(self, points_N3: np.ndarray) -> np.ndarray:
        """(N,) bool: which points of shape space lie inside, the field being trilinear between its places.

        Raises:
            InputError: a point set.
        """
        import torch

        points = torch.from_numpy(np.ascontiguousarray(points_N3, np.float32))
        return (self.heights()(points) < 0).numpy()

    def heights(self):  # type: ignore[no-untyped-def]
        """The field as a torch function, below 0 inside: what the renderer draws.

        Raises:
            InputError: a point set.
        """
        import torch

        from omni_plugin_three_d.render.fields import GridField

        if self.values_XYZ is None:
            raise InputError("A point set has no inside; use a model with the head 'shape_field'.")
        values = np.ascontiguousarray(self.values_XYZ, np.float32)
        values = self.level - values if self.inside == "above" else values - self.level
        return GridField(torch.from_numpy(values))

    def turntable(self, *, views: int = 8, size: int = 160) -> list[Image.Image]:
        """Pictures all round, of ``size`` pixels.

        Raises:
            InputError: a field without a surface. ConfigError: no view, or a size that makes no sense.
        """
        import torch

        from omni_plugin_three_d.render.turntable import views_of

        if self.points_N3 is not None:
            points = torch.from_numpy(np.ascontiguousarray(self.points_N3, np.float32))
            return views_of(points_N3=points, views=views, size=size, up=self.up)
        self.mesh()  # says why, where there is no surface
        return views_of(field=self.heights(), views=views, size=size, up=self.up)

    def save(
        self, path: str | os.PathLike[str], *, frame: Frame | None = None, views: int = 8, size: int = 160
    ) -> Path:
        """Write it, by the file's ending: .glb, .ply, .obj (a mesh; points of a point set, then also .xyz); .png
        (views side by side), .gif (turning).

        Args:
            frame: the unit and place of meshes and points; None = shape space.
            views, size: of pictures.

        Raises:
            ConfigError: another ending. InputError: a field without a surface. OSError: it cannot be written.
        """
        if Path(path).suffix.lower() in PICTURES:
            from omni_plugin_three_d.render.turntable import picture_bytes

            return files.write_whole(
                path, picture_bytes(self.turntable(views=views, size=size), Path(path).suffix.lower())
            )  # fmt: skip
        if self.points_N3 is not None:
            points = self.points_N3 if frame is None else frame.out_of(self.points_N3)
            return files.save_points(points, path)
        files.mesh_ending(path)
        return files.save_mesh(self.mesh(frame=frame), path)


def shape_of_solid(solid_GGG: np.ndarray, *, resolution: int | None = None, up: str = "y") -> Shape:
    """A solid of voxels (solids.solid_of) as a shape: the share of each place that is inside, trilinear between voxel
    centres, level one half.

    Args:
        resolution: of the shape's lattice; None = one more than the voxels a side.
    """
    from scipy.ndimage import map_coordinates

    side = len(solid_GGG)
    places = (lattice(side + 1 if resolution is None else resolution).astype(np.float64) + 1) * (side / 2) - 0.5
    values = map_coordinates(
        np.asarray(solid_GGG, np.float32), places.reshape(-1, 3).T, order=1, mode="nearest"
    ).reshape(places.shape[:3])  # fmt: skip
    return Shape(values_XYZ=values.astype(np.float32), level=0.5, up=up)
