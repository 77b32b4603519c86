"""Two tiny catalogues in the layout of Sweet Home 3D, made of boxes; and a package that holds them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from shape_files import box, mesh_file

RATE = 16_000
#         class      name       fr           vi (hardly translated)
PIECES = (
    ("Kitchen", "Fridge", "Frigo", "Fridge"), ("Kitchen", "Large fridge", "Frigo", "Large fridge"),
    ("Kitchen", "Fork", "Fourchette", "Fork"), ("Kitchen", "Spoon", "Cuillère", "Spoon"),
    ("Kitchen", "Plate", "Assiette", "Plate"), ("Kitchen", "Oven", "Four", "Oven"),
    ("Office", "Desk", "Bureau", "Desk"), ("Office", "Chair", "Chaise", "Ghế"), ("Office", "Chair", "Chaise", "Ghế"),
    ("Office", "Lamp", "Lampe", "Lamp"), ("Office", "Shelf", "Étagère", "Shelf"), ("Office", "Pen", "Stylo", "Pen"),
    ("Miscellaneous", "Thing", "Chose", "Thing"), ("Vehicles", "Car", "Auto", "Car"),
)  # fmt: skip


class Hum:
    """In place of espeak-ng, which the quick tests do not have: a tone that depends on text, language and voice."""

    def variants(self) -> list[str]:
        return [f"v{name}{number}" for number in range(2) for name in "abcdefghij"]

    def speak(self, text: str, *, language: str, variant: str, rate: int) -> np.ndarray:
        hertz = 200 + sum(map(ord, text + language + variant)) % 400
        return (0.1 * np.sin(2 * np.pi * hertz * np.arange(RATE // 4) / RATE)).astype(np.float32)


def escaped(text: str) -> str:
    """As Java writes it."""
    return "".join(letter if letter.isascii() else f"\\u{ord(letter):04x}" for letter in text)


def catalog(path: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    """One .sh3f; the second model lies on its side and is turned upright by its description."""
    general = "# a catalogue\nid=Tiny\nlicense=Tiny licence 3.0  \\u00a9 Nobody\n\n"
    tables = {"": general, "_fr": "", "_vi": "", "_en_US": "# the same\n"}
    with zipfile.ZipFile(path, "w") as archive:
        for number, (category, name, french, vietnamese) in enumerate(rows, 1):
            sizes = (10.0 + number, 20.0, 30.0)
            turned = number == 2
            model = box((sizes[0], sizes[2], sizes[1]) if turned else sizes)
            archive.writestr(f"tiny/m{number}/m{number}.obj", mesh_file("obj", model))
            icon = io.BytesIO()
            Image.new("RGBA", (32, 32), (number * 15, 90, 200, 255)).save(icon, "PNG")
            archive.writestr(f"tiny/m{number}.png", icon.getvalue())
            tables[""] += f"name#{number}={name}\ncategory#{number}={category}\nicon#{number}=/tiny/m{number}.png\n"
            tables[""] += f"model#{number}=/tiny/m{number}/m{number}.obj\nwidth#{number}={sizes[0]}\n"
            tables[""] += f"depth#{number}=30\nheight#{number}=20.0\ncreator#{number}=Ann {number}\n"
            tables[""] += f"modelRotation#{number}=1 0 0 0 0 1 0 -1 0\n\n" if turned else "\n"
            tables["_fr"] += f"name#{number}={escaped(french)}\ncategory#{number}=x\n"
            tables["_vi"] += f"name#{number}={escaped(vietnamese)}\n"
        for ending, text in tables.items():
            archive.writestr(f"PluginFurnitureCatalog{ending}.properties", text.encode("latin-1"))
    return path


def catalogs(folder: Path) -> Path:
    """A folder with two catalogues."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog(folder / "A.sh3f", list(PIECES[:8]))
    catalog(folder / "B.sh3f", list(PIECES[8:]))
    return folder


def deb(path: Path, folder: Path, place: str) -> Path:
    """A Debian package with the files of a folder."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:xz") as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, f"./{place}/{file.name}")
    out = b"!<arch>\n"
    for name, body in (("debian-binary", b"2.0\n"), ("data.tar.xz", inner.getvalue())):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
    path.write_bytes(out)
    return path
