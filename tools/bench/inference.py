"""Encoding JPEG files against decoding and model alone; searching against bare faiss."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.bench.timing import interleave, row

PICTURES, SIZE, SLICE = 500, (500, 375), 128
VECTORS, WIDTH, QUERIES = 100_000, 256, 200


def write_jpegs(folder: Path, count: int = PICTURES) -> list[Path]:
    """Pictures with the spectrum of photographs (amplitude falls with frequency), to decode like them."""
    from PIL import Image

    random = np.random.default_rng(0)
    width, height = SIZE
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / width
    paths = []
    for number in range(count):
        noise = random.standard_normal((3, *frequency.shape)) + 1j * random.standard_normal((3, *frequency.shape))
        picture = np.fft.irfft2(noise / frequency, s=(height, width)).transpose(1, 2, 0)
        picture = 128 + 50 * picture / picture.std()
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


def bench_encode_jpegs() -> dict[str, Any]:
    """``encode`` of 500 JPEGs, `base` at 224, against preparing alone plus the model alone, on the same threads."""
    from omni.core.model import ModelConfig, OmniModel
    from omni.core.sizes import size
    from omni.data.processor import Processor
    from omni.inference import OmniPredictor

    torch.manual_seed(0)
    model = OmniModel(ModelConfig(slots={"image": "image"}, embedding_width=768, **size("base")))
    predictor = OmniPredictor(model, Processor({"image": {"size": 224}}))
    count = int(os.environ.get("OMNI_BENCH_PICTURES", PICTURES))
    with tempfile.TemporaryDirectory() as folder:
        paths = write_jpegs(Path(folder), count)
        predictor.encode(image=paths[:64], progress=False)
        slices = [
            paths[start : start + SLICE] for start in range(0, count, SLICE)
        ]  # so that a slow moment hits all three
        rounds = [_encode_round(predictor, part) for part in slices]
    ours, prepare, alone = (sum(times) for times in zip(*rounds, strict=True))
    ratio = ours / (prepare + alone)
    name = f"encode {count} JPEGs / (decode + model alone)"
    made = row(name, ours, prepare + alone, target="<= 1.10", reached=ratio <= 1.1)
    return {**made, "ratio": ratio, "decode_s": prepare, "model_s": alone, "threads": torch.get_num_threads()}


def _encode_round(predictor: Any, paths: list[Path]) -> tuple[float, float, float]:
    """Seconds of encode; of preparing all batches with the same threads; of the model on prepared batches."""
    from omni.encoding import prepare_batches

    start = time.perf_counter()
    predictor.encode(image=paths, progress=False)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    rows = [{"image": path} for path in paths]
    batches = list(prepare_batches(predictor.processor, rows, batch_size=32, device=predictor.device))
    prepare = time.perf_counter() - start
    start = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            predictor.model.encode("image", batch.inputs["image"])
    return ours, prepare, time.perf_counter() - start


def bench_search() -> dict[str, Any]:
    """One query at a time in 100,000 x 256 through an omni index, against bare faiss on the same vectors."""
    import faiss

    from omni.index import Index
    from omni.types import TrainedGroup

    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(VECTORS, WIDTH, generator=generator)
    queries = {slot: torch.randn(QUERIES, WIDTH, generator=generator) for slot in ("text", "audio")}
    group = TrainedGroup(slots=("image", "text", "audio"), score="multilinear")
    index = Index(slot="image", width=WIDTH, trained_groups=[group])
    index.add(gallery, metadata=[{"row": number} for number in range(VECTORS)])
    bare = faiss.IndexFlatIP(WIDTH)
    bare.add(gallery.numpy())
    products = (queries["text"] * queries["audio"]).numpy()
    position = {"ours": 0, "peer": 0}

    def ours() -> Any:
        position["ours"] = at = (position["ours"] + 1) % QUERIES
        return index.search_embeddings({slot: value[at : at + 1] for slot, value in queries.items()}, k=10)

    def peer() -> Any:
        position["peer"] = at = (position["peer"] + 1) % QUERIES
        return bare.search(products[at : at + 1], 10)

    found, expected = ours()[0], peer()[1][0]
    assert [item.metadata["row"] for item in found] == expected.tolist(), "omni and faiss disagree"
    ours_s, peer_s = interleave(ours, peer, repeats=QUERIES, warmup=10)
    ratio = ours_s / peer_s
    made = row("search 100,000 x 256, one query / bare faiss", ours_s, peer_s, target="<= 1.1", reached=ratio <= 1.1)
    return {**made, "ratio": ratio}
