"""Starting from weights that fit in part; what a strategy refuses."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from omni import config as configs
from omni.core.model import ModelConfig, OmniModel
from omni.engine.partial_load import load_part
from omni.engine.stages import split_stages
from omni.errors import ConfigError, WeightsError


@pytest.fixture
def saved(toys, make_config, tmp_path):
    """A file of the whole toy model's weights."""
    torch.manual_seed(3)
    model = OmniModel(ModelConfig.from_dict(make_config()["model"]))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    return tmp_path


def model_of(make_config, **changes):
    torch.manual_seed(4)
    return OmniModel(ModelConfig.from_dict({**make_config()["model"], **changes}))


def test_a_model_of_one_modality_reads_its_part(saved, make_config):
    model = model_of(make_config, slots={"word": "word"}, missing=[])
    found = load_part(model, saved)
    file = load_file(saved / "model.safetensors")
    assert not found.fresh and found.unused and all("stripe" in n or n.startswith("missing") for n in found.unused)
    assert all(torch.equal(value, file[name]) for name, value in model.state_dict().items())


def test_a_model_of_more_starts_the_rest_anew(saved, make_config, tmp_path):
    file = load_file(saved / "model.safetensors")
    words = {name: value for name, value in file.items() if "stripe" not in name}
    save_file(words, tmp_path / "words.safetensors")
    model = model_of(make_config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = load_part(model, tmp_path / "words.safetensors", leave_out=["projections.word", "core.layers.1"])
    after = model.state_dict()
    assert set(found.loaded) | set(found.fresh) == set(after) and not found.unused
    assert all(torch.equal(after[name], words[name]) for name in found.loaded)
    assert all(torch.equal(after[name], before[name]) for name in found.fresh)
    assert any(name.startswith("core.layers.1.") for name in found.fresh)


def test_what_cannot_be_meant_is_refused(saved, make_config, tmp_path):
    model = model_of(make_config)
    with pytest.raises(WeightsError, match="there is no"):
        load_part(model, tmp_path / "nothing")
    with pytest.raises(ConfigError, match="'heads' matches nothing"):
        load_part(model, saved, leave_out=["heads"])
    with pytest.raises(WeightsError, match=r"is \(48, 16\) in .* and \(56, 16\) in the model.*load_except"):
        load_part(model_of(make_config, ffn_width=28), saved)
    save_file({"other.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no parameter of .* has a place"):
        load_part(model, tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((saved / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_part(model, tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    ("changes", "grad_cache", "message"),
    [
        ({}, 4, "Gradient caching and strategy type 'fsdp'"),
        ({"dtype": "float16"}, None, "float16 needs a loss scaler"),
        ({"optimizer": {"type": "Muon"}}, None, "'Muon' is not known to work element by element"),
        ({"dtype": "bfloat16"}, None, None),
    ],
)
def test_fully_sharded_training_refuses(toys, make_config, monkeypatch, changes, grad_cache, message):
    from omni.engine import sharded

    monkeypatch.setattr(sharded, "world_size", lambda: 2)
    strategy = sharded.ShardedStrategy(device=torch.device("cpu"))
    (stage,) = split_stages(make_config(optim_wrapper=changes))
    if message is None:
        strategy.check(stage, grad_cache=grad_cache)
        return
    with pytest.raises(ConfigError, match=message):
        strategy.check(stage, grad_cache=grad_cache)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"type": "fspd"}, "Did you mean 'fsdp'"),
        ({"type": "fsdp", "reshrad": True}, "strategy has no key 'reshrad'.*Did you mean 'reshard'"),
        ("fsdp", "must be a dictionary with a type"),
    ],
)
def test_strategies_are_checked(toys, make_config, strategy, message):
    with pytest.raises(ConfigError, match=message):
        configs.load(make_config(strategy=strategy))


def test_a_stage_may_change_part_of_a_data_set(toys, make_config):
    made = make_config(stages=[{"name": "a", "max_iters": 4, "train_dataloader": {"dataset": {"size": 20}}}])
    (stage,) = split_stages(configs.load(made))
    assert stage.train_dataloader["dataset"] == {"type": "toy_triples", "missing": 5, "size": 20}
    made["stages"][0]["train_dataloader"]["dataset"] = {"siez": 20}
    with pytest.raises(ConfigError, match=r"stages.0.train_dataloader.dataset .*'siez'.*Did you mean 'size'"):
        configs.load(made)
    made["stages"][0]["train_dataloader"]["dataset"] = {"_delete_": True, "size": 20}
    with pytest.raises(ConfigError, match="stages.0.train_dataloader.dataset has no `type`"):
        configs.load(made)
