"""The tables of `composites` for one seed: seen kinds beside a torchvision detector, unseen things, unseen pairs.

Trains detection by labels that are texts, then, for the same processor time on the same pictures, torchvision's FCOS of
as many parameters as read the picture. Measures AP50 of the 15 kinds on pictures of seen things over unseen parts of
the films; the label of the true boxes of 68 unseen things among 20 candidates; and which of two captions ("X left of
Y", "Y left of X") the boxes found for X and Y agree with, on pairs that were together in no picture of training. Writes
results.json into the output folder; a second run reuses what is complete.

    omni data build composites
    python tools/detection_table.py --output work_dirs/detection [--seed 0] [--root FOLDER]
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CANDIDATES = 20


def run(output: Path, *, root: str | None, seed: int, steps: int | None, scenes: int | None) -> dict[str, Any]:
    """Train and measure; writes ``output/results.json``."""
    import omni
    from omni_plugin_detection.composites.dataset import Composites

    data = {name: Composites(name, root=root, scenes=scenes) for name in ("test", "unseen", "pairs")}
    folder, seconds = train_once(output, root=root, seed=seed, steps=steps)
    model = omni.load(str(folder))
    seeing = [*model.model.adapters["image"].parameters(), *model.model.heads.parameters()]
    seeing += [p for name, p in model.model.core.named_parameters() if "text" not in name]
    counts = {"picture": sum(p.numel() for p in seeing), "all": sum(p.numel() for p in model.model.parameters())}
    result: dict[str, Any] = {"seed": seed, "cpu_seconds": seconds, "parameters": counts}
    result["seen"] = seen_table(model, data["test"])
    result["peer"] = peer_table(output, data["test"], counts["picture"], root=root, seed=seed, seconds=seconds)
    result["unseen"] = unseen_table(model, data["unseen"])
    result["pairs"] = pairs_table(model, data["pairs"])
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def train_once(output: Path, *, root: str | None, seed: int, steps: int | None) -> tuple[Path, float]:
    """Train ours, unless the same training is complete; the model's folder and the processor seconds."""
    from omni import config as configs
    from omni.engine.training import train

    settings = [] if root is None else [f"train_dataloader.dataset.root={root}"]
    settings += [] if steps is None else [f"train_cfg.max_iters={steps}"]
    loaded = configs.load(config_folder() / "composites_detection.py", overrides=settings)
    folder = output / "ours"
    key = json.dumps([loaded, seed], sort_keys=True, default=str)
    stamp = folder / "complete.json"
    if not stamp.exists() or json.loads(stamp.read_text())["key"] != key:
        shutil.rmtree(folder, ignore_errors=True)
        start = time.process_time()
        train(loaded, work_dir=folder, seed=seed)
        stamp.write_text(json.dumps({"key": key, "cpu_seconds": time.process_time() - start}))
    return folder / "model", json.loads(stamp.read_text())["cpu_seconds"]


def seen_table(model: Any, data: Any) -> dict[str, Any]:
    """AP50 of the kinds, by their English names."""
    from omni_plugin_detection.coco import average_precision
    from omni_plugin_detection.composites.categories import name_of
    from omni_plugin_detection.detector import Detector

    detector = Detector(model, {"text": [name_of(kind) for kind in data.categories]})
    drawn = [data.draw(index) for index in range(len(data))]
    found = [item.value for item in detector.detect([item.pixels_HWC for item in drawn])]
    truths = truths_of(data, drawn)
    things = Detector(model).detect([item.pixels_HWC for item in drawn])
    anything = average_precision([item.value for item in things], [unlabelled(truth) for truth in truths])
    numbers = average_precision(found, truths).to_dict()
    return {**numbers, "kinds": list(data.categories), "ap50_of_anything": anything.ap50}


def unlabelled(truth: Any) -> Any:
    """The truth when nothing is told apart: label -1, as a detector without labels gives it."""
    from omni_plugin_detection.coco import Truth

    return Truth(boxes_N4=truth.boxes_N4, labels_N=truth.labels_N * 0 - 1)


def truths_of(data: Any, drawn: Sequence[Any]) -> list[Any]:
    """The true boxes with their kinds."""
    import numpy as np

    from omni_plugin_detection.coco import Truth

    return [
        Truth(
            boxes_N4=item.boxes_N4,
            labels_N=np.asarray([data.ids(placed.thing)[0] for placed in data.scene(index).things], np.int64),
        )
        for index, item in enumerate(drawn)
    ]


def peer_table(
    output: Path, test: Any, parameters: int, *, root: str | None, seed: int, seconds: float
) -> dict[str, Any]:
    """The peer, unless the same one is complete."""
    import torch

    from omni_plugin_detection.coco import average_precision
    from omni_plugin_detection.composites.dataset import Composites
    from omni_plugin_detection.peer import build_peer, detect_peer, train_peer

    stamp = output / "peer.json"
    key = json.dumps([parameters, seed, round(seconds, 3), len(test), root])
    if stamp.exists() and json.loads(stamp.read_text())["key"] == key:
        return json.loads(stamp.read_text())["result"]
    train = Composites("train", root=root)
    torch.manual_seed(seed)
    model = build_peer(len(train.categories), parameters, side=train.side)
    start = time.process_time()  # drawing the pictures counts, as it does for ours
    drawn = [train.draw(index) for index in range(len(train))]
    pictures = torch.stack([torch.from_numpy(item.pixels_HWC).permute(2, 0, 1) for item in drawn])
    truths = truths_of(train, drawn)
    left = max(seconds - (time.process_time() - start), 1.0)
    boxes, labels = [item.boxes_N4 for item in drawn], [truth.labels_N for truth in truths]
    steps = train_peer(model, pictures, boxes, labels, seconds=left, seed=seed)
    drawn = [test.draw(index) for index in range(len(test))]
    pictures = torch.stack([torch.from_numpy(item.pixels_HWC).permute(2, 0, 1) for item in drawn])
    numbers = average_precision(detect_peer(model, pictures), truths_of(test, drawn)).to_dict()
    count = sum(item.numel() for item in model.parameters())
    result = {**numbers, "parameters": count, "steps": steps, "cpu_seconds": seconds}
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps({"key": key, "result": result}))
    return result


def unseen_table(model: Any, data: Any) -> dict[str, Any]:
    """Top-1 of the true box's label among 20 names of unseen things, one of which is right; with a 95 % interval.

    A thing is in many pictures, so its boxes are no independent trials: the interval is that of a bootstrap over
    things.
    """
    import numpy as np

    from omni.data.building.counter_rng import CounterRng
    from omni_plugin_detection.detector import Detector

    groups = sorted({data.things[thing]["group"] for thing in data.pool})
    first = {group: next(t for t in data.pool if data.things[t]["group"] == group) for group in groups}
    names = [data.label_text(first[group], kind=False) for group in groups]
    detector = Detector(model, {"text": names})
    hits: dict[int, list[float]] = {}
    for index in range(len(data)):
        drawn, scene = data.draw(index), data.scene(index)
        logits_NK = detector.label_boxes(drawn.pixels_HWC, drawn.boxes_N4)
        for row, placed in enumerate(scene.things):
            group = data.things[placed.thing]["group"]
            right = groups.index(group)
            others = [n for n in range(len(groups)) if n != right]
            chosen = CounterRng("composites", "candidates", index, row).shuffled(others)[: CANDIDATES - 1]
            best = max(float(logits_NK[row, other]) for other in chosen)
            hits.setdefault(group, []).append(float(logits_NK[row, right] > best))
    sums = np.asarray([(sum(item), len(item)) for item in hits.values()])
    rng = np.random.default_rng(0)
    draws = rng.integers(len(sums), size=(10_000, len(sums)))
    rates = sums[draws, 0].sum(1) / sums[draws, 1].sum(1)
    low, high = (float(value) for value in np.quantile(rates, (0.025, 0.975)))
    chance = 1 / CANDIDATES
    return {
        "top1": float(sums[:, 0].sum() / sums[:, 1].sum()), "interval": [low, high], "chance": chance,
        "chance_excluded": not low <= chance <= high, "boxes": int(sums[:, 1].sum()), "things": len(sums),
    }  # fmt: skip


def pairs_table(model: Any, data: Any) -> dict[str, Any]:
    """How often the boxes found for the two names stand as the caption says (chance 1/2), with its standard error."""
    from omni_plugin_detection.detector import Detector

    right = 0
    for index in range(len(data)):
        drawn, scene = data.draw(index), data.scene(index)
        names = [data.label_text(placed.thing, kind=False) for placed in scene.things]
        (item,) = Detector(model, {"text": names}).detect([drawn.pixels_HWC], score_threshold=0.0, most=1000)
        found = item.value
        middles = []
        for label in range(2):
            mine = (found.labels_N == label).nonzero()[:, 0]
            middles.append(float(found.boxes_N4[mine[0], 0::2].mean()) if len(mine) else math.nan)
        truth = (drawn.boxes_N4[:, 0] + drawn.boxes_N4[:, 2]) / 2
        right += int((middles[0] < middles[1]) == bool(truth[0] < truth[1]) and middles[0] != middles[1])
    share = right / len(data)
    return {"right": share, "se": math.sqrt(share * (1 - share) / len(data)), "chance": 0.5, "pictures": len(data)}


def config_folder() -> Path:
    """Where the configs lie: beside the package in a checkout, inside it in a wheel."""
    import omni_plugin_detection

    package = Path(omni_plugin_detection.__file__).parent
    return next(path for path in (package / "configs", package.parent / "configs") if path.is_dir())


def lines(result: dict[str, Any]) -> list[str]:
    """The table for people."""
    seen, peer, unseen, pairs = (result[name] for name in ("seen", "peer", "unseen", "pairs"))
    verdict = "is excluded" if unseen["chance_excluded"] else "is not excluded"
    return [
        f"seed {result['seed']}, {result['cpu_seconds'] / 60:.1f} processor minutes each",
        f"seen things, {len(seen['kinds'])} kinds: AP50 {seen['ap50']:.3f} "
        f"({result['parameters']['picture']} parameters); "
        f"FCOS {peer['ap50']:.3f} ({peer['parameters']}); anything at all {seen['ap50_of_anything']:.3f}",
        f"unseen things: label of the true box, 1 of {CANDIDATES}: {unseen['top1']:.3f}, 95 % interval "
        f"{unseen['interval'][0]:.3f} to {unseen['interval'][1]:.3f} over {unseen['things']} things; 1/{CANDIDATES} "
        f"{verdict}",
        f"unseen pairs, X left of Y: {pairs['right']:.3f} +- {pairs['se']:.3f} (chance 0.5)",
    ]


def main() -> int:
    from omni.errors import OmniError

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("work_dirs/detection"))
    parser.add_argument("--root", help="folder of the data set; default: where omni data build puts it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="of our training, for trying")
    parser.add_argument("--scenes", type=int, help="pictures of each test, for trying")
    options = parser.parse_args()
    try:
        result = run(
            options.output.resolve(), root=options.root, seed=options.seed, steps=options.steps, scenes=options.scenes
        )
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
