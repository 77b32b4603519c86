"""A ten-minute film in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from omni_plugin_video.io import load

MOST_GIB = 1.5
SECONDS, RATE = 600, 24

EMBED = """
import json, sys, time
import torch
torch.set_num_threads(1)
from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor

path, settings, adapter = json.loads(sys.argv[1])
model = OmniModel(ModelConfig(
    width=768, num_layers=4, num_heads=12, ffn_width=3072, slots={"video": "video"}, adapters={"video": adapter},
    embedding_width=256,
)).eval()
processor = Processor({"video": {"type": "video_basic", **settings}})
start = time.perf_counter()
with torch.inference_mode():
    item = processor.process_value("video", path)
    inputs = processor.collate_slot("video", [item])
    tokens = model.tokenize("video", inputs).tokens_BLD.shape[1]
    made = model.encode("video", inputs)
print(json.dumps({
    "gib": int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 2**20, "frames": len(item["times_T"]),
    "tokens": tokens, "finite": bool(torch.isfinite(made).all()), "last_s": float(item["times_T"][-1]),
    "seconds": time.perf_counter() - start,
}))
"""
WAYS = {
    "a frame a second, one token each": (
        {"sampling": "time", "rate": 1.0, "num_frames": 0},
        {"stem": "patch", "time": "seconds", "merge": 14},
        600,
    ),
    "32 frames as tubelets": ({"num_frames": 32}, {"stem": "tubelet", "num_steps": 4}, 32),
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of 1280 x 720, H.264."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    y, x = np.mgrid[0:720, 0:1280]
    pictures = [
        np.stack([(x + 8 * k) % 256, (y + 5 * k) % 256, (x + y) // 8 % 256], -1).astype(np.uint8) for k in range(32)
    ]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "35", "tune": "fastdecode"}
        yuv = [av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p") for picture in pictures]
        for number in range(SECONDS * RATE):
            frame = yuv[number // 12 % len(yuv)]
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.slow
def test_frames_far_apart_are_right_on_a_busy_machine(film: Path) -> None:
    """Readers that give up skipping when decoding is slow fail here."""
    some = np.sort(np.random.default_rng(0).choice(SECONDS * RATE // 8, 24, replace=False))
    blocks = [load(film, backend=backend).blocks(some) for backend in ("decord", "pyav")]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        compared = [np.array_equal(one, other) for one, other in zip(*blocks, strict=True)]
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert len(compared) > 4 and all(compared)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("backend", ["auto", "pyav"])
def test_ten_minutes_fit_in_little_memory(film: Path, way: str, backend: str) -> None:
    settings, adapter, frames = WAYS[way]
    given = json.dumps([str(film), settings | {"loader": {"backend": backend}}, adapter])
    done = subprocess.run([sys.executable, "-c", EMBED, given], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(way, backend, found)
    assert found["frames"] == frames and found["finite"] and found["last_s"] > 0.9 * SECONDS
    assert found["gib"] <= MOST_GIB, found
