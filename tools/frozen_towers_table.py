"""m3mini with frozen real encoders: Whisper-tiny hears, multilingual E5 reads; Symile beside pairwise objectives.

A first stage that all rows share (projectors, core and the picture's tower; the encoders are frozen by nature), then
heads on cached features for each objective. Writes results.json into the output folder; a second run reuses what is
complete, and the encoders' states are kept in $OMNI_HOME/towers for all seeds and widths.

    pip install 'omni-plugin-towers[whisper,e5]'
    omni data build m3mini --edition bench --w 8
    python tools/frozen_towers_table.py --edition bench --w 3 5 8 --output work_dirs/frozen [--seed 0] [--root FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ROWS = {"pairwise InfoNCE": "pair_sum", "joint sum of pairs": "joint_pair_sum", "Symile": "symile"}
CONTROLS = ("audio", "text")
SLOTS = ("image", "text", "audio")
SIZES = {  # edition -> steps of both stages, lists and triples that they draw; as the demo's
    "demo": ((600, 800), 60_000, 40_000),
    "bench": ((1500, 2000), 120_000, 100_000),
}


@dataclass(kw_only=True)
class Table:
    """One seed's trainings and numbers.

    Attributes:
        output: where everything goes. edition, widths: of m3mini. root: the edition's folder, None = where it was
        built. seed: of every training. steps: of the two stages, () = the edition's. rows: lists and triples that they
        draw, () = the edition's.
    """

    output: Path
    edition: str = "bench"
    widths: tuple[int, ...] = (3, 5, 8)
    root: str | None = None
    seed: int = 0
    steps: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def data(self, w: int, split: str) -> Any:
        """The triples."""
        from omni_plugin_m3mini.dataset import M3Mini

        return M3Mini(self.edition, w=w, split=split, root=self.root)

    def run(self) -> dict[str, Any]:
        """Train all and measure."""
        result: dict[str, Any] = {"edition": self.edition, "seed": self.seed, "rows": []}
        tests = {w: self.data(w, "test") for w in self.widths}  # says at once what was not built
        for w, test in tests.items():
            towers = self.train(f"w{w}-towers", self.align(w, test))
            fixed = {"w": w, "ceiling": 1 / w, "chance": 1 / len(test.classes)}
            for title, objective in ROWS.items():
                name = f"w{w}-{objective}"
                folder = self.train(name, self.heads(w, objective, towers))
                cpu = self.cpu_seconds[f"w{w}-towers"] + self.cpu_seconds[name]
                result["rows"].append({**fixed, "row": title, **measure(folder, test), "cpu_seconds": cpu})
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / "results.json").write_text(json.dumps(result, indent=1))
        return result

    def align(self, w: int, data: Any) -> dict[str, Any]:
        """The first stage's config: one objective a language for the lists of names."""
        from omni import config as configs

        loaded = configs.load(config_folder() / "frozen_align.py", overrides=self._data(w))
        loaded["train_dataloader"]["dataset"]["lists"] = (self.rows or SIZES[self.edition][1:])[0]
        loaded["train_cfg"]["max_iters"] = (self.steps or SIZES[self.edition][0])[0]
        shared = [item for item in loaded["objectives"] if item["slots"] != ["list"]]
        for item in shared:
            if item.get("labels") == "language":
                item["num_classes"] = w
        lists = [
            {"type": "label_prediction", "slots": ["list"], "labels": f"named_{tag}", "num_classes": len(data.classes)}
            for tag in data.languages
        ]
        loaded["objectives"] = [*shared, *lists]
        return loaded

    def heads(self, w: int, objective: str, towers: Path) -> dict[str, Any]:
        """The second stage's config."""
        from omni import config as configs

        settings = [*self._data(w), f"load_from={towers}", f"objectives.0.type={objective}"]
        settings.append(f"feature_folder={self.output / 'features'}")
        settings.append(f"train_dataloader.dataset.rows={(self.rows or SIZES[self.edition][1:])[1]}")
        settings.append(f"train_cfg.max_iters={(self.steps or SIZES[self.edition][0])[1]}")
        return configs.load(config_folder() / "frozen_heads.py", overrides=settings)

    def _data(self, w: int) -> list[str]:
        root = [] if self.root is None else [f"train_dataloader.dataset.root={self.root}"]
        return [f"train_dataloader.dataset.edition={self.edition}", f"train_dataloader.dataset.w={w}", *root]

    def train(self, name: str, config: dict[str, Any]) -> Path:
        """Train, unless the same training is complete; the model's folder."""
        from omni.engine.training import train

        folder = self.output / name
        key = json.dumps([config, self.seed], sort_keys=True, default=str)
        stamp = folder / "complete.json"
        if not stamp.exists() or json.loads(stamp.read_text())["key"] != key:
            shutil.rmtree(folder, ignore_errors=True)
            start = time.process_time()
            print(f"seed {self.seed}: {name}", flush=True)
            train(config, work_dir=folder, seed=self.seed, quiet=True)
            stamp.write_text(json.dumps({"key": key, "cpu_seconds": time.process_time() - start}))
        self.cpu_seconds[name] = json.loads(stamp.read_text())["cpu_seconds"]
        return folder / "model"


def measure(folder: Path, test: Any) -> dict[str, Any]:
    """Top-1 of the picture's class from text and sound, with both controls."""
    import omni
    from omni.evaluation import evaluate

    found = evaluate(omni.load(str(folder)), test, query=["text", "audio"], target="image", label="class")
    numbers = found.numbers
    controls = {f"shuffled {slot}": found.controls[slot].recall[1] for slot in CONTROLS}
    return {"top1": numbers.recall[1], "se": numbers.standard_error, "queries": numbers.queries, **controls}


def config_folder() -> Path:
    """Where the configs lie: beside the package in a checkout, inside it in a wheel."""
    import omni_plugin_towers

    package = Path(omni_plugin_towers.__file__).parent
    return next(path for path in (package / "configs", package.parent / "configs") if path.is_dir())


def lines(result: dict[str, Any]) -> list[str]:
    """The table for people: chance and the ceiling of pairs beside every row."""
    shuffled = [f"shuffled {slot}" for slot in CONTROLS]
    head = f"{'w':>2} {'objective':<20} {'top-1':<15}" + "".join(f" {name:<15}" for name in shuffled)
    out = [f"{head} {'pairs: 1/w':<11} chance"]
    for row in result["rows"]:
        cells = f"{row['w']:>2} {row['row']:<20} {row['top1']:.3f} +- {row['se']:.3f} "
        cells += "".join(f" {row[name]:<15.3f}" for name in shuffled)
        out.append(f"{cells} {row['ceiling']:<11.3f} {row['chance']:.3f}")
    return out


def main() -> int:
    from omni.errors import OmniError

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", choices=SIZES, default="bench")
    parser.add_argument("--w", type=int, nargs="+", default=None, help="default: 3 5 8, and 2 3 of the demo edition")
    parser.add_argument("--output", type=Path, default=Path("work_dirs/frozen"))
    parser.add_argument("--root", help="the built edition's folder (default: $OMNI_HOME/m3mini/EDITION)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, nargs=2, default=(), help="of the two stages, for trying")
    parser.add_argument("--rows", type=int, nargs=2, default=(), help="lists and triples that are drawn, for trying")
    options = parser.parse_args()
    table = Table(
        output=options.output.resolve(), edition=options.edition, root=options.root, seed=options.seed,
        widths=tuple(options.w or ((2, 3) if options.edition == "demo" else (3, 5, 8))),
        steps=tuple(options.steps), rows=tuple(options.rows),
    )  # fmt: skip
    try:
        result = table.run()
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
