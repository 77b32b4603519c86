"""Gradient caching gives the gradients of one pass."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.engine import grad_cache, seeding
from omni.engine.building import build_objectives
from omni.engine.forward_pass import ForwardPass
from omni.engine.items import BatchItems
from omni.engine.model_wrapper import TrainingModel
from omni.errors import ConfigError
from omni.objectives.base import Leaf

OBJECTIVES = {
    "embeddings": [
        {"type": "symile", "slots": ["left", "right", "word"]},
        {"type": "info_nce", "slots": ["left", "word"], "labels": "class", "scale": "own"},
    ],
    "tokens": [{"type": "grouping_alignment", "slots": ["word", "left", "right"], "shared_width": 8}],
}


class Plain:
    """An optimizer wrapper that never updates."""

    def optim_context(self, model):
        return nullcontext()

    def scale_loss(self, loss):
        return loss

    def backward(self, loss):
        loss.backward()

    def should_update(self):
        return False


def wrapper_and_batch(make_config, objectives, *, drop_path):
    config = make_config()
    seeding.seed_everything(3)
    config["model"]["drop_path"] = drop_path
    model = OmniModel(ModelConfig.from_dict(config["model"]))
    for name, parameter in model.named_parameters():  # LayerScale 1e-6 would hide the blocks
        if name.endswith("gamma") or "scale" in name.rsplit(".", 1)[-1] and parameter.ndim == 1:
            torch.nn.init.constant_(parameter, 0.5)
    wrapper = TrainingModel(model, build_objectives(OBJECTIVES[objectives], model), grad_cache_chunk=7).double().train()
    from toy_training import ToyTriples

    items = BatchItems(ToyTriples(missing=3), Processor(config["processor"]), training=False)
    batch = items.__getitems__([(0, index) for index in range(14)])
    for values in batch.inputs.values():
        values.update({key: value.double() for key, value in values.items() if value.is_floating_point()})
    return wrapper, batch


def gradients(wrapper):
    found = {name: p.grad.clone() for name, p in wrapper.named_parameters() if p.grad is not None}
    wrapper.zero_grad()
    return found


def one_pass(wrapper, batch, chunk):
    """The same random draws with every chunk's graph alive: what caching has to equal."""
    wanted = grad_cache.leaves_of(wrapper.objectives)
    found = []
    for start in range(0, len(batch), chunk):
        fp = ForwardPass(wrapper.model, grad_cache.slice_batch(batch, start, start + chunk))
        found.append(
            {(kind, slot): getattr(fp, "embedding" if kind == "embedding" else kind)(slot) for kind, slot in wanted}
        )
    fp = wrapper.forward_pass(batch)
    for kind, slot in wanted:
        parts = [item[kind, slot] for item in found]
        joined = type(parts[0])(
            **{field: torch.cat([getattr(part, field) for part in parts]) for field in vars(parts[0])}
        )
        fp.provide(kind, slot, joined)
    wrapper.losses(fp)["loss"].backward()
    return gradients(wrapper)


@pytest.mark.parametrize("objectives", ["embeddings", "tokens"])
def test_two_chunks_give_the_gradients_of_one_pass_with_drop_path_on(toys, make_config, objectives):
    wrapper, batch = wrapper_and_batch(make_config, objectives, drop_path=0.5)
    seeding.seed_everything(1)
    expected = one_pass(wrapper, batch, 7)
    seeding.seed_everything(1)
    grad_cache.backward(wrapper, batch, Plain(), chunk=7)
    found = gradients(wrapper)
    nonzero = {name for name, value in expected.items() if value.abs().max() > 1e-12}
    assert len(nonzero) > 20 and nonzero <= set(found)
    for name, value in expected.items():
        torch.testing.assert_close(found.get(name, torch.zeros_like(value)), value, atol=1e-6, rtol=1e-9)


@pytest.mark.parametrize("objectives", ["embeddings", "tokens"])
@pytest.mark.parametrize("chunk", [3, 14, 100])
def test_without_randomness_any_chunk_gives_the_plain_gradients(toys, make_config, objectives, chunk):
    wrapper, batch = wrapper_and_batch(make_config, objectives, drop_path=0.0)
    losses = wrapper(batch)
    losses["loss"].backward()
    expected = gradients(wrapper)
    cached = grad_cache.backward(wrapper, batch, Plain(), chunk=chunk)
    found = gradients(wrapper)
    torch.testing.assert_close(cached["loss"], losses["loss"].detach())
    for name, value in expected.items():
        torch.testing.assert_close(found.get(name, torch.zeros_like(value)), value, atol=1e-9, rtol=1e-9)


def test_an_objective_that_reads_more_is_refused(toys, make_config):
    wrapper, _ = wrapper_and_batch(make_config, "embeddings", drop_path=0.0)
    objective = wrapper.objectives["symile"]
    objective.reads = lambda: (Leaf(kind="decoder", slots=("word",)),)
    with pytest.raises(ConfigError, match="'symile' cannot be trained with gradient caching.*decoder"):
        grad_cache.check(wrapper.objectives)
