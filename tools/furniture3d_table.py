"""The table of furniture3d for one seed: which class is a piece of furniture that is called as none in training?

Trains cloud, icon, name and spoken name together from scratch, then classifies the held-out models by the texts of the
class names (zero-shot), beside the most frequent class and chance, and retrieves each slot by each other. Writes
results.json into the output folder; a second run reuses a complete training.

    omni data build furniture3d
    python tools/furniture3d_table.py --output work_dirs/furniture3d [--seed 0] [--root FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SLOTS = ("pointcloud", "image", "text", "audio")
TEMPLATES = ("{}:",)  # as the class stands in the texts of training: "kitchen: fridge"
SHOWN = ((("pointcloud",), "image"), (("pointcloud",), "text"), (("pointcloud",), "audio"), (("text",), "pointcloud"))


def run(output: Path, *, root: str | None, seed: int, steps: int | None) -> dict[str, Any]:
    """Train and measure; writes ``output/results.json``."""
    import torch

    import omni
    from omni.evaluation.encoded import encode_samples
    from omni.evaluation.zero_shot import zero_shot
    from omni_plugin_m3mini.stamps_retrieval import retrieve
    from omni_plugin_pointcloud.furniture import Furniture3d

    folder, seconds = train_once(output, root=root, seed=seed, steps=steps)
    model = omni.load(str(folder))
    english = Furniture3d("test", languages="en", root=root)
    encoded = encode_samples(model, english, SLOTS)
    result: dict[str, Any] = {"seed": seed, "cpu_seconds": seconds, "classes": list(english.classes), "zero_shot": {}}
    for slots in (("pointcloud",), ("image",), ("audio",), ("pointcloud", "image")):
        found = zero_shot(
            model, encoded, slots, prompts="text", classes=english.classes, templates=TEMPLATES, ks=(1, 3)
        )
        result["zero_shot"][" + ".join(slots)] = found.numbers.to_dict()
    result["classes_held_out"] = len({sample.targets["class"] for sample in english})
    test = Furniture3d("test", root=root)
    every = encode_samples(model, test, SLOTS, require=SLOTS)
    rows_M = torch.arange(len(every))
    rows = retrieve(
        {slot: every.of(slot, rows_M) for slot in SLOTS}, every.labels("name", rows_M), every.labels("language", rows_M)
    )
    result["retrieval"] = [{**vars(row), "name": row.name} for row in rows]
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def train_once(output: Path, *, root: str | None, seed: int, steps: int | None) -> tuple[Path, float]:
    """Train, unless the same training is complete; the model's folder and the processor seconds."""
    from omni import config as configs
    from omni.engine.training import train

    settings = [] if root is None else [f"train_dataloader.dataset.root={root}"]
    settings += [] if steps is None else [f"train_cfg.max_iters={steps}"]
    loaded = configs.load(config_folder() / "furniture3d_align.py", overrides=settings)
    folder, stamp = output / "training", output / "training" / "complete.json"
    texts = [path.read_text() for path in sorted(config_folder().glob("furniture3d_*.py"))]
    key = json.dumps([settings, seed, texts])
    if not stamp.exists() or json.loads(stamp.read_text())["key"] != key:
        shutil.rmtree(folder, ignore_errors=True)
        start = time.process_time()
        train(loaded, work_dir=folder, seed=seed, quiet=True)
        stamp.write_text(json.dumps({"key": key, "cpu_seconds": time.process_time() - start}))
    return folder / "model", json.loads(stamp.read_text())["cpu_seconds"]


def config_folder() -> Path:
    """Where the configs lie: beside the package in a checkout, inside it in a wheel."""
    import omni_plugin_pointcloud

    package = Path(omni_plugin_pointcloud.__file__).parent
    return next(path for path in (package / "configs", package.parent / "configs") if path.is_dir())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("work_dirs/furniture3d"))
    parser.add_argument("--root", help="folder of the data set; default: where omni data build puts it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="of the training, for trying")
    options = parser.parse_args()
    result = run(options.output.resolve(), root=options.root, seed=options.seed, steps=options.steps)
    held = result["classes_held_out"]
    print(f"seed {options.seed}, {result['cpu_seconds'] / 60:.1f} minutes of training; held-out names, {held} classes")
    for slots, found in result["zero_shot"].items():
        print(
            f"zero-shot {slots:<20} balanced {found['balanced']:.3f} (one class for all {1 / held:.3f}), top-1 "
            f"{found['top1']:.3f} (majority {found['majority']:.3f}, chance {found['chance']:.3f}), "
            f"n {found['samples']}"
        )
    for row in result["retrieval"]:
        if (tuple(row["query"]), row["target"]) in SHOWN:
            print(f"{row['name']:<24} R@5 {row['recall'][5]:.3f} (chance {row['chance'][5]:.3f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
