"""A modality added to a trained model against training all together, on the edition of m3mini that ships: sound to a
model of pictures and names. Top-1 among the classes, sound to picture and sound to name, held-out recordings; the same
steps, batches and model. OMNI_BENCH_SEEDS and OMNI_BENCH_STEPS ("200" for a short trial) change the size.

Added: pictures and names for the first half of the steps, then sound with all else frozen for the rest. Together:
the three pairs for all steps. Going on: as added, but nothing is frozen in the rest. 300 steps take three minutes a
seed on one busy core; they are too few for numbers.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

SEEDS = tuple(int(seed) for seed in os.environ.get("OMNI_BENCH_SEEDS", "0,1,2").split(","))
STEPS = int(os.environ.get("OMNI_BENCH_STEPS", "1200"))
EXAMPLE = "omni:configs/examples/three_slots.py"
OLD, NEW = ("image", "text"), "audio"
PAIRS = (*((NEW, slot) for slot in OLD), OLD)


def bench_new_sense() -> list[dict[str, Any]]:
    """One row a way of training; the peer is training all together."""
    runs = [_one_seed(seed) for seed in SEEDS]
    rows = []
    for way in ("together", "added", "going on"):
        for query, target in PAIRS:
            values = [run[way][query, target] for run in runs]
            peers = [run["together"][query, target] for run in runs]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            mean, peer = statistics.fmean(values), statistics.fmean(peers)
            rows.append(
                {
                    "name": f"new sense, {way}: {query} to {target}, top-1 {mean:.3f} +- {spread:.3f}",
                    "top1": values,
                    "seeds": list(SEEDS),
                    "steps": STEPS,
                    "ratio": mean / peer,
                    "target": "measured beside training all together (ratio: of top-1)",
                }
            )
    same = [run["bit-identical"] for run in runs]
    rows.append({"name": "new sense, added: old embeddings bit-identical", "target": "all", "reached": all(same)})
    return rows


def _one_seed(seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        ran = {
            "together": _run(place / "together", (*OLD, NEW), STEPS, seed),
            "old": _run(place / "old", OLD, STEPS // 2, seed),
        }
        start = str(ran["old"].model_folder)
        ran["added"] = _run(place / "added", (*OLD, NEW), STEPS - STEPS // 2, seed, start=start, frozen=True)
        ran["going on"] = _run(place / "on", (*OLD, NEW), STEPS - STEPS // 2, seed, start=start)
        encoded = {way: _encode(result) for way, result in ran.items()}
    found: dict[str, Any] = {way: _top1(encoded[way]) for way in ("together", "added", "going on")}
    found["bit-identical"] = all(torch.equal(encoded["old"][slot], encoded["added"][slot]) for slot in OLD)
    return found


def _run(
    folder: Path, slots: tuple[str, ...], steps: int, seed: int, *, start: str | None = None, frozen: bool = False
) -> Any:
    """Train InfoNCE over the pairs of ``slots`` (with the old model frozen: over those with the new slot)."""
    from omni import config as configs
    from omni.engine import train

    config = configs.load(EXAMPLE)
    settings = {"adapter": config["model"]["adapters"][NEW], "processor": config["processor"][NEW]}
    config["model"]["slots"] = {slot: slot for slot in slots}
    for part in (config["model"]["adapters"], config["processor"]):
        for slot in set(part) - set(slots):
            del part[slot]
    pairs = [pair for pair in PAIRS if set(pair) <= set(slots) and (NEW in pair or not frozen)]
    config["objectives"] = [{"type": "info_nce", "slots": list(pair), "labels": "class"} for pair in pairs]
    for key in ("val_dataloader", "val_evaluator"):
        del config[key]
    config.update(train_cfg={"max_iters": steps}, load_from=start)
    if frozen:
        del config["model"], config["processor"]
        config["add_modality"] = {"slot": NEW, **settings}
    return train(config, work_dir=folder, seed=seed, device="cpu", quiet=True)


@torch.no_grad()
def _encode(result: Any) -> dict[str, Any]:
    """slot -> (N, E) of the held-out aligned triples, and their classes."""
    from omni.data.processor import Processor
    from omni.registry import DATASETS

    data = DATASETS.build({"type": "m3mini", "edition": "demo", "w": 3, "view": "aligned", "split": "test"})
    processor: Processor = result.processor
    samples = [data[index] for index in range(len(data))]
    encoded: dict[str, Any] = {"class": torch.tensor([int(sample.targets["class"]) for sample in samples])}
    for slot in processor.slots:
        parts = []
        for at in range(0, len(samples), 64):
            values = [processor.process_value(slot, sample.values[slot]) for sample in samples[at : at + 64]]
            parts.append(result.model.encode(slot, processor.collate_slot(slot, values)))
        encoded[slot] = torch.cat(parts)
    return encoded


def _top1(encoded: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Share of queries whose nearest target, among all of the held-out, is of their class."""
    kinds = encoded["class"]
    found = {}
    for query, target in PAIRS:
        best = (encoded[query] @ encoded[target].T).argmax(1)
        found[query, target] = float((kinds[best] == kinds).float().mean())
    return found
