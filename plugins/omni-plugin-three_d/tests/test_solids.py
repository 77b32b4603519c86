"""Solids of meshes: against analytic volumes, a brute-force flood and exhaustive distances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import trimesh

from omni.errors import ConfigError, InputError
from omni_plugin_three_d.frame import FILL, Frame, frame_of
from omni_plugin_three_d.solids import (
    framed_solid,
    pack_solid,
    query_points,
    read_framed,
    signed_distance,
    solid_of,
    unpack_solid,
    voxelise,
)


def centres(grid: int) -> np.ndarray:
    line = (np.arange(grid) + 0.5) * (2 / grid) - 1
    return np.stack(np.meshgrid(line, line, line, indexing="ij"), 3)


def flooded(marked: np.ndarray) -> np.ndarray:
    """What no walk over face neighbours from outside reaches, walked one by one."""
    grid = len(marked)
    reached = np.zeros((grid + 2,) * 3, bool)
    wall = np.pad(marked, 1)
    todo = [(0, 0, 0)]
    reached[0, 0, 0] = True
    while todo:
        place = todo.pop()
        for axis, step in itertools.product(range(3), (-1, 1)):
            near = list(place)
            near[axis] += step
            if 0 <= near[axis] < grid + 2 and not reached[tuple(near)] and not wall[tuple(near)]:
                reached[tuple(near)] = True
                todo.append(tuple(near))
    return ~reached[1:-1, 1:-1, 1:-1]


def winding(corners: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How often a closed surface goes round each place: its solid angle (Van Oosterom and Strackee 1983) / 4 pi."""
    a, b, c = (corners[None, :, corner] - places[:, None] for corner in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=2) for x in (a, b, c))
    above = np.einsum("pfd,pfd->pf", a, np.cross(b, c))
    below = la * lb * lc + (a * b).sum(2) * lc + (b * c).sum(2) * la + (c * a).sum(2) * lb
    return np.arctan2(above, below).sum(1) / (2 * np.pi)


def gap(mesh: trimesh.Trimesh, places: np.ndarray) -> np.ndarray:
    """Distance from each place to the surface, over all triangles."""
    pairs = np.repeat(places, len(mesh.faces), 0), np.tile(mesh.triangles, (len(places), 1, 1))
    found = np.linalg.norm(trimesh.triangles.closest_point(pairs[1], pairs[0]) - pairs[0], axis=1)
    return found.reshape(len(places), -1).min(1)


@pytest.mark.parametrize("shape", ["sphere", "box", "torus"])
def test_voxels_are_those_the_surface_passes_and_what_it_encloses(shape: str) -> None:
    mesh = {
        "sphere": lambda: trimesh.creation.icosphere(2, 0.8),
        "box": lambda: trimesh.creation.box((1.3, 0.5, 0.9)),
        "torus": lambda: trimesh.creation.torus(0.6, 0.2, 16, 10),
    }[shape]()
    mesh.apply_transform(trimesh.transformations.euler_matrix(0.4, 0.9, 2.0))
    grid = 16
    reach = 3**0.5 / grid + 1e-9  # from a voxel's centre to its corner
    marked, solid = voxelise(mesh.triangles, grid=grid), solid_of(mesh.triangles, grid=grid)
    assert (solid == flooded(marked)).all()
    places = centres(grid).reshape(-1, 3)
    inside = (np.abs(winding(mesh.triangles, places)) > 0.5).reshape(solid.shape)
    assert solid[inside].all() and inside.sum() > 100  # nothing leaks
    assert gap(mesh, centres(grid)[marked]).max() <= reach  # the surface passes through every marked voxel
    assert gap(mesh, centres(grid)[solid & ~inside]).max() <= reach


def test_faces_may_be_turned_any_way_and_a_hole_empties_the_solid() -> None:
    mesh = trimesh.creation.box((1.2, 1.2, 1.2))
    turned = mesh.triangles.copy()
    turned[::2] = turned[::2, ::-1]
    whole = solid_of(mesh.triangles, grid=16)
    assert (solid_of(turned, grid=16) == whole).all()
    lid = np.isclose(mesh.triangles[..., 2], 0.6).all(1)
    open_box = solid_of(mesh.triangles[~lid], grid=16)
    assert lid.sum() == 2 and whole.sum() == 10**3 and 0 < open_box.sum() < 600
    assert not open_box[7:9, 7:9, 7:9].any()


def test_a_sheet_between_the_lines_is_not_lost() -> None:
    z = 0.5 / 32 + 1e-4  # between two planes of voxel centres
    corners = np.array(
        [[[-0.9, -0.9, z], [0.9, -0.9, z], [0.9, 0.9, z]], [[-0.9, -0.9, z], [0.9, 0.9, z], [-0.9, 0.9, z]]]
    )
    sheet = solid_of(corners, grid=64)
    assert (sheet.any(2).sum(), sheet.sum()) == (58**2, 58**2)
    needle = solid_of(np.array([[[-0.9, 0.001, 0.001], [0.9, 0.001, 0.001], [0.9, 0.002, 0.001]]]), grid=64)
    assert needle.any((1, 2)).sum() == 58


def test_signed_distance_against_all_pairs() -> None:
    solid = np.zeros((8, 8, 8), bool)
    solid[2:5, 1:6, 3] = True
    solid[6, 6, 6] = True
    found, places = signed_distance(solid), centres(8).reshape(-1, 3)
    flat = solid.reshape(-1)
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
    nearest = np.where(flat, -gaps[:, ~flat].min(1), gaps[:, flat].min(1))
    wanted = nearest - np.sign(nearest) / 8  # half a voxel
    assert np.allclose(found.reshape(-1), wanted, atol=1e-6)
    for bad in (np.zeros((8, 8, 8), bool), np.ones((8, 8, 8), bool)):
        with pytest.raises(InputError, match="no border"):
            signed_distance(bad)


def test_query_points_say_what_is_there() -> None:
    grid = 32
    solid = (np.linalg.norm(centres(grid), axis=3) < 0.6) & (centres(grid)[..., 0] < 0.3)
    found = query_points(solid, 3000, seed="a", near=0.6)
    cells = np.clip(np.floor((found.points_P3.astype(np.float64) + 1) * 16).astype(int), 0, grid - 1)
    assert (found.occupancy_P == solid[tuple(cells.T)]).mean() > 0.999  # float32 on a border between two voxels
    assert found.points_P3.dtype == np.float32 and np.abs(found.points_P3).max() <= 1
    agree = (found.distance_P < 0) == (found.occupancy_P == 1)
    assert agree.mean() > 0.9 and (np.abs(found.distance_P[~agree]) < 1.8 / grid).all()
    near = np.abs(found.distance_P[:1800])
    assert np.median(near) < 3 / grid < np.median(np.abs(found.distance_P[1800:]))
    again = query_points(solid, 3000, seed="a", near=0.6, distance=False)
    assert (again.points_P3 == found.points_P3).all() and again.distance_P is None
    assert (query_points(solid, 3000, seed="b").points_P3 != found.points_P3).any()
    with pytest.raises(ConfigError, match="count=0"):
        query_points(solid, 0, seed=0)
    with pytest.raises(InputError, match="empty"):
        query_points(np.zeros((8, 8, 8), bool), 5, seed=0)


def test_packing_and_the_frame() -> None:
    solid = np.random.default_rng(0).random((16, 16, 16)) > 0.7
    data = pack_solid(solid)
    assert (unpack_solid(data) == solid).all()
    for bad in (b"", b"\x04abc", data[:-20], b"\x1f" + data[1:]):
        with pytest.raises(InputError, match="damaged"):
            unpack_solid(bad)
    mesh = trimesh.creation.box((20, 40, 10))
    mesh.apply_translation((100, 0, -7))
    frame, own = read_framed(framed_solid(mesh.triangles, grid=32))
    assert frame == Frame(center_3=(100, 0, -7), half=20)
    places = frame.into(mesh.vertices)
    assert np.isclose(np.abs(places).max(), FILL) and np.allclose(frame.out_of(places), mesh.vertices)
    assert np.allclose(own.any((1, 2)).sum() / own.any((0, 2)).sum(), 0.5, atol=0.1)
    assert Frame.from_list(frame.to_list()) == frame
    with pytest.raises(InputError, match="cut off"):
        read_framed(b"1234")
    for bad in (np.zeros((0, 3)), np.ones((4, 3)), np.full((2, 3), np.nan)):
        with pytest.raises(InputError):
            frame_of(bad)
    with pytest.raises(InputError, match="shape space"):
        voxelise(mesh.triangles)
    with pytest.raises(ConfigError, match="300"):
        voxelise(mesh.triangles / 200, grid=300)
    with pytest.raises(InputError, match="bool"):
        signed_distance(np.zeros((4, 4, 4)))
