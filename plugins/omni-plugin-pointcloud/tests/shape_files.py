"""Small shapes of our own, written as files of every kind by hand or by trimesh."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import trimesh

TETRA_V = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 2.0))
TETRA_F = ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
KINDS = ("ply", "obj", "glb", "stl", "off")


def box(extents: tuple[float, float, float] = (2.0, 4.0, 6.0)) -> trimesh.Trimesh:
    return trimesh.creation.box(extents=extents)


def mesh_file(kind: str, mesh: trimesh.Trimesh | None = None) -> bytes:
    found = (mesh or box()).export(file_type=kind)
    return found.encode() if isinstance(found, str) else found


def off_text(vertices=TETRA_V, faces=TETRA_F, *, glued: bool = False) -> str:
    """OFF; ``glued``: the counts on the first line right behind the letters, as in some files of ModelNet."""
    head = f"OFF{'' if glued else chr(10)}{len(vertices)} {len(faces)} 0\n"
    points = "".join(" ".join(map(str, row)) + "\n" for row in vertices)
    return head + points + "".join(f"{len(row)} {' '.join(map(str, row))}\n" for row in faces)


def ply_points(rows: np.ndarray, names: tuple[tuple[str, str], ...]) -> str:
    """ASCII PLY of points alone: (type, name) of each column."""
    head = "ply\nformat ascii 1.0\n" + f"element vertex {len(rows)}\n"
    head += "".join(f"property {kind} {name}\n" for kind, name in names) + "end_header\n"
    return head + "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in rows)


def obj_with_texture(folder: Path, *, texture: str = "wood.png", mtl: str = "table.mtl") -> Path:
    """A square of two triangles, the left half of its texture red, the right half blue."""
    from PIL import Image

    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 0], pixels[:, 4:, 2] = 255, 255
    Image.fromarray(pixels).save(folder / "wood.png")
    (folder / "table.mtl").write_text(f"newmtl wood\nKd 1 1 1\nmap_Kd {texture}\n")
    path = folder / "table.obj"
    path.write_text(
        f"mtllib {mtl}\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl wood\n"
        "f 1/1 2/2 3/3\nf 1/1 3/3 4/4\n"
    )
    return path


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()
