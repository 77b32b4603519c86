"""From JPEG to normalised pixels: the loader and transform of the image plugin against Pillow and torchvision."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
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


def photos(width: int, height: int, count: int) -> list[bytes]:
    """JPEGs of noise at all scales, about as large as real photographs."""
    made = []
    for seed in range(count):
        generator = np.random.default_rng(seed)
        canvas = np.zeros((height, width, 3))
        for scale in (2, 4, 8, 16, 32, 64, 128):
            coarse = generator.integers(0, 256, (height // scale + 2, width // scale + 2, 3), dtype=np.uint8)
            layer = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            canvas += np.asarray(layer, float) * scale
        canvas = (canvas - canvas.min()) / np.ptp(canvas) * 255
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
        for width, height, count in ((500, 375, 40), (4000, 3000, 3)):
            data = photos(width, height, count)
            difference = max(float((ours(item) - peer(item)).abs().max()) for item in data)
            ours_s, peer_s = _seconds([ours, peer], data, repeats)
            name = f"JPEG {width} x {height} to a tensor at {SIDE}, against Pillow and torchvision transforms"
            made = row(name, ours_s, peer_s, target=">= 1.0 x faster", reached=peer_s >= ours_s)
            rows.append(made | {"max_difference_of_255": difference * 255 * max(CLIP_STD)})
    finally:
        torch.set_num_threads(before)
    return rows
