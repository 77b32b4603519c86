"""A plugin in one file for the tests of training: triples of a word and two stripes that belong to it, some missing."""

from __future__ import annotations

import numpy as np

from omni.plugin.hookspecs import hookimpl
from omni.plugin.specs import DatasetSpec, PluginInfo
from omni.types import Sample

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@hookimpl
def omni_plugin_info():
    return PluginInfo(name="toy_training")


@hookimpl
def omni_datasets():
    slots = (("left", "stripe"), ("right", "stripe"), ("word", "word"))
    return [
        DatasetSpec(name="toy_triples", target="toy_training:ToyTriples", modalities=slots),
        DatasetSpec(name="toy_stream", target="toy_training:ToyStream", modalities=slots, streaming=True),
    ]


def base_config(**changes):
    """A training config of a tiny three-slot model."""
    config = {
        "model": {
            "width": 16, "num_layers": 2, "num_heads": 2, "ffn_width": 24, "embedding_width": 8,
            "slots": {"left": "stripe", "right": "stripe", "word": "word"}, "drop_path": 0.2, "missing": ["right"],
        },
        "processor": {"left": {"modality": "stripe"}, "right": {"modality": "stripe"}, "word": {}},
        "objectives": [
            {"type": "symile", "slots": ["left", "right", "word"]},
            {"type": "info_nce", "slots": ["left", "word"], "labels": "class", "weight": 0.5},
        ],
        "train_dataloader": {"dataset": {"type": "toy_triples", "missing": 5}, "batch_size": 12},
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 3e-3}, "clip_grad": {"max_norm": 3.0}},
        "param_scheduler": {"type": "warmup_cosine", "warmup": 0.1},
        "train_cfg": {"max_iters": 12, "val_interval": 6},
        "default_hooks": {"checkpoint": {"interval": 3}},
    }  # fmt: skip
    config.update(changes)
    return config


class ToyTriples:
    """``size`` samples of ``classes`` classes; every ``missing``-th lacks its right stripe."""

    def __init__(self, size=48, classes=6, missing=0, seed=0, only=None):
        self.size, self.classes, self.missing, self.seed, self.only = size, classes, missing, seed, only

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, index))
        kind = index % self.classes
        values = {
            "left": (np.sin(np.arange(8) * (kind + 1)) + 0.1 * rng.standard_normal(8)).astype(np.float32),
            "right": (np.cos(np.arange(12) * (kind + 1)) + 0.1 * rng.standard_normal(12)).astype(np.float32),
            "word": LETTERS[kind] + LETTERS[kind + 3],
        }
        if self.missing and index % self.missing == 0:
            del values["right"]
        if self.only is not None:
            values = {slot: value for slot, value in values.items() if slot in self.only}
        keys = {"word": str(values.get("word"))}
        return Sample(id=f"t{index}", values=values, keys=keys, targets={"class": kind}, meta={"index": index})


class ToyStream:
    """The same one after another."""

    def __init__(self, size=20):
        self.triples = ToyTriples(size=size)

    def __len__(self):
        return len(self.triples)

    def __iter__(self):
        return (self.triples[index] for index in range(len(self.triples)))
