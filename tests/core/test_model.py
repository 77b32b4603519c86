"""The model: configs, partial loading, missing slots, fusion with absent samples, joint embeddings."""

from __future__ import annotations

import json

import pytest
import torch

from omni.core.config import ModelConfig
from omni.core.model import OmniModel
from omni.errors import ConfigError, InputError, UnknownComponentError
from tests.core import toys

PRESENT = torch.tensor([True, False, True])


def test_config_is_json_and_refuses_unknown_keys() -> None:
    """Round trip through JSON; a typo gets a suggestion."""
    config = toys.text_model(missing=["one"], joint=True).config
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ConfigError, match="Did you mean 'width'"):
        ModelConfig.from_dict(config.to_dict() | {"widht": 3})
    value = config.to_dict()
    del value["num_heads"]
    with pytest.raises(ConfigError, match="num_heads"):
        ModelConfig.from_dict(value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"slots": {}}, "slots"),
        ({"missing": ["three"]}, "three"),
        ({"adapters": {"one": {}}}, "keyed by modality"),
        ({"adapters": {"text": {"buckets": 3}}}, "bucket"),
        ({"parity": "exact"}, "published"),
        ({"width": 0}, "width"),
        ({"projection": "conv"}, "mlp"),
        ({"embedding_norm": "l1"}, "l2"),
        ({"decoder": {"wdth": 3}}, "decoder"),
    ],
)
def test_bad_configs(change: dict, match: str) -> None:
    """Each names the thing and the fix."""
    with pytest.raises(ConfigError, match=match):
        toys.text_model(**change)


def test_unknown_modality_and_slot() -> None:
    """No plugin has it; no slot of that name."""
    with pytest.raises(UnknownComponentError, match="txt"):
        toys.text_model(slots={"one": "txt"}, adapters={})
    with pytest.raises(InputError, match="one, two"):
        toys.text_model().encode("three", toys.words([3]))


@torch.no_grad()
def test_state_dict_round_trip() -> None:
    """A fresh model with the same config and state gives bit-equal embeddings."""
    model = toys.text_model(missing=["one"], joint=True, projection={"type": "mlp"})
    other = OmniModel(ModelConfig.from_dict(model.config.to_dict())).eval()
    other.load_state_dict(model.state_dict())
    given = {"one": toys.words([3, 5]), "two": toys.words([4, 2], seed=1)}
    for slot, value in model(given).items():
        assert torch.equal(other(given)[slot], value)
    assert torch.equal(other.encode_joint(given), model.encode_joint(given))


@torch.no_grad()
def test_partial_load() -> None:
    """A part of the slots has a part of the weights and the same numbers."""
    whole = toys.text_model(slots={"one": "text", "two": "text"}, missing=["one", "two"])
    part = OmniModel(whole.config.for_slots(["two"])).eval()
    wanted = part.state_dict()
    part.load_state_dict({name: value for name, value in whole.state_dict().items() if name in wanted})
    assert set(part.missing) == {"two"}
    given = toys.words([3, 5])
    assert torch.equal(part.encode("two", given), whole.encode("two", given))
    with pytest.raises(ConfigError, match="one, two"):
        whole.config.for_slots(["three"])


@pytest.mark.parametrize("norm", ["l2", "layernorm", "none"])
def test_missing_embeddings(norm: str) -> None:
    """Absent rows hold the learnt embedding, normalised like the others, with its gradient; else zeros."""
    model = toys.text_model(missing=["one"], embedding_norm=norm)
    values = model.encode("one", toys.words([3, 4]))
    filled = model.fill_missing("one", values, PRESENT)
    assert torch.equal(filled[PRESENT], values)
    if norm == "l2":
        torch.testing.assert_close(filled.norm(dim=1), torch.ones(3))
    filled[1].square().sum().backward() if norm == "none" else (filled[1] * torch.arange(16)).sum().backward()
    assert model.missing["one"].grad.abs().sum() > 0
    assert torch.equal(model.fill_missing("two", values, PRESENT)[1], torch.zeros(16))
    nobody = model.fill_missing("one", values[:0], torch.zeros(3, dtype=torch.bool))
    assert torch.equal(nobody[0], nobody[2]) and nobody.shape == (3, 16)


@torch.no_grad()
def test_fusing_samples_that_lack_slots() -> None:
    """A row that lacks a slot is as if the slot were not in the sequence."""
    model = toys.text_model(joint=True)
    one, two = toys.words([3, 5, 4]), toys.words([4, 2], seed=1)
    present = {"one": torch.ones(3, dtype=torch.bool), "two": PRESENT}
    fused = model.fuse({"one": one, "two": two}, present=present)
    alone = model.encode_slot("one", {name: value[1:2] for name, value in one.items()})
    torch.testing.assert_close(fused.pooled["one"][1:2], alone.pooled["one"], atol=1e-5, rtol=0)
    both = {name: value[[0, 2]] for name, value in one.items()}
    together = model.fuse({"one": both, "two": two})
    torch.testing.assert_close(fused.pooled["two"][PRESENT], together.pooled["two"], atol=1e-5, rtol=0)
    joint = model.encode_joint({"one": one, "two": two}, present=present)
    torch.testing.assert_close(joint[1:2], model.joint_projection(alone.pooled["one"]), atol=1e-5, rtol=0)
    mean = model.joint_projection((together.pooled["one"] + together.pooled["two"]) / 2)
    torch.testing.assert_close(joint[PRESENT], mean, atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="joint=True"):
        toys.text_model().encode_joint({"one": one})


@torch.no_grad()
def test_precomputed_features_skip_the_core() -> None:
    """pooled_BD in, projection only."""
    model = toys.text_model()
    given = toys.words([3, 5])
    pooled = model.encode_slot("one", given).pooled["one"]
    assert torch.equal(model.encode("one", {"pooled_BD": pooled}), model.encode("one", given))


@torch.no_grad()
def test_projection_of_each_modality() -> None:
    """A mapping sets the projection by modality, with a default."""
    model = toys.text_model(projection={"default": "linear", "text": {"type": "mlp", "hidden": 24}}, joint=True)
    assert model.projections["text"].map[0].out_features == 24
    assert model.joint_projection.map.in_features == toys.WIDTH


def test_every_parameter_is_reached() -> None:
    """One fused and one separate pass give every parameter of a model a gradient."""
    model = toys.text_model(missing=["one"], joint=True).train()
    given = {"one": toys.words([3, 5, 4]), "two": toys.words([4, 2, 3], seed=1)}
    loss = (model.encode_joint(given) * torch.arange(16)).sum() * model.logit_scale()
    loss = loss + (model.fill_missing("one", model.encode("one", given["one"])[:2], PRESENT) * torch.arange(16)).sum()
    loss.backward()
    assert [name for name, item in model.named_parameters() if item.grad is None or not item.grad.any()] == []
