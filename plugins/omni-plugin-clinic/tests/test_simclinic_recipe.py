"""The recipe of the table of simclinic, tiny: both stages through their configs, queries with and without a slot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import omni
from omni import config as configs
from omni.engine.training import train
from omni.errors import OmniError
from omni_plugin_clinic.retrieval import SHOWN, encode_cases, pooled_states, probe_towers, retrieve
from omni_plugin_clinic.simclinic import MEASURED, SimClinic

CONFIGS = Path(__file__).parents[1] / "configs"
SMALL = [
    "train_dataloader.dataset.edition=mini", "model.width=32", "model.num_layers=1", "model.ffn_width=64",
    "model.adapters.ecg.conv_width=8", "processor.xray.size=32", "model.adapters.xray.image_size=32",
]  # fmt: skip


def run(folder: Path, name: str, *settings: str, steps: int, missing: float = 0.0) -> Path:
    loaded = configs.load(CONFIGS / name, overrides=[*SMALL, f"train_cfg.max_iters={steps}", *settings])
    if missing:
        loaded["train_dataloader"]["dataset"]["missing"] = missing
        loaded["model"]["missing"] = list(MEASURED)
        loaded["freeze"] = [*loaded["freeze"], "!missing"]
    train(loaded, work_dir=folder, quiet=True)
    return folder / "model"


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("towers"), "simclinic_towers.py", "train_dataloader.batch_size=20", steps=25)


@pytest.fixture(scope="module")
def test_cases() -> SimClinic:
    return SimClinic("mini", split="test", slots=MEASURED)


@pytest.mark.slow
def test_towers_learn_their_own_job(towers: Path, test_cases: SimClinic) -> None:
    losses = [json.loads(line) for line in (towers.parent / "scalars.jsonl").read_text().splitlines()]
    assert losses[-1]["loss"] < losses[0]["loss"] or len(losses) == 1
    found = probe_towers(omni.load(str(towers)), SimClinic("mini", slots=MEASURED), test_cases)
    assert set(found) == {f"{slot} {state}" for slot, states in SHOWN.items() for state in states}
    assert found["labs f"] > 0.8 and found["labs l"] > 0.8, found


@pytest.mark.slow
def test_pooled_states_do_not_depend_on_the_batch(towers: Path, test_cases: SimClinic) -> None:
    model = omni.load(str(towers))
    samples = [test_cases[index] for index in range(5)]
    one, all_at_once = (pooled_states(model, samples, "ecg", batch_size=size) for size in (1, 5))
    assert one.shape == (5, 32) and torch.allclose(one, all_at_once, atol=1e-4)


@pytest.mark.slow
def test_queries_with_a_slot_less_are_answered_where_that_was_learnt(towers, test_cases, tmp_path) -> None:
    load = [f"load_from={towers}", "train_dataloader.batch_size=32"]
    whole = omni.load(str(run(tmp_path / "whole", "simclinic_heads.py", *load, steps=4)))
    found = retrieve(whole, test_cases, encode_cases(whole, test_cases), ["ecg", "labs"])
    assert 0 <= found.top1 <= 1 and found.ceiling == 1.0
    with pytest.raises(OmniError, match="do not mean anything together"):
        retrieve(whole, test_cases, encode_cases(whole, test_cases), ["ecg"])
    sparse = omni.load(str(run(tmp_path / "sparse", "simclinic_heads.py", *load, steps=4, missing=0.3)))
    alone = retrieve(sparse, test_cases, encode_cases(sparse, test_cases), ["labs"])
    assert alone.query == ("labs",) and alone.ceiling == pytest.approx(0.2, abs=0.03)


def test_top1_is_of_the_frozen_candidates(test_cases: SimClinic) -> None:
    scores = np.zeros(test_cases.candidates.shape)
    assert test_cases.top1(scores) == pytest.approx(0.1)
    scores[np.arange(len(test_cases)), test_cases.right] = 1
    assert test_cases.top1(scores) == 1.0
