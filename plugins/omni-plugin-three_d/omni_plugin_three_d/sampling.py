"""Points of a mesh's surface, the same on every machine for the same seed."""

from __future__ import annotations

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni.errors import ConfigError, InputError


def surface_points(corners_F33: np.ndarray, count: int, *, seed: object, name: str = "mesh") -> np.ndarray:
    """(N, 3) float64, spread evenly over the area (Osada et al. 2002, Shape distributions, section 3.1).

    Args:
        corners_F33: (F, 3 corners, 3). count: N. seed: anything printable. name: how messages call the mesh.

    Raises:
        ConfigError: count below 1. InputError: no triangle has an area.
    """
    if count < 1:
        raise ConfigError(f"{count} points of a surface cannot be taken; use 1 or more.")
    corners = np.asarray(corners_F33, np.float64).reshape(-1, 3, 3)
    edges = corners[:, 1:] - corners[:, :1]
    area_F = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    total_F = np.cumsum(area_F)
    if not len(total_F) or not total_F[-1] > 0:
        raise InputError(f"The {name} has {len(area_F)} triangles without any area, so no surface.")
    rng = CounterRng("surface points", seed)
    picks = np.searchsorted(total_F, rng.uniform((count,)) * total_F[-1], side="right")
    picks = np.minimum(picks, np.flatnonzero(area_F)[-1])
    root, second = np.sqrt(rng.uniform((count,))), rng.uniform((count,))
    weights = np.stack((1 - root, root * (1 - second), root * second), 1)
    return np.einsum("nc,ncd->nd", weights, corners[picks])
