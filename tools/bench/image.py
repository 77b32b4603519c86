"""From JPEG to normalised pixels: the image plugin beside the transforms of open_clip and of torchvision."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from omni_plugin_image.io import load
from omni_plugin_image.transform import CLIP_MEAN, CLIP_STD, ImageBasic
from tools.bench.timing import row

SIDE = 224
GRAIN = 9.0  # standard deviation of the noise on every pixel of 255: files of about 100 KB at 500 x 375, as photographs
OPEN_CLIP_TARGET = 1.7


def photos(width: int, height: int, count: int, *, grain: float = 0.0) -> list[bytes]:
    """JPEGs of noise at all scales; with grain, about as many bytes as real photographs have."""
    made = []
    for seed in range(count):
        generator = np.random.default_rng(seed)
        canvas = np.zeros((height, width, 3))
        for scale in (2, 4, 8, 16, 32, 64, 128):
            coarse = generator.integers(0, 256, (height // scale + 2, width // scale + 2, 3), dtype=np.uint8)
            layer = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            canvas += np.asarray(layer, float) * scale
        canvas = (canvas - canvas.min()) / np.ptp(canvas) * 255
        if grain:
            canvas = (canvas + generator.normal(0, grain, canvas.shape)).clip(0, 255)
        buffer = io.BytesIO()
        Image.fromarray(canvas.astype(np.uint8)).save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return made


def _torchvision() -> Callable[[bytes], Tensor]:
    """The usual recipe: Pillow decodes and resizes, torchvision makes the tensor."""
    steps = v2.Compose(
        [
            v2.Resize((SIDE, SIDE), interpolation=v2.InterpolationMode.BICUBIC),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(CLIP_MEAN, CLIP_STD),
        ]
    )
    return lambda data: steps(Image.open(io.BytesIO(data)).convert("RGB"))


def _seconds(functions: list[Callable[[bytes], Tensor]], data: list[bytes], repeats: int) -> list[float]:
    """Median seconds a picture of each, interleaved picture by picture."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(repeats + 1):
        for item in data:
            for function, spent in zip(functions, times, strict=True):
                start = time.perf_counter()
                function(item)
                if turn:
                    spent.append(time.perf_counter() - start)
    return [statistics.median(spent) for spent in times]


def bench_decode(*, repeats: int = 3) -> list[dict[str, Any]]:
    """JPEG bytes to a normalised tensor at 224, one thread: 500 x 375, and a 12-megapixel photo."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        transform, peer = ImageBasic(size=SIDE), _torchvision()
        options = transform.loader_options()

        def ours(data: bytes) -> Tensor:
            return transform(load(data, **options))["pixels_CHW"]

        rows = []
        for width, height, count in ((500, 375, 20), (4000, 3000, 3)):
            data = photos(width, height, count)
            difference = max(float((ours(item) - peer(item)).abs().max()) for item in data)
            ours_s, peer_s = _seconds([ours, peer], data, repeats)
            name = f"JPEG {width} x {height} to a tensor at {SIDE}, against Pillow and torchvision transforms"
            made = row(name, ours_s, peer_s, target=">= 1.0 x faster", reached=peer_s >= ours_s)
            rows.append(made | {"max_difference_of_255": difference * 255 * max(CLIP_STD)})
    finally:
        torch.set_num_threads(before)
    return rows


def _real_photo() -> list[bytes]:
    """The photograph that matplotlib ships: 512 x 600, 61 KB."""
    import matplotlib

    return [(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").read_bytes()]


def bench_jpeg_to_tensor(*, repeats: int = 5) -> list[dict[str, Any]]:
    """JPEG bytes to the normalised centre crop at 224, one thread, against open_clip's evaluation transform: the same
    geometry, and the same pixels within 3 of 255 where both decode in full."""
    from open_clip.transform import image_transform

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps = image_transform(SIDE, is_train=False)
        transform = ImageBasic(size=SIDE, mode="crop")
        options = transform.loader_options()

        def ours(data: bytes) -> Tensor:
            return transform(load(data, **options))["pixels_CHW"]

        def peer(data: bytes) -> Tensor:
            return steps(Image.open(io.BytesIO(data)))

        sets = {
            "photograph of 512 x 600": _real_photo() * 20,
            "500 x 375": photos(500, 375, 20, grain=GRAIN),
            "640 x 480": photos(640, 480, 20, grain=GRAIN),
            "4000 x 3000": photos(4000, 3000, 2, grain=GRAIN),
        }
        return [_against_open_clip(name, data, ours, peer, repeats) for name, data in sets.items()]
    finally:
        torch.set_num_threads(before)


def _against_open_clip(
    name: str, data: list[bytes], ours: Callable[[bytes], Tensor], peer: Callable[[bytes], Tensor], repeats: int
) -> dict[str, Any]:
    difference = max(float((ours(item) - peer(item)).abs().max()) for item in data[:5]) * 255 * max(CLIP_STD)
    ours_s, peer_s = _seconds([ours, peer], data, repeats)
    made = row(
        f"JPEG to tensor at {SIDE}, {name}, against open_clip's transform",
        ours_s,
        peer_s,
        target=f">= {OPEN_CLIP_TARGET} x faster",
        reached=peer_s / ours_s >= OPEN_CLIP_TARGET,
    )
    return made | {"max_difference_of_255": difference, "kilobytes": len(data[0]) / 1000}
