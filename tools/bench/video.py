"""From a film to frames and to normalised pixels: the video plugin beside bare decord."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from omni_plugin_image.transform import CLIP_MEAN, CLIP_STD
from omni_plugin_video.io import load
from omni_plugin_video.transform import VideoBasic
from tools.bench.timing import interleave, row

SIDE, TARGET = 224, 0.9
RATE = 25
SECONDS = 10
# width, height, bits a second: what films of these sizes from the web usually have; Kinetics' usual size first
CLIPS = ((340, 256, 600_000), (640, 360, 1_000_000), (1280, 720, 2_500_000))
GRAIN = 6  # of 255, on every pixel of every frame


def write_clip(path: Path, width: int, height: int, bits: int, *, seed: int = 0) -> Path:
    """H.264 of drifting noise at several scales with grain, at the given bit rate."""
    draw, frames = np.random.default_rng(seed), SECONDS * RATE
    canvas = np.zeros((height + 2 * frames, width + frames, 3), np.float32)
    for scale in (4, 16, 64):
        coarse = draw.random((canvas.shape[0] // scale + 1, canvas.shape[1] // scale + 1, 3), np.float32)
        canvas += scale * np.repeat(np.repeat(coarse, scale, 0), scale, 1)[: canvas.shape[0], : canvas.shape[1]]
    pixels = (canvas / canvas.max() * 255).astype(np.int16)
    grain = draw.integers(-GRAIN, GRAIN + 1, (height + 97, width + 89, 1), dtype=np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", bits
        stream.options = {"preset": "veryfast", "g": "250"}
        for number in range(frames):
            y, x = number * 31 % 97, number * 17 % 89
            view = pixels[2 * number : 2 * number + height, number : number + width]
            noisy = (view + grain[y : y + height, x : x + width]).clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode())
    return path


def _indices(count: int, frames: int) -> list[int]:
    return ((np.arange(frames) + 0.5) * count / frames).astype(int).tolist()


def _bare(path: Path, frames: int, threads: int) -> np.ndarray:
    reader = decord.VideoReader(str(path), num_threads=threads)
    return reader.get_batch(_indices(len(reader), frames)).asnumpy()


def _bare_tensor(path: Path, frames: int, threads: int) -> Tensor:
    pixels = torch.from_numpy(_bare(path, frames, threads)).permute(0, 3, 1, 2)
    pixels = F.interpolate(pixels, size=(SIDE, SIDE), mode="bicubic", antialias=True).float().div(255)
    return (pixels - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)


def _compare(path: Path, what: str, *, frames: int, threads: int, repeats: int) -> list[dict[str, Any]]:
    transform = VideoBasic(size=SIDE, num_frames=frames)

    def our_frames() -> np.ndarray:
        film = load(path, num_threads=threads)
        return np.concatenate(list(film.blocks(transform.sampling.indices(film.times_T, film.end))))

    def our_tensor() -> Tensor:
        return transform(load(path, num_threads=threads))["pixels_TCHW"]

    assert np.array_equal(our_frames(), _bare(path, frames, threads)), "not the same frames"
    assert torch.allclose(our_tensor(), _bare_tensor(path, frames, threads), atol=1e-4), "not the same pixels"
    kinds = (
        ("frames", our_frames, lambda: _bare(path, frames, threads)),
        (f"a tensor at {SIDE}", our_tensor, lambda: _bare_tensor(path, frames, threads)),
    )
    made = []
    for kind, ours, peer in kinds:
        ours_s, peer_s = interleave(ours, peer, repeats=repeats, warmup=1)
        name = f"{what}, {frames} frames, {threads} thread(s), to {kind}, against bare decord"
        made.append(
            row(name, ours_s, peer_s, target=f">= {TARGET} x its clips/s", reached=peer_s / ours_s >= TARGET)
            | {"clips_per_s": 1 / ours_s, "decord_clips_per_s": 1 / peer_s}
        )
    return made


def bench_video(*, repeats: int = 9) -> list[dict[str, Any]]:
    """10 s of H.264 at three sizes, 8 frames spread evenly, with one decoding thread and with decord's own choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for width, height, bits in CLIPS:
                path = write_clip(Path(folder) / f"{width}.mp4", width, height, bits)
                what = f"{SECONDS} s of {width} x {height} ({path.stat().st_size / 1e6:.1f} MB)"
                for threads in (1, 0):
                    rows.extend(_compare(path, what, frames=8, threads=threads, repeats=repeats))
    finally:
        torch.set_num_threads(before)
    return rows
