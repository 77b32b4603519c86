"""Draws the picture of the X-ray plugin's README: a radiograph as stored, as read, and as the model sees it."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, ImageDraw

from omni_plugin_xray.io import load
from omni_plugin_xray.transform import XrayBasic

SIDE = 224
GAP = 6


def panels(path: Path) -> list[tuple[str, Image.Image]]:
    """(caption, picture of SIDE x SIDE) of the file RG1_UNCR.dcm of pydicom-data 1.0.0, or any other."""
    stored = pydicom.dcmread(path).pixel_array
    raw = XrayBasic(size=SIDE)(stored.astype(np.float64) / max(1, int(stored.max())))
    read = XrayBasic(size=SIDE)(load(path))
    as_read = _grey(read["pixels_CHW"][0].numpy())
    patches = as_read.convert("RGB")
    draw = ImageDraw.Draw(patches)
    for at in range(0, SIDE, 16):
        draw.line([(at, 0), (at, SIDE)], fill=(70, 110, 160))
        draw.line([(0, at), (SIDE, at)], fill=(70, 110, 160))
    return [
        ("stored values", _grey(raw["pixels_CHW"][0].numpy())),
        ("window and polarity", as_read),
        ("patches of 16", patches),
    ]


def _grey(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint((pixels * 0.25 + 0.5).clip(0, 1) * 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="RG1_UNCR.dcm of the package pydicom-data 1.0.0")
    parser.add_argument("--output", type=Path, default=Path("plugins/omni-plugin-xray/radiograph.png"))
    arguments = parser.parse_args()
    made = panels(arguments.file)
    sheet = Image.new("RGB", (len(made) * (SIDE + GAP) - GAP, SIDE + 18), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (caption, picture) in enumerate(made):
        sheet.paste(picture, (index * (SIDE + GAP), 0))
        draw.text((index * (SIDE + GAP) + 2, SIDE + 3), caption, fill="black")
    sheet.quantize(64).save(arguments.output, optimize=True)


if __name__ == "__main__":
    main()
