"""Fixtures of the tests of training."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def toys(toy_plugin):
    """The toy modalities and the toy data sets, for the length of one test."""
    import toy_training

    from omni.plugin import catalog

    catalog.register(toy_training, "toy_training")
    return toy_training


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


@pytest.fixture
def make_config():
    """``base_config``."""
    return base_config
