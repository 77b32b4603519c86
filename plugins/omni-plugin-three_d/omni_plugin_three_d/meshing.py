"""Fields sampled on a lattice -> meshes, by marching cubes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from omni.errors import InputError

if TYPE_CHECKING:
    import trimesh


def lattice(resolution: int, *, bound: float = 1.0) -> np.ndarray:
    """(R, R, R, 3) float32: points of the cube from -bound to bound, its corners among them, axes x, y, z.

    Raises:
        InputError: fewer than two a side.
    """
    if resolution < 2:
        raise InputError(f"A lattice of {resolution} points a side is too small; use two or more.")
    line = np.linspace(-bound, bound, resolution, dtype=np.float32)
    return np.stack(np.meshgrid(line, line, line, indexing="ij"), 3)


def surface_mesh(
    values_XYZ: np.ndarray,
    *,
    level: float,
    inside: str,
    bound: float = 1.0,
    name: str = "field",
) -> trimesh.Trimesh:
    """The surface on which a field has a level (Lorensen and Cline 1987, in the version of Lewiner et al. 2003).

    A solid that reaches the border of the cube is closed there.

    Args:
        values_XYZ: the field at ``lattice(R, bound=bound)``.
        inside: "above" (occupancy, density) or "below" (signed distance) the level.
        name: how messages call it.

    Returns:
        A mesh in the lattice's space, its triangles turned outwards.

    Raises:
        InputError: fewer than two values a side, NaN or infinity, or no surface at this level.
    """
    from skimage.measure import marching_cubes
    from trimesh import Trimesh

    if inside not in ("above", "below"):
        raise InputError(f"inside={inside!r}: say 'above' or 'below' the level.")
    values = np.asarray(values_XYZ, np.float64)
    if values.ndim != 3 or min(values.shape) < 2:
        raise InputError(f"The {name} has the shape {values.shape}; marching cubes needs (X, Y, Z), two or more each.")
    if not np.isfinite(values).all():
        raise InputError(f"The {name} has NaN or infinity in {int((~np.isfinite(values)).sum())} of its values.")
    heights = values - level if inside == "above" else level - values
    if not (heights > 0).any() or (heights > 0).all():
        where = "inside" if (heights > 0).any() else "outside"
        raise InputError(
            f"The {name} has no surface at level {level:g}: its values lie in {values.min():.4g}..{values.max():.4g}, "
            f"so everything is {where}. Choose a level between them, or train the model for longer."
        )
    spacing = tuple(2 * bound / (count - 1) for count in values.shape)
    air = -max(float(np.abs(heights).max()), 1e-12)
    corners, faces, _, _ = marching_cubes(
        np.pad(heights, 1, constant_values=air), 0.0, spacing=spacing, gradient_direction="ascent"
    )
    corners = corners.astype(np.float64) - np.asarray(spacing) - bound
    return Trimesh(np.clip(corners, -bound, bound), faces, process=False)
