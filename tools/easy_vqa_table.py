"""easy-VQA for one seed: accuracy by type, beside the most frequent answer and a model that sees the question alone.

Trains the picture-and-question model and the question-only model with the same config and steps, fits the temperature
and the threshold on "val", and measures on the published test part. Writes results.json into the output folder; a
second run reuses complete trainings.

    omni data build easy_vqa
    python tools/easy_vqa_table.py --output work_dirs/easy_vqa [--seed 0] [--root FOLDER] [--steps N]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ROWS = {"picture and question": ("image", "question"), "question alone": ("question",)}
CONFIG = "omni_plugin_vqa:configs/easy_vqa.py"
KEPT_ACCURACY = 0.99


def run(output: Path, *, root: str | None, seed: int, steps: int | None) -> dict[str, Any]:
    """Train and measure both; writes ``output/results.json``."""
    from omni_plugin_vqa.easy_vqa import EasyVqa

    train, val, test = (EasyVqa(split, root=root) for split in ("train", "val", "test"))
    result: dict[str, Any] = {"seed": seed, "questions": len(test), "answers": len(test.answers), "rows": {}}
    frequent = Counter(train[i].targets["answer"] for i in range(len(train))).most_common(1)[0][0]
    labels = [test[i].targets["answer"] for i in range(len(test))]
    types = [test[i].meta["type"] for i in range(len(test))]
    result["rows"]["most frequent answer"] = {"accuracy": by_type([label == frequent for label in labels], types)}
    for row, slots in ROWS.items():
        folder, seconds = train_once(output / row.replace(" ", "_"), slots, root=root, seed=seed, steps=steps)
        numbers = measure(folder, slots, val, test)
        right = numbers.pop("right")
        result["rows"][row] = {"accuracy": by_type(right, types), "cpu_seconds": seconds, **numbers}
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def train_once(
    folder: Path, slots: tuple[str, ...], *, root: str | None, seed: int, steps: int | None
) -> tuple[Path, float]:
    """The model's folder and the processor time of its training, which is done unless it is complete."""
    from omni import config as configs
    from omni.engine.training import train

    loaded = configs.load(CONFIG, overrides=[] if root is None else [f"train_dataloader.dataset.root={root}"])
    loaded["objectives"][0]["slots"] = list(slots)
    if steps is not None:
        loaded["train_cfg"]["max_iters"] = steps
    key, stamp = json.dumps([loaded, seed], sort_keys=True, default=str), folder / "complete.json"
    if not stamp.exists() or json.loads(stamp.read_text())["key"] != key:
        shutil.rmtree(folder, ignore_errors=True)
        start = time.process_time()
        print(f"seed {seed}: {folder.name}", flush=True)
        train(loaded, work_dir=folder, seed=seed, quiet=True)
        stamp.write_text(json.dumps({"key": key, "cpu_seconds": time.process_time() - start}))
    return folder / "model", json.loads(stamp.read_text())["cpu_seconds"]


def measure(folder: Path, slots: tuple[str, ...], val: Any, test: Any) -> dict[str, Any]:
    """Which test answers are right, and how well the chances are calibrated before and after the fit on "val"."""
    import torch

    import omni
    from omni.errors import InputError
    from omni_plugin_vqa.calibration import calibration_error

    predictor = omni.load(str(folder))
    head = predictor.model.heads["vqa"]
    (held, held_labels), (logits, labels) = (answers(predictor, slots, data) for data in (val, test))
    found: dict[str, Any] = {"right": (logits.argmax(1) == labels).tolist()}
    before = logits.softmax(1).max(1)
    found["calibration_error_before"] = calibration_error(before.values, before.indices == labels)
    try:
        kept = head.calibrate(held, held_labels, accuracy=KEPT_ACCURACY)
        found["val_coverage"] = kept.coverage
    except InputError:
        head.calibrate(held, held_labels)  # the question alone never answers as surely as that
    after = (logits / head.temperature).softmax(1).max(1)
    right, kept_B = after.indices == labels, after.values >= head.threshold
    found |= {
        "temperature": float(head.temperature),
        "calibration_error": calibration_error(after.values, right),
        "threshold": float(head.threshold),
        "coverage": float(kept_B.float().mean()),
        "accuracy_of_kept": float(right[kept_B].float().mean()) if bool(kept_B.any()) else None,
    }
    with torch.no_grad():
        predictor.save(folder)
    return found


def answers(predictor: Any, slots: tuple[str, ...], data: Any) -> tuple[Any, Any]:
    """(N, K) logits and (N,) labels."""
    import torch

    from omni.encoding import prepare_batches
    from omni.predicting import core_states

    logits, head = [], predictor.model.heads["vqa"]
    rows = [{slot: data[i].values[slot] for slot in slots} for i in range(len(data))]
    with torch.inference_mode():
        for batch in prepare_batches(predictor.processor, rows, batch_size=256, device=predictor.device):
            logits.append(head(core_states(predictor, batch)).values["logits_BK"].float())
    return torch.cat(logits), torch.tensor([data[i].targets["answer"] for i in range(len(data))])


def by_type(right: list[bool], types: list[str]) -> dict[str, float]:
    """Accuracy of all and of each type."""
    found = {"all": sum(right) / len(right)}
    for name in sorted(set(types)):
        mine = [hit for hit, kind in zip(right, types, strict=True) if kind == name]
        found[name] = sum(mine) / len(mine)
    return found


def lines(result: dict[str, Any]) -> list[str]:
    """The table for people."""
    rows = result["rows"]
    kinds = list(next(iter(rows.values()))["accuracy"])
    out = [f"{'':<24}" + "".join(f"{kind:>22}" for kind in kinds)]
    for name, row in rows.items():
        out.append(f"{name:<24}" + "".join(f"{row['accuracy'][kind]:>22.3f}" for kind in kinds))
    best = rows["picture and question"]
    out.append(
        f"calibration error {best['calibration_error_before']:.3f}, after the fit {best['calibration_error']:.3f}; "
        f"with the threshold for {KEPT_ACCURACY:.0%} it answers {best['coverage']:.1%} of the questions, right in "
        f"{best['accuracy_of_kept']:.1%}"
    )
    return out


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("work_dirs/easy_vqa"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", default=None, help="the built folder (default: $OMNI_HOME/easy_vqa)")
    parser.add_argument("--steps", type=int, default=None, help="of training (default: the config's)")
    arguments = parser.parse_args()
    print("\n".join(lines(run(arguments.output, root=arguments.root, seed=arguments.seed, steps=arguments.steps))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
