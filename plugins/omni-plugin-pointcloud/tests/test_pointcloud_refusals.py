"""What is refused, with the file's name, the cause and a way out; nothing outside of the file's folder is touched."""

from __future__ import annotations

import json
import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
from shape_files import TETRA_V, box, mesh_file, npy, npz, obj_with_texture, off_text, ply_points

from omni.errors import ConfigError, InputError
from omni_plugin_pointcloud import meshes
from omni_plugin_pointcloud.io import load

XYZ = (("float", "x"), ("float", "y"), ("float", "z"))
STL = mesh_file("stl")
GLB = mesh_file("glb")
PLY = mesh_file("ply")


def glb_of(tree: dict, blob: bytes = b"") -> bytes:
    """A GLB file of a JSON tree."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if blob:
        chunks += struct.pack("<I4s", len(blob), b"BIN\0") + blob
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


REFERRING = {
    "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
    "bufferViews": [{"buffer": 0, "byteLength": 36}],
    "buffers": [{"uri": "secret.bin", "byteLength": 36}],
}  # fmt: skip

FILES: list[tuple[str, bytes, str]] = [
    ("a.ply", b"", "empty \\(0 bytes\\)"),
    ("a.off", b"PLY off", "does not start like a file of its kind"),
    ("a.ply", off_text().encode(), "starts like OFF"),
    ("a.obj", GLB, "starts like GLB"),
    ("a.glb", b"glTX" + GLB[4:], "does not start like"),
    ("a.xyz", b"\x00\x01\x02", "called text but is not"),
    ("a.step", b"ISO-10303", "ends with '.step', which is not read.*Known are PLY"),
    ("a.ply", PLY[:-20], "cannot be read as PLY|cut off"),
    ("a.ply", PLY[:40], "cut off: its header does not end"),
    ("a.ply", ply_points(np.eye(3), XYZ).replace("vertex 3", "vertex 5").encode(), "announces 5"),
    ("a.ply", ply_points(np.eye(3), XYZ).replace("vertex 3", "vertex 99999999999").encode(), "announces 99999999999"),
    ("a.ply", ply_points(np.eye(3)[:0], XYZ).encode(), "holds no points"),
    ("a.glb", GLB[:-30], "cut off: it announces"),
    ("a.glb", b"glTF", "cut off"),
    ("a.glb", GLB[:4] + struct.pack("<I", 1) + GLB[8:], "GLB of version 1"),
    ("a.glb", glb_of(REFERRING), "refers to another file \\('secret.bin'\\)"),
    ("a.stl", STL[:-10], "announces 12 faces.*cut off or no STL"),
    ("a.stl", b"solid x\nfacet normal 0 0 1\n", "solid does not end"),
    ("a.stl", b"hello", "no STL"),
    ("a.off", off_text().rsplit("\n", 3)[0].encode(), "cut off: it announces 4 points and 4 faces"),
    ("a.off", off_text().replace("4 4 0", "4 999999999 0").encode(), "announces 999999999 of faces"),
    ("a.off", off_text().replace("4 4 0", "-4 4 0").encode(), "announces -4 of points"),
    ("a.off", b"OFF\n", "how many points"),
    ("a.off", off_text(faces=((0, 1, 9),)).encode(), "OFF.*face index|not there"),
    ("a.off", off_text(faces=()).encode(), ""),
    ("a.off", off_text(faces=((0, 0, 0), (1, 1, 1))).encode(), "2 triangles without any area"),
    ("a.off", off_text(((0, 0, 0), (1, 0, 0), (0, "nan", 0)), ((0, 1, 2),)).encode(), "NaN or infinity in 1 of 3"),
    ("a.off", off_text(((0, 0, 0), (1, 0, 0), (0, "inf", 0)), ((0, 1, 2),)).encode(), "NaN or infinity"),
    ("a.off", off_text(((0, 0, 0), (1, 0, 0), (0, 1e30, 0)), ((0, 1, 2),)).encode(), "beyond 1e15"),
    ("a.obj", b"# nothing\n", "cannot be read as OBJ|no points"),
    ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 7\n", "cannot be read as OBJ|not there"),
    ("a.obj", b"v 0 0 x\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "cannot be read as OBJ"),
    ("a.xyz", b"1 2 3\n4 5\n", "cannot be read as a table"),
    ("a.xyz", b"1 2 word\n", "cannot be read as a table"),
    ("a.xyz", b"# only a comment\n", "holds no points"),
    ("a.xyz", b"1 2 3\n1 2 3\n", "at one place"),
    ("a.xyz", b"1 2 3\n", "one point, which has no shape"),
    ("a.xyz", b"1 2 3\nnan 2 3\n", "NaN or infinity in 1 of 2 points, first in number 1"),
    ("a.xyz", b"1 2\n3 4\n", "shape \\(2, 2\\)"),
    ("a.npy", npy(np.eye(3))[:-8], "cannot be read"),
    ("a.npy", npy(np.array([{}, []], dtype=object), allow_pickle=True), "cannot be read.*pickle"),
    ("a.npy", npy(np.array(["a", "b"])), "shape \\(2,\\)"),
    ("a.npz", npz(points=np.eye(3))[:-30], "cannot be read"),
    ("a.npz", npz(points=np.eye(3), other=np.eye(3)), "keys points, colors, normals"),
    ("a.npz", npz(points=np.eye(3), colors=np.eye(4)[:, :3]), "3 points, but 4 colours"),
    ("a.npz", npz(points=np.eye(3), normals=np.zeros((3, 3))), "3 normals without a direction"),
]


@pytest.mark.parametrize(("name", "data", "words"), FILES, ids=[f"{n}-{name}" for n, (name, *_) in enumerate(FILES)])
def test_files(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    if not words:  # points of a mesh format without faces are a cloud
        assert len(load(path)) == len(TETRA_V)
        return
    with pytest.raises(InputError, match=words) as caught:
        load(path)
    assert name in str(caught.value)


def test_paths(tmp_path: Path) -> None:
    (tmp_path / "loop.ply").symlink_to(tmp_path / "loop.ply")
    os.mkfifo(tmp_path / "pipe.ply")
    for value, words in (
        (tmp_path / "none.ply", "There is no point cloud"), (tmp_path, "is a folder"),
        (tmp_path / "pipe.ply", "pipe or device"), (tmp_path / "loop.ply", "cannot be read"),
        ("http://example.org/a.ply", "is an address"), (b"", "empty"), (b"xyz", "no known kind|does not start"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            load(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "cannot be None"), (3.0, "cannot be 3.0"), (np.zeros((0, 3)), "no points"),
        (np.zeros((5, 3)), "at one place"), (np.zeros((5, 4)), "shape \\(5, 4\\)"),
        (np.array([[0, 0, 1], [1, np.inf, 0]]), "infinity in 1 of 2"), ([[1, 2, 3], [4, 5]], "cannot be read"),
        (np.broadcast_to(np.zeros((1, 3), np.float32), (30_000_000, 3)), "30000000 points is more"),
        (np.array([["a", "b", "c"]]), "give numbers"),
    ],
)  # fmt: skip
def test_arrays(value: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(value)


def test_a_file_that_repeats_a_mesh_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = json.loads(GLB[20 : 20 + struct.unpack_from("<I", GLB, 12)[0]])
    blob = GLB[20 + struct.unpack_from("<I", GLB, 12)[0] + 8 :]
    mesh_node = next(n for n, node in enumerate(tree["nodes"]) if "mesh" in node)
    levels = 8  # ten of each below the one above: 10 ** 8 boxes in a few kilobytes
    many = [dict(tree["nodes"][mesh_node])]
    many += [{"children": [level] * 10} for level in range(levels)]
    tree |= {"nodes": many, "scenes": [{"nodes": [levels]}], "scene": 0}
    path = tmp_path / "bomb.glb"
    path.write_bytes(glb_of(tree, blob))
    assert len(load(path, mesh_points=100)) == 100  # a node has one parent, so each level counts once
    tree |= {"nodes": [{"mesh": 0}] * 3000, "scenes": [{"nodes": list(range(3000))}]}
    monkeypatch.setattr(meshes, "MOST_POINTS", 10_000)
    with pytest.raises(InputError, match="24000 corners, more than"):
        load(glb_of(tree, blob))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Addresses that something tried to reach."""
    tried: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: tried.append(args) or [])
    return tried


@pytest.mark.parametrize(
    ("texture", "mtl"),
    [
        ("../secret.png", "table.mtl"), ("{root}/secret.png", "table.mtl"), ("link.png", "table.mtl"),
        ("http://127.0.0.1:9/secret.png", "table.mtl"), ("wood.png", "../secret.mtl"),
        ("wood.png", "http://127.0.0.1:9/a.mtl"), ("wood.png", "table.obj"), ("nothing.png", "table.mtl"),
    ],
)  # fmt: skip
def test_references_do_not_lead_out_of_the_folder(
    texture: str, mtl: str, tmp_path: Path, no_network: list[object]
) -> None:
    folder = tmp_path / "meshes"
    folder.mkdir()
    path = obj_with_texture(folder)
    for name in ("wood.png", "table.mtl"):
        (tmp_path / f"secret{Path(name).suffix}").write_bytes((folder / name).read_bytes())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    path = obj_with_texture(folder, texture=texture.format(root=tmp_path), mtl=mtl)
    seen = load(path, color=True, mesh_points=50)
    red_or_blue = seen.colors_N3 is not None and bool(((seen.colors_N3 == 1).sum(1) == 1).any())
    assert not red_or_blue and not no_network  # the texture was not seen
    assert len(load(path, mesh_points=50)) == 50


def test_options_that_cannot_be_meant() -> None:
    for options in (dict(mesh_points=1), dict(mesh_points=10**9), dict(color_max=0)):
        with pytest.raises(ConfigError, match=next(iter(options))):
            load(box().vertices, **options)
