"""Low-rank matrices beside the core's: no effect at the start, peft's numbers, gone when merged."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from omni.core.layers import SelfAttention
from omni.core.lora import LowRank, add_lora, lora_places, merge_lora, plain_name
from omni.core.model import ModelConfig, OmniModel
from omni.errors import ConfigError


def build(toy_plugin, **changes):
    torch.manual_seed(0)
    settings = dict(width=16, num_layers=2, num_heads=2, ffn_width=24, embedding_width=8, layer_scale=0.3)
    slots = {"stripe": "stripe", "word": "word"}
    return OmniModel(ModelConfig(**settings, slots=slots, **changes)).eval()


def inputs():
    generator = torch.Generator().manual_seed(1)
    frames = torch.randn(3, 5, 4, generator=generator)
    valid = torch.arange(5)[None] < torch.tensor([5, 3, 4])[:, None]
    return {
        "stripe": {"frames_BLC": frames, "valid_BL": valid},
        "word": {"ids_BL": torch.randint(27, (3, 4), generator=generator), "valid_BL": torch.ones(3, 4) > 0},
    }


def excite(model, size=0.2):
    for module, name in lora_places(model):
        nn.init.normal_(module.parametrizations[name][0].lora_B, std=size)
    return model


def test_at_the_start_outputs_are_the_same_to_the_bit(toy_plugin):
    plain, adapted = build(toy_plugin), build(toy_plugin, lora={"rank": 4, "alpha": 8})
    expected, found = plain(inputs()), adapted(inputs())
    assert len(list(lora_places(adapted))) == 2 * (2 + 2 * 2)  # of both blocks: attention, and the experts of two
    assert all(torch.equal(expected[slot], found[slot]) for slot in expected)
    moved = excite(adapted)(inputs())
    assert not any(torch.allclose(expected[slot], moved[slot], atol=1e-3) for slot in expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merged_is_equal_and_ordinary(toy_plugin, dtype):
    adapted = excite(build(toy_plugin, lora={"rank": 3})).to(dtype)
    values = {slot: {k: v.to(dtype) if v.is_floating_point() else v for k, v in item.items()}
              for slot, item in inputs().items()}  # fmt: skip
    before = adapted(values)
    names = [plain_name(name) for name in adapted.state_dict() if "lora_" not in name]
    merged = merge_lora(adapted)
    after = merged(values)
    assert all((before[slot] - after[slot]).abs().max() <= 1e-6 for slot in before)
    assert merged.config.lora is None and not any(parametrize.is_parametrized(module) for module in merged.modules())
    assert set(merged.state_dict()) == set(build(toy_plugin).state_dict()) == set(names)
    assert merge_lora(merged) is merged


def test_it_is_pefts(toy_plugin):
    """peft's layer beside a Linear, with the same matrices, against the changed weight; gradients too."""
    lora = pytest.importorskip("peft").tuners.lora
    torch.manual_seed(2)
    linear = nn.Linear(12, 7).double()
    config = pytest.importorskip("peft").LoraConfig(r=3, lora_alpha=5)
    theirs = lora.Linear(linear, adapter_name="default", config=config, r=3, lora_alpha=5).double()
    with torch.no_grad():
        theirs.lora_B["default"].weight.normal_()
    ours = LowRank(linear.weight.detach(), rank=3, alpha=5)
    ours.load_state_dict({f"lora_{x}": getattr(theirs, f"lora_{x}")["default"].weight for x in "AB"})
    x = torch.randn(4, 12, dtype=torch.float64)
    found = nn.functional.linear(x, ours(linear.weight), linear.bias)
    torch.testing.assert_close(found, theirs(x), rtol=1e-12, atol=1e-12)
    found.square().sum().backward()
    theirs(x).square().sum().backward()
    for letter in "AB":
        expected = getattr(theirs, f"lora_{letter}")["default"].weight.grad
        torch.testing.assert_close(getattr(ours, f"lora_{letter}").grad, expected, rtol=1e-10, atol=1e-10)


def test_autocast_changes_the_products_not_the_weight():
    torch.manual_seed(3)
    attention = SelfAttention(width=16, num_heads=2)
    parametrize.register_parametrization(attention, "qkv_weight", LowRank(attention.qkv_weight, rank=2, alpha=4))
    nn.init.normal_(attention.parametrizations.qkv_weight[0].lora_B)
    outside = attention.qkv_weight
    with torch.autocast("cpu", torch.bfloat16):
        inside = attention.qkv_weight
    assert inside.dtype == torch.float32 and torch.equal(inside, outside)


@pytest.mark.parametrize(
    ("targets", "places"),
    [
        (["attention"], 4),
        (["attention.qkv_weight"], 2),
        (["experts.word"], 4),
        (["layers.1.experts"], 4),
        (["core.layers.0", "attention.out"], 7),
        (["experts.*.out.weight"], 4),
    ],
)
def test_targets_choose_matrices(toy_plugin, targets, places):
    assert len(add_lora(build(toy_plugin).core, rank=2, targets=targets)) == places


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"rank": 2.5}, "rank is 2.5"),
        ({"rank": 17}, r"rank 17 is more than the smaller side of core.layers.0.attention.qkv_weight, \(48, 16\)"),
        ({"targets": ["atention"]}, "'atention' matches no matrix of a block: attention.qkv_weight, attention.out"),
        ({"targets": "attention"}, "must be a list"),
        ({"targets": ["attention_norm"]}, "matches no matrix"),
    ],
)
def test_what_cannot_be_meant_is_refused(toy_plugin, settings, match):
    model = build(toy_plugin)
    with pytest.raises(ConfigError, match=match):
        add_lora(model.core, **settings)
    assert not list(lora_places(model))
