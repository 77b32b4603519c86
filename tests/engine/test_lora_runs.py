"""LoRA by config: from a trained model, only the low-rank matrices train, saved merged or beside the weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from omni.core.lora import merge_lora, plain_name
from omni.engine import checkpoint, train
from omni.errors import ConfigError, WeightsError
from omni.inference import load as load_model

VALUES = {"left": [np.arange(8, dtype=np.float32)], "word": ["ad"]}


@pytest.fixture
def base(toys, make_config, tmp_path):
    config = make_config(train_cfg={"max_iters": 6})
    config["model"]["layer_scale"] = 0.5
    return train(config, work_dir=tmp_path / "base", quiet=True)


def lora_config(make_config, base, **lora):
    config = make_config(load_from=str(base.model_folder), lora={"rank": 4, "alpha": 8, **lora})
    config["optim_wrapper"]["optimizer"]["lr"] = 3e-2
    del config["model"], config["processor"]
    return config


def test_only_the_low_rank_matrices_train_and_merged_is_a_plain_folder(base, make_config, tmp_path):
    config = lora_config(make_config, base, save="adapters")
    kept = train(config, work_dir=tmp_path / "adapters", quiet=True)
    old, new = (load_file(item.model_folder / "model.safetensors") for item in (base, kept))
    assert {plain_name(name) for name in new if "lora_" not in name} == set(old)
    for name, value in new.items():
        if "lora_" not in name:
            assert torch.equal(value, old[plain_name(name)]), name
        elif name.endswith("lora_B"):
            assert value.abs().max() > 0, name
    merged = train(lora_config(make_config, base), work_dir=tmp_path / "merged", quiet=True)
    plain = load_file(merged.model_folder / "model.safetensors")
    assert plain.keys() == old.keys()
    changed = {name for name, value in plain.items() if not torch.equal(value, old[name])}
    assert changed == {plain_name(n.replace(".0.lora_A", ".original")) for n in new if n.endswith("lora_A")}
    saved = json.loads((merged.model_folder / "config.json").read_text())["model"]
    assert saved == json.loads((base.model_folder / "config.json").read_text())["model"]
    first, second = load_model(kept.model_folder), load_model(merged.model_folder)
    assert first.model.config.lora == {"rank": 4, "alpha": 8}
    for slot, value in first.encode(**VALUES).items():
        assert (value - second.encode(**VALUES)[slot]).abs().max() <= 1e-6
        assert not torch.allclose(value, load_model(base.model_folder).encode(**VALUES)[slot], atol=1e-3)


def test_a_saved_model_with_adapters_is_the_trained_one_and_goes_on(base, make_config, tmp_path):
    config = lora_config(make_config, base, save="adapters", targets=["attention", "experts.word"])
    result = train(config, work_dir=tmp_path / "adapters", quiet=True)
    state, loaded = result.model.state_dict(), load_model(result.model_folder)
    assert all(torch.equal(value, state[name]) for name, value in loaded.model.state_dict().items())
    part = load_model(result.model_folder, slots=["word"])
    assert torch.equal(part.encode(word=["ad"])["word"], loaded.encode(word=["ad"])["word"])
    config.update(load_from=str(result.model_folder), train_cfg={"max_iters": 1})
    more = train(config, work_dir=tmp_path / "more", quiet=True)  # the same lora
    del config["lora"]
    again = train(config, work_dir=tmp_path / "again", quiet=True)  # the folder's
    for run in (more, again):
        moved = {name for name, value in run.model.state_dict().items() if not torch.equal(value, state[name])}
        assert moved and all("lora_" in name for name in moved)
    with pytest.raises(ConfigError, match="has low-rank matrices of .*merge them first"):
        train({**config, "lora": {"rank": 2}}, work_dir=tmp_path / "c", quiet=True)
    with pytest.raises(WeightsError, match="holds low-rank matrices"):
        train({**make_config(), "load_from": str(result.model_folder)}, work_dir=tmp_path / "d", quiet=True)
    merge_lora(loaded.model)
    loaded.save(tmp_path / "whole")
    assert "lora" not in "".join(load_file(tmp_path / "whole" / "model.safetensors"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_stopped_run_goes_on_bit_for_bit(base, make_config, tmp_path, dtype):
    config = {**lora_config(make_config, base), "ema": {"decay": 0.9}, "freeze": ["!projections.word"]}
    config["optim_wrapper"]["dtype"] = dtype
    whole = train(config, work_dir=tmp_path / "run", quiet=True)
    state = {name: value.clone() for name, value in whole.model.state_dict().items()}
    checkpoint.steps(tmp_path / "run" / "checkpoints" / "train")[-1][1].unlink()
    again = train(config, work_dir=tmp_path / "run", resume=True, quiet=True)
    assert all(torch.equal(value, state[name]) for name, value in again.model.state_dict().items())
    old = base.model.state_dict()
    assert not torch.equal(state["projections.word.map.weight"], old["projections.word.map.weight"])
    assert torch.equal(state["projections.stripe.map.weight"], old["projections.stripe.map.weight"])


def test_what_cannot_be_meant_is_refused(base, make_config, tmp_path):
    def refused(match, **changes):
        with pytest.raises(ConfigError, match=match):
            train({**lora_config(make_config, base), **changes}, work_dir=tmp_path / "x", quiet=True)

    refused("lora needs load_from", load_from=None)
    refused("lora has no key 'r'.*Known: rank, alpha, targets, save", lora={"r": 8})
    refused("lora.save is 'whole'", lora={"save": "whole"})
    refused("'atention' matches no matrix", lora={"targets": ["atention"]})
    refused("lora would change the attention", add_modality={"slot": "new", "modality": "stripe"})
    refused("'fsdp' do not go together", strategy={"type": "fsdp"})
