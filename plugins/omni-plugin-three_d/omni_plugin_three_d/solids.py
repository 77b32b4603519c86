"""Meshes -> solids on a grid of voxels -> points with occupancy and signed distance, from which fields learn.

Meshes of the wild are neither closed nor turned one way round, so "inside" is defined by what air can reach: a voxel
belongs to the solid if the surface passes through it, or if no path of face neighbours leads from it out of the cube
without crossing the surface. Closed walls enclose their inside; an open sheet becomes one voxel thick.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from omni.data.building.counter_rng import CounterRng
from omni.errors import ConfigError, InputError
from omni_plugin_three_d.frame import Frame, frame_of

GRID = 64
NEAR_SHARE, NEAR_SPREAD = 0.5, 2.0  # of query points; in voxels
_TOLERANCE = 1e-7
_AT_ONCE = 2_000_000


def voxelise(corners_F33: np.ndarray, *, grid: int = GRID) -> np.ndarray:
    """Voxels through which triangles pass, as a barrier without holes.

    Every line through voxel centres along an axis is cut with every triangle and the voxel of each cut is marked: a
    step from a voxel to its face neighbour that crosses the surface starts or ends in a marked one. Parts that are
    thinner than a voxel and lie between the lines are marked by points of theirs, half a voxel apart.

    Args:
        corners_F33: (F, 3 corners, 3) float in shape space. grid: G, voxels along each side of the cube.

    Returns:
        (G, G, G) bool, axes x, y, z.

    Raises:
        ConfigError: grid is not in 4..256. InputError: a corner is NaN or outside of the cube.
    """
    if not 4 <= grid <= 256:
        raise ConfigError(f"A grid of {grid} voxels a side is not in 4..256.")
    corners = np.asarray(corners_F33, np.float64)
    if corners.ndim != 3 or corners.shape[1:] != (3, 3) or not (np.abs(corners) <= 1).all():
        raise InputError("Triangles must be (F, 3, 3) within -1..1; bring the mesh into shape space with frame_of().")
    places = (corners + 1) * (grid / 2) - 0.5  # voxel centres at whole numbers
    marked = np.zeros((grid,) * 3, bool)
    for axis in range(3):
        for cells_N3 in _line_cuts(places, axis, grid):
            _mark(marked, cells_N3)
    for points_N3 in _points_on(places):
        _mark(marked, np.rint(points_N3).astype(np.int64))
    return marked


def _mark(marked: np.ndarray, cells_N3: np.ndarray) -> None:
    x, y, z = np.clip(cells_N3, 0, len(marked) - 1).T
    marked[x, y, z] = True


def _line_cuts(places_F33: np.ndarray, axis: int, grid: int) -> Iterator[np.ndarray]:
    """Voxels where triangles cut the lines along one axis."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    a, b, c = (places_F33[:, corner][:, [first, second]] for corner in range(3))
    area_F = _cross(b - a, c - a)
    low_F2 = np.maximum(np.ceil(places_F33.min(1)[:, [first, second]] - _TOLERANCE), 0).astype(np.int64)
    high_F2 = np.minimum(np.floor(places_F33.max(1)[:, [first, second]] + _TOLERANCE), grid - 1).astype(np.int64)
    size_F2 = np.maximum(high_F2 - low_F2 + 1, 0)
    size_F2[np.abs(area_F) < 1e-12] = 0  # seen edge-on
    count_F = size_F2.prod(1)
    for chosen in _groups(count_F):
        count = count_F[chosen]
        face = np.repeat(chosen, count)
        number = np.arange(len(face)) - np.repeat(np.cumsum(count) - count, count)
        pixel = low_F2[face] + np.stack((number // size_F2[face, 1], number % size_F2[face, 1]), 1)
        weights = np.stack(
            (_cross(c[face] - b[face], pixel - b[face]), _cross(a[face] - c[face], pixel - c[face]),
             _cross(b[face] - a[face], pixel - a[face])), 1
        ) / area_F[face, None]  # fmt: skip
        hit = (weights >= -_TOLERANCE).all(1)
        depth = (weights[hit] * places_F33[face[hit], :, axis]).sum(1)
        for shift in (-_TOLERANCE, _TOLERANCE):  # a cut between two voxels marks both
            cells = np.zeros((len(depth), 3), np.int64)
            cells[:, [first, second]] = pixel[hit]
            cells[:, axis] = np.rint(depth + shift)
            yield cells


def _points_on(places_F33: np.ndarray) -> Iterator[np.ndarray]:
    """Points of the triangles at most half a voxel apart, on barycentric lattices."""
    edges = np.linalg.norm(places_F33 - np.roll(places_F33, 1, 1), axis=2).max(1)
    level_F = np.ceil(np.log2(np.maximum(edges * 2, 1))).astype(int)
    for level in np.unique(level_F):
        steps = 2**level
        i, j = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
        keep = i + j <= steps
        weights_K3 = np.stack((i[keep], j[keep], steps - i[keep] - j[keep]), 1) / steps
        mine = np.flatnonzero(level_F == level)
        for chosen in np.array_split(mine, max(1, len(mine) * len(weights_K3) // _AT_ONCE + 1)):
            yield np.einsum("kc,fcd->fkd", weights_K3, places_F33[chosen]).reshape(-1, 3)


def _groups(count_F: np.ndarray) -> Iterator[np.ndarray]:
    """Indices of triangles with a count, in runs of about _AT_ONCE."""
    some = np.flatnonzero(count_F)
    run = np.cumsum(count_F[some]) // _AT_ONCE
    for number in np.unique(run):
        yield some[run == number]


def _cross(u_N2: np.ndarray, v_N2: np.ndarray) -> np.ndarray:
    return u_N2[:, 0] * v_N2[:, 1] - u_N2[:, 1] * v_N2[:, 0]


def solid_of(corners_F33: np.ndarray, *, grid: int = GRID) -> np.ndarray:
    """(G, G, G) bool: the surface's voxels and all that they enclose. Arguments and errors as in voxelise()."""
    return ndimage.binary_fill_holes(voxelise(corners_F33, grid=grid))


def signed_distance(solid_GGG: np.ndarray) -> np.ndarray:
    """(G, G, G) float32 at the voxel centres: distance to the solid's border, negative inside, in shape space.

    From the exact Euclidean distance transform between voxel centres, less half a voxel, since the border lies between
    two centres.

    Raises:
        InputError: the solid is empty or everything.
    """
    solid = _checked(solid_GGG)
    if solid.all() or not solid.any():
        raise InputError("A solid that is empty or fills the cube has no border to measure from.")
    outside, inside = ndimage.distance_transform_edt(~solid), ndimage.distance_transform_edt(solid)
    return (np.where(solid, 0.5 - inside, outside - 0.5) * (2 / len(solid))).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Points of shape space and what is known there.

    Attributes:
        points_P3: float32. occupancy_P: float32, 1 inside. distance_P: float32, negative inside, or None.
    """

    points_P3: np.ndarray
    occupancy_P: np.ndarray
    distance_P: np.ndarray | None = None


def query_points(
    solid_GGG: np.ndarray, count: int, *, seed: object, near: float = NEAR_SHARE, distance: bool = True
) -> Queries:
    """Points from which a field learns: a share scattered about the border, the rest even in the cube (after Mescheder
    et al. 2019, Occupancy Networks, section 3.3, and Park et al. 2019, DeepSDF, section 4.1).

    Args:
        solid_GGG: from solid_of(). count: P. seed: anything printable; the same seed gives the same points.
        near: share about the border, in 0..1; the scatter has a standard deviation of two voxels.
        distance: also the signed distances, which take most of the time.

    Raises:
        ConfigError: count below 1 or near outside of 0..1. InputError: the solid is empty, or fills the cube.
    """
    if count < 1 or not 0 <= near <= 1:
        raise ConfigError(f"query_points: count={count} must be above 0 and near={near} in 0..1.")
    solid = _checked(solid_GGG)
    if not solid.any():
        raise InputError("An empty solid has no border to learn from.")
    grid, rng = len(solid), CounterRng("queries", seed)
    border = np.argwhere(solid & ~ndimage.binary_erosion(solid))
    close = int(round(near * count))
    picks = border[rng.integers(len(border), (close,))] + rng.normal((close, 3)) * NEAR_SPREAD
    points = np.concatenate(((picks + 0.5) * (2 / grid) - 1, rng.uniform((count - close, 3), -1.0, 1.0)))
    points = np.clip(points, -1, 1).astype(np.float32)
    places = (points.astype(np.float64) + 1) * (grid / 2) - 0.5
    x, y, z = np.clip(np.rint(places).astype(np.int64), 0, grid - 1).T
    return Queries(
        points_P3=points,
        occupancy_P=solid[x, y, z].astype(np.float32),
        distance_P=ndimage.map_coordinates(signed_distance(solid), places.T, order=1, mode="nearest").astype(np.float32)
        if distance
        else None,
    )


def pack_solid(solid_GGG: np.ndarray) -> bytes:
    """A byte of log2 G, then the voxels as bits, deflated."""
    solid = _checked(solid_GGG)
    power = int(np.log2(len(solid)))
    if 2**power != len(solid):
        raise ConfigError(f"A solid of {len(solid)} voxels a side cannot be packed; use a power of two.")
    return bytes([power]) + zlib.compress(np.packbits(solid).tobytes(), 9)


def unpack_solid(data: bytes) -> np.ndarray:
    """The inverse of pack_solid().

    Raises:
        InputError: the bytes are not such a solid.
    """
    try:
        grid = 2 ** data[0]
        if not 4 <= grid <= 256:
            raise ValueError(f"{grid} voxels a side")
        bits = zlib.decompressobj().decompress(data[1:], grid**3 // 8)
        return np.unpackbits(np.frombuffer(bits, np.uint8)).astype(bool).reshape((grid,) * 3)
    except (IndexError, ValueError, zlib.error) as error:
        raise InputError(f"A packed solid is damaged ({error}); build the data set again.") from error


def framed_solid(corners_F33: np.ndarray, *, grid: int = GRID, name: str = "mesh") -> bytes:
    """The frame of a mesh in its own unit and its packed solid, as read_framed() takes them.

    Raises:
        InputError: no triangles, NaN or infinity, or all at one place.
    """
    corners = np.asarray(corners_F33, np.float64)
    frame = frame_of(corners.reshape(-1, 3), name=name)
    places = frame.into(corners.reshape(-1, 3)).reshape(corners.shape)
    return struct.pack("<4d", *frame.to_list()) + pack_solid(solid_of(places, grid=grid))


def read_framed(data: bytes) -> tuple[Frame, np.ndarray]:
    """Frame and (G, G, G) bool.

    Raises:
        InputError: the bytes are not such a solid.
    """
    if len(data) < 33:
        raise InputError("A packed solid is cut off; build the data set again.")
    return Frame.from_list(list(struct.unpack("<4d", data[:32]))), unpack_solid(data[32:])


def _checked(solid_GGG: np.ndarray) -> np.ndarray:
    solid = np.asarray(solid_GGG)
    if solid.ndim != 3 or len(set(solid.shape)) != 1 or solid.dtype != np.bool_:
        raise InputError(f"A solid is a bool array (G, G, G), not {solid.dtype} of shape {solid.shape}.")
    return solid
