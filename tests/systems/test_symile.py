"""XOR: the data, the optimum, the rule, and the experiment itself at few steps."""

from __future__ import annotations

import pytest
import torch

from omni.builtin.systems.symile import SymileXor, accuracy, draw, optimum, train_and_test


def test_optimum_and_draws():
    assert optimum(1, 1.0) == 1.0 and optimum(5, 0.0) == 1 / 32 and optimum(5, 0.5) == pytest.approx(0.515625)
    a, b, c = draw(20_000, 2, 0.25, torch.Generator().manual_seed(0))
    mixed = ((a + b) % 2 == c).all(1)
    assert ((c == a).all(1) | mixed).all()
    # xor holds where the coin fell, and by luck where c = a and b = 0 (a quarter of the rest)
    assert mixed.float().mean().item() == pytest.approx(0.25 + 0.75 / 4, abs=0.015)


def planted(config, symile_off=0.0, pairwise_off=0.0):
    numbers = {}
    for dims, p in config["settings"]:
        numbers[f"symile d={dims} p={p:g}"] = optimum(dims, p) - symile_off
        numbers[f"pair_sum d={dims} p={p:g}"] = 0.5**dims + pairwise_off
    return numbers


@pytest.mark.parametrize("full", [False, True])
def test_rule_on_planted_numbers(full):
    experiment = SymileXor()
    config = experiment.config(full=full)
    assert all(item.holds for item in experiment.judge(planted(config, 0.019, 0.019), config))
    below = experiment.judge(planted(config, symile_off=0.021), config)
    assert [item.holds for item in below] == [False, True] * len(config["settings"])
    above = experiment.judge(planted(config, pairwise_off=0.021), config)
    assert [item.holds for item in above] == [True, False] * len(config["settings"])


def test_settings_are_those_of_the_paper():
    config = SymileXor().config(full=False)
    assert config["settings"] == [[1, 1.0], [5, 1.0], [5, 0.5]] and SymileXor.default_seeds == (0, 1, 2)


def test_accuracy_of_encoders_that_know_xor():
    """By hand: signs multiply as bits add, so <a, b, c> is largest at b = a xor c."""
    encoders = torch.nn.ModuleList(torch.nn.Linear(1, 2) for _ in range(3))
    for encoder in encoders:
        encoder.weight.data = torch.tensor([[-2.0], [0.0]])
        encoder.bias.data = torch.tensor([1.0, 0.0])
    rows = draw(500, 1, 1.0, torch.Generator().manual_seed(1))
    assert accuracy("symile", encoders, rows, 1) == 1.0
    assert accuracy("pair_sum", encoders, rows, 1) < 0.6


@pytest.mark.parametrize(("dims", "p"), [(1, 1.0), (2, 0.5)])
def test_symile_reaches_the_optimum_and_pairs_do_not(dims, p):
    config = SymileXor().config(full=False) | {"train": 4_000, "test": 4_000, "batch": 500, "epochs": 8}
    value = train_and_test("symile", dims=dims, p=p, seed=0, config=config)
    assert value == pytest.approx(optimum(dims, p), abs=0.03)
    assert train_and_test("pair_sum", dims=dims, p=p, seed=0, config=config) <= optimum(dims, p) - 0.2
