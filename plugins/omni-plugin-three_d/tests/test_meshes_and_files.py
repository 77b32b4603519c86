"""Marching cubes against analytic bodies; files read back by trimesh; pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from omni.errors import ConfigError, InputError
from omni_plugin_three_d.files import save_mesh
from omni_plugin_three_d.frame import Frame
from omni_plugin_three_d.meshing import lattice, surface_mesh
from omni_plugin_three_d.render.fields import box_distance, sphere_distance
from omni_plugin_three_d.sampling import surface_points
from omni_plugin_three_d.shape import Shape, shape_of_solid
from omni_plugin_three_d.solids import solid_of

CENTER, RADIUS, HALF = (0.2, -0.1, 0.15), 0.55, (0.3, 0.6, 0.45)


def sphere_values(resolution: int) -> np.ndarray:
    points = torch.from_numpy(lattice(resolution)).double()
    return sphere_distance(points, torch.tensor(CENTER).double(), torch.tensor(RADIUS).double()).numpy()


def test_a_sphere_has_its_place_radius_and_volume() -> None:
    mesh = surface_mesh(sphere_values(40), level=0.0, inside="below")
    reach = np.linalg.norm(mesh.vertices - CENTER, axis=1)
    assert np.abs(reach - RADIUS).max() < 2e-3 and mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)  # positive: turned outwards
    assert np.allclose(mesh.center_mass, CENTER, atol=1e-3)
    bigger = surface_mesh(sphere_values(40), level=0.1, inside="below")
    assert np.abs(np.linalg.norm(bigger.vertices - CENTER, axis=1) - RADIUS - 0.1).max() < 2e-3
    occupancy = surface_mesh(1 / (1 + np.exp(20 * sphere_values(40))), level=0.5, inside="above")
    assert np.abs(np.linalg.norm(occupancy.vertices - CENTER, axis=1) - RADIUS).max() < 5e-3
    assert occupancy.volume == pytest.approx(mesh.volume, rel=0.01)


def test_a_box_has_its_sides() -> None:
    points = torch.from_numpy(lattice(60)).double()
    values = box_distance(points, torch.tensor(CENTER).double(), torch.tensor(HALF).double()).numpy()
    mesh = surface_mesh(values, level=0.0, inside="below", bound=1.0)
    assert np.allclose(mesh.bounds, [np.subtract(CENTER, HALF), np.add(CENTER, HALF)], atol=2e-3)
    assert mesh.volume == pytest.approx(8 * np.prod(HALF), rel=0.02)
    doubled = surface_mesh(values, level=0.0, inside="below", bound=2.0)
    assert np.allclose(doubled.vertices, 2 * mesh.vertices, atol=1e-6)


def test_what_reaches_the_border_is_closed_there() -> None:
    points = lattice(24)
    mesh = surface_mesh(points[..., 0] + 0.3, level=0.0, inside="above")  # the half space x > -0.3
    assert mesh.is_watertight and mesh.volume == pytest.approx(1.3 * 4, rel=0.02)
    assert np.allclose(mesh.bounds, [[-0.3, -1, -1], [1, 1, 1]], atol=1e-5)


def test_a_field_without_a_surface_says_so() -> None:
    for values, words in ((np.zeros((8, 8, 8)), "outside"), (np.ones((8, 8, 8)), "inside")):
        with pytest.raises(InputError, match=f"no surface at level 0.5.*{words}"):
            surface_mesh(values, level=0.5, inside="above")
    shape = Shape(values_XYZ=np.zeros((8, 8, 8), np.float32))
    assert not shape.has_surface
    for action in (shape.mesh, shape.points, shape.turntable, lambda: shape.save("x.glb")):
        with pytest.raises(InputError, match="no surface"):
            action()
    with pytest.raises(InputError, match="NaN"):
        surface_mesh(np.full((8, 8, 8), np.nan), level=0.5, inside="above")
    with pytest.raises(InputError, match="shape"):
        surface_mesh(np.zeros((8, 8)), level=0.5, inside="above")
    with pytest.raises(InputError, match="exactly one"):
        Shape()


@pytest.fixture(scope="module")
def ball() -> Shape:
    return Shape(values_XYZ=sphere_values(24).astype(np.float32), inside="below", level=0.0)


@pytest.mark.parametrize("ending", ["glb", "ply", "obj"])
def test_files_hold_the_same_mesh(ball: Shape, ending: str, tmp_path: Path) -> None:
    path = ball.save(tmp_path / "new" / f"ball.{ending}")
    read = trimesh.load(path, force="mesh", process=False)
    mesh = ball.mesh()
    assert read.faces.shape == mesh.faces.shape and (read.faces == mesh.faces).all()
    assert np.abs(read.vertices - mesh.vertices).max() < 1e-6
    frame = Frame(center_3=(10, 20, 30), half=90)
    read = trimesh.load(ball.save(path, frame=frame), force="mesh", process=False)
    assert np.allclose(read.vertices, mesh.vertices * 100 + (10, 20, 30), atol=1e-4)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["glb", "ply", "obj", "xyz"])
def test_files_hold_the_same_points(ending: str, tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    path = Shape(points_N3=points).save(tmp_path / f"points.{ending}")
    if ending == "obj":  # trimesh drops corners that no face uses
        found = np.array([line.split()[1:] for line in path.read_text().splitlines()], float)
    elif ending == "glb":
        found = next(iter(trimesh.load_scene(path).geometry.values())).vertices
    else:
        found = trimesh.load(path).vertices
    assert np.abs(np.asarray(found) - points).max() < 1e-6


def test_what_files_refuse(ball: Shape, tmp_path: Path) -> None:
    for name in ("ball.stl", "ball", "ball.jpg"):
        with pytest.raises(ConfigError, match=".glb, .ply, .obj"):
            ball.save(tmp_path / name)
    with pytest.raises(InputError, match="no triangles"):
        save_mesh(trimesh.Trimesh(), tmp_path / "a.glb")
    with pytest.raises(InputError, match="no surface"):
        Shape(points_N3=np.zeros((2, 3), np.float32)).mesh()
    assert not list(tmp_path.iterdir())


def test_pictures(ball: Shape, tmp_path: Path) -> None:
    picture = Image.open(ball.save(tmp_path / "ball.png", views=3, size=32))
    assert picture.size == (96, 32)
    dark = np.asarray(picture.convert("L")) < 250
    assert 0.05 < dark.mean() < 0.6 and not dark[0].any()
    turning = Image.open(ball.save(tmp_path / "ball.gif", views=3, size=32))
    assert turning.n_frames == 3
    points = Shape(points_N3=ball.points(400).astype(np.float32))
    seen = np.asarray(Image.open(points.save(tmp_path / "points.png", views=3, size=32)).convert("L")) < 250
    assert (seen & ~dark).mean() < 0.02 < seen.mean()  # the same outline
    with pytest.raises(ConfigError, match="one view or more"):
        ball.turntable(views=0)


def test_points_are_even_over_the_area(ball: Shape) -> None:
    points = ball.points(4000, seed=1)
    assert (points == ball.points(4000, seed=1)).all() and np.abs(
        np.linalg.norm(points - CENTER, axis=1) - RADIUS
    ).max() < 0.01
    assert np.abs((points - CENTER).mean(0)).max() < 0.03  # each octant alike
    big_and_small = np.array([[[0, 0, 0], [3, 0, 0], [0, 2, 0]], [[0, 0, 5], [1, 0, 5], [0, 2, 5]]], float)
    assert (surface_points(big_and_small, 4000, seed=0)[:, 2] == 5).mean() == pytest.approx(0.25, abs=0.03)
    with pytest.raises(InputError, match="without any area"):
        surface_points(np.zeros((3, 3, 3)), 5, seed=0)
    inside = ball.contains(np.array([CENTER, (0.9, 0.9, 0.9)]))
    assert inside.tolist() == [True, False]


def test_a_solid_becomes_a_shape_of_its_size() -> None:
    solid = solid_of(trimesh.creation.box((1.0, 0.5, 1.5)).triangles, grid=32)
    mesh = shape_of_solid(solid).mesh()
    counts = np.array([solid.any((1, 2)).sum(), solid.any((0, 2)).sum(), solid.any((0, 1)).sum()])
    assert np.allclose(mesh.extents, counts / 16, atol=1e-6) and mesh.is_watertight
