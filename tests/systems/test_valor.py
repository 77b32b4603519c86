"""Groups of VALOR: what each modality sees, the rule, and the experiment at few steps."""

from __future__ import annotations

import pytest
import torch

from omni.builtin.systems.valor import TOKENS, ValorGroups, World, joined, train

SMALL = ValorGroups().config(full=False) | {"half": 4, "features": 12, "hidden": 48, "batch": 64, "steps": 70}
SMALL |= {"test": 200}


def test_video_and_sound_see_one_half_each():
    """Noise-free tokens have the rank of what they see."""
    world = World(0, SMALL | {"noise": 0.0})
    drawn = world.draw(300)
    for name, rank in {"text": 8, "video": 4, "sound": 4}.items():
        assert drawn[name].shape == (300, TOKENS[name], 12)
        assert torch.linalg.matrix_rank(drawn[name].flatten(1), rtol=1e-4) == rank
    both = torch.cat((drawn["video"].flatten(1), drawn["sound"].flatten(1)), 1)
    assert torch.linalg.matrix_rank(both, rtol=1e-4) == 8


def test_groups_join_tokens():
    encoded = {name: (torch.zeros(2, count, 3), torch.zeros(2, count)) for name, count in TOKENS.items()}
    assert [joined(encoded, group)[0].shape[1] for group in ("tva", "tv", "ta")] == [7, 4, 3]


@pytest.mark.parametrize(
    ("both", "kept", "holds"), [(0.56, 0.5, (True, True)), (0.54, 0.5, (False, True)), (0.56, 0.3, (True, False))]
)
def test_rule_on_planted_numbers(both, kept, holds):
    measured = {"all groups: tva R@1": both, "all groups: tv R@1": kept, "all groups: ta R@1": 0.5}
    findings = ValorGroups().judge(measured | {"tva only: tv R@1": 0.3}, {})
    assert tuple(item.holds for item in findings) == holds


def test_both_find_text_better_than_either():
    measured = ValorGroups().measure(0, SMALL, lambda line: None)
    single = max(measured["all groups: tv R@1"], measured["all groups: ta R@1"])
    assert measured["all groups: tva R@1"] > single > 5 / SMALL["test"]


def test_training_repeats():
    small = SMALL | {"steps": 3}
    first, second = (train(("tva",), 3, small)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
