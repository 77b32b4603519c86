"""A folder in the layout of composites with shapes for things and noise for grounds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from omni.data.building.frame import write_info
from omni.data.building.zip_shards import write_shards
from omni_plugin_detection.composites.dataset import BLOCKS, FORMAT

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 230), "yellow": (240, 220, 40)}


def encoded(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, quality=92)
    return buffer.getvalue()


def shape(colour: tuple[int, int, int], round_: bool) -> Image.Image:
    made = Image.new("RGBA", (48, 36 if round_ else 60), (0, 0, 0, 0))
    brush = ImageDraw.Draw(made)
    box = (0, 0, made.width - 1, made.height - 1)
    (brush.ellipse if round_ else brush.rectangle)(box, fill=(*colour, 255))
    return made


def write_folder(folder: Path) -> Path:
    """Sixteen seen things (two forms, four colours, two of each) and four unseen ones."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pictures, things = [], []
    for number in range(20):
        name = list(COLOURS)[number % 4]
        form = "plants" if number // 4 % 2 else "animals"
        picture = shape(COLOURS[name], form == "animals")
        pictures.append((f"{number}.png", encoded(picture, "PNG")))
        things.append(
            {
                "id": f"{form}/{number}", "category": form, "group": number, "name": f"a {name} {number}",
                "names": {"en": f"A {name} {number}.", "fr": f"Un {name} {number}."},
                "part": "seen" if number < 16 else "unseen", "size": [picture.height, picture.width],
            }
        )  # fmt: skip
    grounds = [
        (f"{n}.jpg", encoded(Image.fromarray(rng.integers(90, 120, (160, 240, 3)).astype(np.uint8)), "JPEG"))
        for n in range(6)
    ]
    sound = write_shards(folder, "sounds", [("0.ogg", b"not a real sound")])[0]
    for row, place in zip(things, write_shards(folder, "things", pictures), strict=True):
        row["place"] = [f"things-{place.shard:03d}.zip", place.offset, place.size]
        row["sound"] = [f"sounds-{sound.shard:03d}.zip", sound.offset, sound.size] if row["id"] == "animals/0" else None
    rows = [
        {"film": "noise", "block": BLOCKS[n % 3], "place": [f"grounds-{p.shard:03d}.zip", p.offset, p.size]}
        for n, p in enumerate(write_shards(folder, "grounds", grounds))
    ]  # fmt: skip
    write_info(folder, {"format": FORMAT, "name": "composites", "things": things, "grounds": rows})
    return folder
