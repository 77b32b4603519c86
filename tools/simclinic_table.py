"""The table of simclinic for one seed: which radiograph belongs to an ECG and laboratory values. Simulated data.

A first stage that all rows share (each tower learns what its own data show), heads on its cached features for each
objective, and both stages again with 30 % of the slots missing. Writes results.json into the output folder; a second
run reuses what is complete.

    omni data build simclinic --edition bench
    python tools/simclinic_table.py --output work_dirs/simclinic [--seed 0] [--root FOLDER]
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

EDITION = "bench"
ROWS = {"pairwise InfoNCE": "pair_sum", "joint sum of pairs": "joint_pair_sum", "Symile": "symile"}
MISSING = 0.3
SLOTS = ["xray", "ecg", "labs"]


@dataclass(kw_only=True)
class Table:
    """One seed's trainings and numbers.

    Attributes:
        output: where everything goes. root: the edition's folder, None = the cache. seed: of every training.
        steps: override of max_iters of the two stages, for trying; () = the configs'.
    """

    output: Path
    root: str | None = None
    seed: int = 0
    steps: tuple[int, ...] = ()
    edition: str = EDITION
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def data(self, split: str, **options: Any) -> Any:
        """The data set."""
        from omni_plugin_clinic.simclinic import SimClinic

        return SimClinic(self.edition, split=split, root=self.root, slots=SLOTS, **options)

    def run(self) -> dict[str, Any]:
        """Train all and measure."""
        import omni
        from omni_plugin_clinic.retrieval import encode_cases, probe_towers, retrieve

        test = self.data("test")
        towers = self.train("towers", "simclinic_towers.py")
        result: dict[str, Any] = {
            "seed": self.seed,
            "ceilings": test.query_table(),
            "probes": probe_towers(omni.load(str(towers)), self.data("train"), test),
            "rows": [],
        }
        for title, objective in ROWS.items():
            folder = self.train(objective, "simclinic_heads.py", load=towers, objective=objective)
            model = omni.load(str(folder))
            found = retrieve(model, test, encode_cases(model, test), ["ecg", "labs"])
            result["rows"].append({"row": title, **vars(found)})
        sparse = self.train("towers-missing", "simclinic_towers.py", missing=MISSING)
        for title, objective in ROWS.items():
            name = f"{objective}-missing"
            folder = self.train(name, "simclinic_heads.py", load=sparse, objective=objective, missing=MISSING)
            model = omni.load(str(folder))
            encoded = encode_cases(model, test)
            for query in (["ecg", "labs"], ["ecg"], ["labs"]):
                found = retrieve(model, test, encoded, query)
                result["rows"].append({"row": f"{title}, 30 % missing", **vars(found)})
        result["cpu_seconds"] = self.cpu_seconds
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / "results.json").write_text(json.dumps(result, indent=1))
        return result

    def train(
        self, name: str, config: str, *, load: Path | None = None, objective: str = "", missing: float = 0.0
    ) -> Path:
        """Train, unless the same training is complete; the model's folder."""
        from omni import config as configs
        from omni.engine.training import train

        folder = self.output / name
        settings = [f"processor.labs.schema={self.data('train').store.folder / 'labs.json'}"]
        settings.append(f"train_dataloader.dataset.edition={self.edition}")
        if self.root is not None:
            settings.append(f"train_dataloader.dataset.root={self.root}")
        if missing:
            settings += [f"train_dataloader.dataset.missing={missing}", f"train_dataloader.dataset.seed={self.seed}"]
        if load is not None:
            settings += [f"load_from={load}", f"objectives.0.type={objective}"]
            settings.append(f"feature_folder={self.output / 'features'}")
        if self.steps:
            settings.append(f"train_cfg.max_iters={self.steps[load is not None]}")
        loaded = configs.load(config_folder() / config, overrides=settings)
        if missing and load is not None:  # learnt embeddings stand in for what a case lacks
            loaded["model"]["missing"] = SLOTS
            loaded["freeze"] = [*loaded["freeze"], "!missing"]
        texts = [each.read_text() for each in sorted(config_folder().glob("simclinic_*.py"))]
        key = json.dumps([config, settings, self.seed, missing, texts])
        stamp = folder / "complete.json"
        if not stamp.exists() or json.loads(stamp.read_text())["key"] != key:
            shutil.rmtree(folder, ignore_errors=True)
            start = time.process_time()
            print(f"seed {self.seed}: {name}", flush=True)
            train(loaded, work_dir=folder, seed=self.seed, quiet=True)
            stamp.write_text(json.dumps({"key": key, "cpu_seconds": time.process_time() - start}))
        self.cpu_seconds[name] = json.loads(stamp.read_text())["cpu_seconds"]
        return folder / "model"


def config_folder() -> Path:
    """Where the configs lie: beside the package in a checkout, inside it in a wheel."""
    import omni_plugin_clinic

    package = Path(omni_plugin_clinic.__file__).parent
    return next(path for path in (package / "configs", package.parent / "configs") if path.is_dir())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("work_dirs/simclinic"))
    parser.add_argument("--root", help="folder of the edition; default: where omni data build puts it")
    parser.add_argument("--edition", default=EDITION)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, nargs=2, default=(), help="of the two stages, for trying")
    options = parser.parse_args()
    table = Table(
        output=options.output.resolve(), root=options.root, seed=options.seed, steps=tuple(options.steps),
        edition=options.edition,
    )  # fmt: skip
    result = table.run()
    print("linear probes: " + ", ".join(f"{name} {value:.3f}" for name, value in result["probes"].items()))
    for row in result["rows"]:
        query = " + ".join(row["query"])
        print(f"{row['row']:<34} {query:<12} {row['top1']:.3f} +- {row['standard_error']:.3f}  of {row['ceiling']:.3f}")
    print(f"pairwise ceiling {result['ceilings']['pairwise']['frozen']:.3f}; simulated, not for clinical use")
    return 0


if __name__ == "__main__":
    sys.exit(main())
