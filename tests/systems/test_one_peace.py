"""Emergent alignment: what stage two may touch, the rule, and the experiment at few steps."""

from __future__ import annotations

import pytest
import torch

from omni.builtin.systems.one_peace import OnePeaceEmergence, ToyModel

SMALL = {"latent": 6, "tokens": 3, "features": 12, "noise": 0.3, "width": 32, "layers": 1, "heads": 2, "steps": 100}
SMALL |= {"batch": 64, "lr": 3e-3, "test": 100}


def test_stage_two_trains_what_belongs_to_one_modality():
    model = ToyModel(SMALL)
    named = dict(model.named_parameters())
    mine = {id(value) for value in model.parameters_of("c")}
    names = {name for name, value in named.items() if id(value) in mine}
    assert names and all("c" in name.split(".") for name in names)
    kinds = {name.split(".")[0] for name in names}
    assert kinds == {"core", "adapters", "summaries", "positions", "projections"}
    before = model.embed("a", torch.ones(2, 3, 12))
    with torch.no_grad():
        for value in model.parameters_of("c"):
            value.add_(1.0)
    assert torch.equal(model.embed("a", torch.ones(2, 3, 12)), before)


@pytest.mark.parametrize(("found", "same", "holds"), [(0.02, 1.0, (True, True)), (0.0199, 0.0, (False, False))])
def test_rule_on_planted_numbers(found, same, holds):
    experiment = OnePeaceEmergence()
    measured = {"c to b R@1 (never trained together)": found, "old outputs bit-identical": same}
    findings = experiment.judge(measured, experiment.config(full=False))
    assert tuple(item.holds for item in findings) == holds


def test_unseen_pair_is_aligned_after_training():
    measured = OnePeaceEmergence().measure(0, SMALL, lambda line: None)
    assert measured["old outputs bit-identical"] == 1.0
    assert measured["c to b R@1 before training"] <= 0.06
    assert measured["c to b R@1 (never trained together)"] >= 0.15
    assert measured["a to b R@1"] >= 0.3
