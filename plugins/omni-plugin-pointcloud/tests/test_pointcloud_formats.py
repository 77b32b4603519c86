"""What is read: every format gives the same shape; areas, colours, normals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from shape_files import KINDS, box, mesh_file, npy, npz, obj_with_texture, off_text, ply_points

from omni.data.loaders import SlotLoader
from omni.errors import ConfigError, InputError
from omni_plugin_pointcloud.cloud import Cloud
from omni_plugin_pointcloud.io import load
from omni_plugin_pointcloud.sampling import sample_surface, surface_of

POINTS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]])
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [51, 102, 153]], np.uint8)
NORMALS = np.array([[0, 0, 2.0], [0, 3, 0], [1, 0, 0], [0, 0, -1]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_of_any_format(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"box.{kind}"
    path.write_bytes(mesh_file(kind))
    cloud = load(path, mesh_points=3000, normals=True)
    assert len(cloud) == 3000 and cloud.points_N3.dtype == np.float32 and cloud.colors_N3 is None
    assert np.allclose(np.abs(cloud.points_N3).max(0), (1, 2, 3), atol=0.05)
    face_N = np.abs(cloud.normals_N3).argmax(1)
    half = np.array((1.0, 2.0, 3.0))[face_N]
    on_face = np.take_along_axis(cloud.points_N3, face_N[:, None], 1)[:, 0]
    assert np.allclose(np.abs(on_face), half, atol=1e-5)  # every point lies on the face that its normal belongs to
    assert np.array_equal(load(str(path), mesh_points=3000).points_N3, cloud.points_N3)  # a file gives one cloud
    if kind not in ("obj", "stl"):
        assert np.array_equal(load(path.read_bytes(), mesh_points=3000).points_N3, cloud.points_N3)


def test_the_ending_may_be_in_capitals_and_the_slot_loader_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "BOX.OFF"
    path.write_text(off_text())
    assert len(SlotLoader("shape", modality="pointcloud")(str(path))) == 4096


def test_points_are_even_over_the_area() -> None:
    """Two squares, one of four times the area, cut into triangles of unlike sizes: counts follow areas."""
    small = trimesh.Trimesh([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], [(0, 1, 2), (0, 2, 3)], process=False)
    large = trimesh.Trimesh(
        [(5, 0, 0), (7, 0, 0), (7, 2, 0), (5, 2, 0), (5, 0.1, 0)], [(0, 1, 4), (4, 1, 2), (4, 2, 3)], process=False
    )
    found = sample_surface(surface_of([small, large]), 20_000, seed="even", color=False, name="squares")
    in_large = found["points"][:, 0] > 4
    assert in_large.mean() == pytest.approx(0.8, abs=4 * np.sqrt(0.8 * 0.2 / 20_000))
    quarters, _, _ = np.histogram2d(*(found["points"][in_large, :2] - (5, 0)).T, bins=4, range=((0, 2), (0, 2)))
    expected = in_large.sum() / 16
    assert ((quarters - expected) ** 2 / expected).sum() < 37.7  # chi-square of 15 degrees, 99.9 %
    assert not np.array_equal(
        found["points"],
        sample_surface(surface_of([small, large]), 20_000, seed="odd", color=False, name="squares")["points"],
    )


def test_a_triangle_without_area_gets_no_point() -> None:
    corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (9, 9, 9)]
    flat = trimesh.Trimesh(corners, [(3, 3, 3), (0, 1, 2), (3, 3, 3)], process=False)
    found = sample_surface(surface_of([flat]), 500, seed=0, color=False, name="flat")
    assert found["points"].max() <= 1 and np.isfinite(found["normals"]).all()


def test_points_alone_of_ply(tmp_path: Path) -> None:
    columns = [("float", axis) for axis in ("x", "y", "z", "nx", "ny", "nz")]
    columns += [("uchar", name) for name in ("red", "green", "blue")]
    path = tmp_path / "scan.ply"
    path.write_text(ply_points(np.concatenate((POINTS, NORMALS, COLORS), 1), tuple(columns)))
    cloud = load(path, color=True, normals=True)
    assert np.array_equal(cloud.points_N3, POINTS.astype(np.float32))
    assert np.allclose(cloud.colors_N3, COLORS / 255) and np.allclose(np.linalg.norm(cloud.normals_N3, axis=1), 1)
    assert np.allclose(cloud.normals_N3[0], (0, 0, 1))
    plain = load(path)
    assert plain.colors_N3 is None and plain.normals_N3 is None


@pytest.mark.parametrize("kind", ["ply", "glb"])
def test_colours_of_corners_are_mixed_on_the_surface(kind: str) -> None:
    mesh = trimesh.Trimesh([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], process=False)
    mesh.visual.vertex_colors = np.array([(255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)], np.uint8)
    cloud = load(mesh_file(kind, mesh), color=True, mesh_points=400)
    weight_N3 = np.stack((1 - cloud.points_N3[:, 0] - cloud.points_N3[:, 1], *cloud.points_N3[:, :2].T), 1)
    assert np.allclose(cloud.colors_N3, weight_N3, atol=0.005)


def test_textures_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = obj_with_texture(tmp_path)
    cloud = load(path, color=True, mesh_points=400)
    left = cloud.points_N3[:, 0] < 0.4
    right = cloud.points_N3[:, 0] > 0.6
    assert np.allclose(cloud.colors_N3[left], (1, 0, 0)) and np.allclose(cloud.colors_N3[right], (0, 0, 1))
    assert load(path, mesh_points=400).colors_N3 is None


def test_meshes_of_a_scene_stand_where_their_nodes_say() -> None:
    scene = trimesh.Scene()
    scene.add_geometry(box((2, 2, 2)))
    scene.add_geometry(box((2, 2, 2)), transform=trimesh.transformations.translation_matrix((10, 0, 0)))
    cloud = load(scene.export(file_type="glb"), mesh_points=2000)
    assert cloud.points_N3[:, 0].min() == pytest.approx(-1) and cloud.points_N3[:, 0].max() == pytest.approx(11)
    assert (cloud.points_N3[:, 0] > 5).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("glued", [False, True])
def test_off_with_the_counts_glued_to_the_letters(glued: bool) -> None:
    cloud = load(off_text(glued=glued).encode())
    assert cloud.points_N3.min() >= 0 and cloud.points_N3[:, 2].max() == pytest.approx(2, abs=0.1)
    assert len(load(b"# a comment\n" + off_text(glued=glued).encode(), mesh_points=10)) == 10


def test_tables_and_arrays_say_what_their_columns_are(tmp_path: Path) -> None:
    nine = np.concatenate((POINTS, COLORS / 255, NORMALS), 1)
    path = tmp_path / "a.xyz"
    path.write_text("# x y z\n" + "\n".join(", ".join(map(str, row)) for row in nine) + "\n")
    for value in (nine, torch.tensor(nine), npy(nine), path):
        cloud = load(value, columns=["color", "normal"])
        assert np.allclose(cloud.points_N3, POINTS) and np.allclose(cloud.colors_N3, COLORS / 255, atol=1e-6)
        assert np.allclose(cloud.normals_N3[1], (0, 1, 0))
        with pytest.raises(InputError, match="9 columns, and x, y, z are 3.*columns="):
            load(value)
    six = np.concatenate((POINTS, NORMALS), 1)
    assert load(six, columns="normal").colors_N3 is None
    with pytest.raises(InputError, match="colours from -1 to 3.*color_max=255"):
        load(six, columns="color")
    assert load(np.concatenate((POINTS, COLORS), 1), columns="color", color_max=255).colors_N3.max() == 1
    with pytest.raises(ConfigError, match="'color' and 'normal'"):
        load(six, columns="colour")


def test_dictionaries_and_npz() -> None:
    for value in (dict(points=POINTS, colors=COLORS), npz(points=POINTS, colors=COLORS)):
        cloud = load(value)
        assert np.allclose(cloud.colors_N3, COLORS / 255) and cloud.normals_N3 is None
        assert isinstance(cloud, Cloud) and load(cloud) is cloud
    with pytest.raises(InputError, match="keys points, colors, normals"):
        load(dict(xyz=POINTS))
