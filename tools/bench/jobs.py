"""Long jobs: embedding in parts beside a plain loop over torch's DataLoader, writing shards beside the webdataset
library, checking beside a plain loop."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.timing import interleave, row

PICTURES, BATCH, SHARD_SAMPLES, SHARD_BYTES = 384, 32, 3000, 40_000


class _Pictures:
    """Map-style samples of picture files."""

    slots = ("image",)

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        from omni.types import Sample

        return Sample(id=self.paths[index].name, values={"image": self.paths[index]})


def bench_embed_job() -> dict[str, Any]:
    """``embed_dataset`` of JPEGs into a file, `tiny` at 224, against a loop over a DataLoader of two workers that keeps
    all rows in memory and saves them at the end: no parts, nothing to go on from, nothing left out."""
    import torch

    from omni.core.model import ModelConfig, OmniModel
    from omni.core.sizes import size
    from omni.data.processor import Processor
    from omni.embedding_job import embed_dataset
    from omni.inference import OmniPredictor
    from tools.bench.inference import write_jpegs

    torch.manual_seed(0)
    model = OmniModel(ModelConfig(slots={"image": "image"}, embedding_width=192, **size("tiny")))
    predictor = OmniPredictor(model, Processor({"image": {"size": 224}}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = _Pictures(write_jpegs(folder, PICTURES))

        def ours() -> Any:
            return embed_dataset(predictor, pictures, folder / "ours.npz", batch_size=BATCH, progress=False)

        def peer() -> Any:
            return _plain_loop(predictor, pictures, folder / "peer.npz")

        ours_s, peer_s = interleave(ours, peer, repeats=5, warmup=1)
        mine, theirs = np.load(folder / "ours.npz"), np.load(folder / "peer.npz")
        assert mine["ids"].tolist() == theirs["ids"].tolist()
        np.testing.assert_allclose(mine["image"], theirs["image"], atol=1e-4)
    title = f"embed {PICTURES} JPEGs to a file, with parts / DataLoader loop"
    return row(title, ours_s, peer_s, target=">= 1.0", reached=peer_s / ours_s >= 1.0)


def _plain_loop(predictor: Any, pictures: _Pictures, output: Path) -> None:
    import torch
    from torch.utils.data import DataLoader

    from omni.data.datasets import ProcessedDataset

    processed = ProcessedDataset(pictures, predictor.processor)
    loader = DataLoader(processed, batch_size=BATCH, num_workers=2, collate_fn=predictor.processor.collate)
    rows, names = [], []
    with torch.inference_mode():
        for batch in loader:
            rows.append(predictor.model.encode("image", batch.inputs["image"]).numpy())
            names += batch.ids
    np.savez(output, image=np.concatenate(rows), ids=np.asarray(names))


def bench_write_shards() -> dict[str, Any]:
    """``write_shards`` of samples of a picture's bytes and a word, against the webdataset library's ShardWriter on the
    same samples; ours is also synced to disk, atomic, indexed and able to go on."""
    import webdataset

    from omni.data.sharding import write_shards
    from omni.types import Sample

    content = np.random.default_rng(0).integers(0, 256, SHARD_BYTES, dtype=np.uint8).tobytes()
    samples = [
        Sample(id=f"sample {number}", values={"image": b"\xff\xd8\xff" + content, "text": f"word {number}"})
        for number in range(SHARD_SAMPLES)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        number = {"ours": 0, "peer": 0}

        def ours() -> None:
            number["ours"] += 1
            slots = {"image": "image", "text": "text"}
            write_shards(samples, folder / f"ours{number['ours'] % 2}", slots, restart=True, shard_samples=1000,
                         progress=False)  # fmt: skip

        def peer() -> None:
            number["peer"] += 1
            place = folder / f"peer{number['peer'] % 2}"
            place.mkdir(exist_ok=True)
            with webdataset.ShardWriter(str(place / "shard-%06d.tar"), maxcount=1000, verbose=0) as writer:
                for position, sample in enumerate(samples):
                    writer.write({
                        "__key__": f"{position:09d}", "image.jpg": sample.values["image"],
                        "text.txt": sample.values["text"], "json": {"id": sample.id},
                    })  # fmt: skip

        ours_s, peer_s = interleave(ours, peer, repeats=7, warmup=1)
    title = f"write {SHARD_SAMPLES} samples of {SHARD_BYTES // 1000} kB as shards / webdataset"
    return row(title, ours_s, peer_s, target=">= 0.8", reached=peer_s / ours_s >= 0.8)


def bench_check() -> dict[str, Any]:
    """``check_dataset`` of JPEGs, which reports all that is bad, against loading them one after another."""
    from omni.data.checking import check_dataset
    from omni.data.processor import Processor
    from tools.bench.inference import write_jpegs

    processor = Processor({"image": {"size": 224}})
    with tempfile.TemporaryDirectory() as name:
        pictures = _Pictures(write_jpegs(Path(name), PICTURES))

        def ours() -> None:
            assert check_dataset(pictures, {"image": "image"}, processor=processor, progress=False).ok

        def peer() -> None:
            for path in pictures.paths:
                processor.process_value("image", path)

        ours_s, peer_s = interleave(ours, peer, repeats=5, warmup=1)
    title = f"check {PICTURES} JPEGs / one after another"
    return row(title, ours_s, peer_s, target=">= 1.5 on two cores", reached=peer_s / ours_s >= 1.5)


def bench_going_on() -> dict[str, Any]:
    """What a job that was stopped in its last part costs, against the whole job: nothing is read or encoded again."""
    from omni.core.model import ModelConfig, OmniModel
    from omni.core.sizes import size
    from omni.data.processor import Processor
    from omni.embedding_job import embed_dataset
    from omni.inference import OmniPredictor
    from omni.types import Sample

    class Words:
        slots, stop = ("text",), None

        def __len__(self) -> int:
            return 8192

        def __getitem__(self, index: int) -> Any:
            if index == self.stop:
                raise KeyboardInterrupt
            return Sample(id=str(index), values={"text": f"the word of number {index}"})

    config = ModelConfig(slots={"text": "text"}, embedding_width=192, **size("nano"))
    predictor = OmniPredictor(OmniModel(config), Processor({"text": {}}))
    with tempfile.TemporaryDirectory() as name:
        words, times = Words(), []
        for output, stop in (("whole.npz", None), ("stopped.npz", 8000), ("stopped.npz", None)):
            words.stop, start = stop, time.perf_counter()
            try:
                embed_dataset(predictor, words, Path(name) / output, batch_size=64, progress=False)
            except KeyboardInterrupt:
                pass
            times.append(time.perf_counter() - start)
        assert (Path(name) / "whole.npz").read_bytes() == (Path(name) / "stopped.npz").read_bytes()
    title = "going on 8192 words, stopped in the last part / whole"
    return row(title, times[2], times[0], target=">= 3", reached=times[0] / times[2] >= 3)
