"""Draws which frames the samplings of omni-plugin-video take of a film, from a film that is made here.

python tools/draw_samplings.py [--output plugins/omni-plugin-video/samplings.png]
"""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageDraw

from omni_plugin_video.io import load
from omni_plugin_video.sampling import Sampling

ROOT = Path(__file__).resolve().parents[1]
SECONDS, RATE, HEIGHT, WIDTH = 8, 25, 72, 128
ROWS = (
    ("uniform, num_frames=6", Sampling(kind="uniform", num_frames=6), False),
    ("segments, num_frames=6, in training", Sampling(kind="segments", num_frames=6), True),
    ("dense, num_frames=6, stride=4", Sampling(kind="dense", num_frames=6, stride=4), False),
    ("dense, num_frames=3, stride=8, clips=2", Sampling(kind="dense", num_frames=3, stride=8, clips=2), False),
    ("time, rate=0.75, num_frames=0", Sampling(kind="time", rate=0.75, num_frames=0), False),
)
BAND, MARGIN, GAP = 30, 12, 4


def scene(part: float) -> np.ndarray:
    """A sun that rises and sets over hills; ``part`` of the day from 0 to 1."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    height = np.sin(np.pi * part)
    sky = np.stack([90 + 130 * (1 - height) + 0 * x, 120 + 80 * height - 0.5 * y, 120 + 110 * height - 0.3 * y], -1)
    sun = (x - WIDTH * part) ** 2 + (y - (HEIGHT * (0.85 - 0.65 * height))) ** 2 < 81
    sky[sun] = (255, 220 - 90 * (1 - height), 90)
    sky[y > HEIGHT * 0.75 + 6 * np.sin(x / 17) + 3 * np.sin(x / 5)] = (40, 70 + 50 * height, 45)
    return sky.clip(0, 255).astype(np.uint8)


def write_day(path: Path) -> Path:
    """The film, H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "16"}
        for number in range(SECONDS * RATE):
            frame = av.VideoFrame.from_ndarray(scene(number / (SECONDS * RATE - 1)), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def draw(film: Path) -> Image.Image:
    """A row a sampling: a line of time with the chosen moments, and the chosen frames below it."""
    row = BAND + HEIGHT + 2 * MARGIN
    width = 6 * (WIDTH + GAP) + 2 * MARGIN
    sheet = Image.new("RGB", (width, row * len(ROWS)), "white")
    pen = ImageDraw.Draw(sheet)
    opened = load(film)
    for number, (name, sampling, training) in enumerate(ROWS):
        torch.manual_seed(0)
        chosen = sampling.indices(opened.times_T, opened.end, training=training)
        top = number * row + MARGIN
        line, length = top + 20, width - 2 * MARGIN
        pen.text((MARGIN, top - 4), name, fill="black")
        pen.line((MARGIN, line, MARGIN + length, line), fill=(150, 150, 150))
        for place, (index, frame) in enumerate(zip(chosen, np.concatenate(list(opened.blocks(chosen))), strict=True)):
            x = MARGIN + length * opened.times_T[index] / opened.end
            pen.ellipse((x - 3, line - 3, x + 3, line + 3), fill=(200, 60, 20))
            left = MARGIN + place * (WIDTH + GAP)
            sheet.paste(Image.fromarray(frame), (left, top + BAND))
            pen.text((left + 4, top + BAND + 2), f"{opened.times_T[index]:.2f} s", fill="white")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "plugins" / "omni-plugin-video" / "samplings.png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sheet = draw(write_day(Path(folder) / "day.mp4"))
    sheet.quantize(128).save(options.output, optimize=True)
    print(f"wrote {options.output} ({options.output.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
