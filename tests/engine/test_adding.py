"""A modality added to a trained model: every old output stays, to the bit, whatever trains beside it."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from omni import config as configs
from omni.core.model import OmniModel
from omni.engine import train
from omni.engine.adding import new_parts
from omni.errors import ConfigError, TrainingError, WeightsError
from omni.inference import load as load_model

BEATS = [np.sin(np.arange(8) * (n + 1)).astype(np.float32) for n in range(5)]
WORDS = ["ad", "be", "cf"]


def old_config(**changes):
    config = {
        "model": {
            "width": 16, "num_layers": 2, "num_heads": 2, "ffn_width": 24, "embedding_width": 8, "joint": True,
            "slots": {"beat": "beat", "word": "word"}, "drop_path": 0.2, "missing": ["beat"], "layer_scale": 0.5,
            "logit_scale": {"init": 99.9, "max": 100.0},
            "decoder": {"width": 8, "num_layers": 1, "num_heads": 2, "ffn_width": 8},
        },
        "processor": {"beat": {"noise": 0.05}, "word": {}},
        "objectives": [{"type": "info_nce", "slots": ["beat", "word"], "labels": "class"}],
        "train_dataloader": {"dataset": {"type": "toy_senses", "only": ["beat", "word"]}, "batch_size": 12},
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.1}},
        "train_cfg": {"max_iters": 8},
        "ema": {"decay": 0.9},
    }  # fmt: skip
    return {**config, **changes}


def new_config(folder, **changes):
    config = old_config(
        load_from=str(folder),
        add_modality={"slot": "pulse", "processor": {"noise": 0.02}, "missing": True},
        objectives=[
            {"type": "info_nce", "slots": ["pulse", "word"], "labels": "class"},
            {"type": "symile", "slots": ["beat", "pulse", "word"]},
            {"type": "denoising", "slots": ["beat", "pulse"], "weight": 0.1,
             "masks": {"beat": {"ratio": 0.5}, "pulse": {"ratio": 0.5}}},
        ],
        train_dataloader={"dataset": {"type": "toy_senses"}, "batch_size": 12, "slot_dropout": {"pulse": 0.2}},
    )  # fmt: skip
    del config["model"], config["processor"]
    return {**config, **changes}


@pytest.fixture
def senses(toys):
    import toy_adding

    from omni.plugin import catalog

    catalog.register(toy_adding, "toy_adding")
    return toy_adding


@pytest.fixture
def old(senses, tmp_path):
    return train(old_config(), work_dir=tmp_path / "old", quiet=True)


def outputs(model):
    """Every kind of output of the old slots."""
    inner = model.model.eval()
    made = {f"embedding {slot}": value for slot, value in model.encode(beat=BEATS, word=WORDS).items()}
    made["joint"] = model.encode_joint(beat=BEATS[:3], word=WORDS)
    inputs = {
        slot: model.processor.collate_slot(slot, [model.processor.process_value(slot, value) for value in values])
        for slot, values in (("beat", BEATS[:3]), ("word", WORDS))
    }
    with torch.no_grad():
        for slot, values in inputs.items():
            made[f"hidden {slot}"] = inner.encode_slot(slot, values).hidden_BLD
        made["fused"] = inner.fuse(inputs).hidden_BLD
        made["missing"] = inner.fill_missing("beat", torch.zeros(0, 8), torch.tensor([False]))
        made["scale"] = inner.logit_scale()
        visible = inner.encode_slot("beat", inputs["beat"])
        whole = {"beat": inner.tokenize("beat", inputs["beat"])}
        made["denoised"] = inner.denoiser(visible, keep={}, whole=whole)["beat"]
    return made


def test_all_old_outputs_stay_to_the_bit(old, tmp_path):
    before = outputs(load_model(old.model_folder))
    result = train(new_config(old.model_folder), work_dir=tmp_path / "new", quiet=True)
    after = outputs(load_model(result.model_folder))
    assert before.keys() == after.keys() and len(before) == 9
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    part = load_model(result.model_folder, slots=["beat", "word"])
    assert torch.equal(part.encode(word=WORDS)["word"], before["embedding word"])
    folders = [load_file(item.model_folder / "model.safetensors") for item in (old, result)]
    assert all(torch.equal(value, folders[1][name]) for name, value in folders[0].items())
    fresh = set(folders[1]) - set(folders[0])
    assert {"missing.pulse", "adapters.pulse.stem.weight", "core.final_norms.pulse.bias"} <= fresh
    assert all("pulse" in name for name in fresh)


def test_the_new_modality_trains_and_the_old_groups_are_kept(old, tmp_path):
    config = new_config(old.model_folder)
    runs = [
        train({**config, "train_cfg": {"max_iters": steps}}, work_dir=tmp_path / str(steps), quiet=True)
        for steps in (1, 8)
    ]
    states = [run.model.state_dict() for run in runs]
    moved = {name for name, value in states[0].items() if not torch.equal(value, states[1][name])}
    assert moved == {name for name, _ in runs[0].model.named_parameters() if "pulse" in name}
    groups = [(group.score, group.slots) for group in runs[1].trained_groups]
    assert groups[0] == ("cosine", ("beat", "word")) and ("cosine", ("pulse", "word")) in groups
    saved = json.loads((runs[1].model_folder / "config.json").read_text())
    first = json.loads((old.model_folder / "config.json").read_text())
    assert all(saved["processor"][slot] == first["processor"][slot] for slot in ("beat", "word"))
    assert saved["processor"]["pulse"]["noise"] == 0.02
    words = load_model(runs[1].model_folder).similarity(pulse=[np.ones(8, np.float32)], word=WORDS)
    assert words.shape == (1, 3)


def test_frozen_slots_may_be_cached_and_best_weights_taken(old, tmp_path):
    config = new_config(
        old.model_folder,
        objectives=[{"type": "info_nce", "slots": ["pulse", "word"], "labels": "class"}],
        cache=["word"],
        val_dataloader={"dataset": {"type": "toy_senses", "size": 12, "seed": 1}, "batch_size": 12},
        train_cfg={"max_iters": 6, "val_interval": 3},
        default_hooks={"checkpoint": {"interval": 3, "save_best": "val_loss"}},
        export="best",
    )
    result = train(config, work_dir=tmp_path / "new", quiet=True)
    before, after = (outputs(load_model(item.model_folder)) for item in (old, result))
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_it_is_added_again_from_what_the_run_wrote(old, tmp_path):
    """config.py of the run, its files beside the old model, is a config too; the result is the same."""
    first = train(new_config(old.model_folder), work_dir=tmp_path / "first", quiet=True)
    again = train(tmp_path / "first" / "config.py", work_dir=tmp_path / "again", quiet=True)
    assert all(torch.equal(v, again.model.state_dict()[n]) for n, v in first.model.state_dict().items())


@pytest.mark.parametrize("affine", [True, False])
def test_running_statistics_of_frozen_norms_stay(senses, tmp_path, affine):
    config = old_config()
    config["model"]["adapters"] = {"beat": {"affine": affine}}
    first = train(config, work_dir=tmp_path / "old", quiet=True)
    norm = first.model.adapters["beat"].norm
    assert not torch.equal(norm.running_mean, torch.zeros(4)) and norm.num_batches_tracked == 8
    result = train(new_config(first.model_folder), work_dir=tmp_path / "new", quiet=True)
    assert torch.equal(result.model.adapters["beat"].norm.running_mean, norm.running_mean)
    assert result.model.adapters["beat"].norm.num_batches_tracked == 8


def test_a_frozen_logit_scale_beyond_its_bound_is_not_brought_back(old, tmp_path):
    """The last step of training may leave it there; reading bounds it, training of others must not write it."""
    model = load_model(old.model_folder)
    with torch.no_grad():
        model.model.logit_scale.log_scale.fill_(4.7)
    model.save(tmp_path / "beyond")
    result = train(new_config(tmp_path / "beyond"), work_dir=tmp_path / "new", quiet=True)
    assert result.model.logit_scale.log_scale.item() == pytest.approx(4.7)


def test_what_moves_an_old_part_is_an_error(old, tmp_path, monkeypatch):
    for freeze, name in ((["!logit_scale"], "logit_scale.log_scale"), (["!core"], "core.layers.0")):
        with pytest.raises(ConfigError, match=f"freeze lets {name}.* the old slots share"):
            train(new_config(old.model_folder, freeze=freeze), work_dir=tmp_path / "a", quiet=True)
    with pytest.raises(ConfigError, match="'late': freeze lets projections.beat"):
        stages = [{"name": "first", "max_iters": 2}, {"name": "late", "max_iters": 2, "freeze": ["!projections"]}]
        train(new_config(old.model_folder, stages=stages), work_dir=tmp_path / "b", quiet=True)
    project = OmniModel.project

    def meddling(self, slot, pooled):
        if self.training:
            with torch.no_grad():
                self.core.final_norms["word"].bias += 1e-5
        return project(self, slot, pooled)

    monkeypatch.setattr(OmniModel, "project", meddling)
    with pytest.raises(TrainingError, match="core.final_norms.word.bias changed.*Nothing was saved"):
        train(new_config(old.model_folder), work_dir=tmp_path / "c", quiet=True)
    assert not (tmp_path / "c" / "model").exists()


def test_what_cannot_be_meant_is_refused(old, tmp_path):
    def refused(match, error=ConfigError, **changes):
        with pytest.raises(error, match=match):
            configs.load(new_config(old.model_folder, **changes))

    refused("has a slot 'word' already", add_modality={"slot": "word"})
    refused("knows 'beat' already, from the slot 'beat'", add_modality={"slot": "second", "modality": "beat"})
    refused("Did you mean 'slot'", add_modality={"slots": "pulse"})
    refused("add_modality has no `slot`", add_modality={"modality": "pulse"})
    refused("`model` comes from", model=old_config()["model"])
    refused("load_except would start", load_except=["projections"])
    refused("does not exist", load_from=str(tmp_path / "nothing"), error=WeightsError)
    refused("add_modality needs load_from", load_from=None)
    with pytest.raises(ConfigError, match="'pulse'.*'noize'.*Did you mean 'noise'|noize"):
        configs.load(new_config(old.model_folder, add_modality={"slot": "pulse", "processor": {"noize": 1}}))


def test_a_trained_model_is_trained_on_without_saying_its_shape_again(old, tmp_path):
    config = copy.deepcopy(old_config(load_from=str(old.model_folder), train_cfg={"max_iters": 1}))
    del config["model"], config["processor"]
    result = train(config, work_dir=tmp_path / "more", quiet=True)
    assert result.model.config == old.model.config
    assert result.processor.to_config() == old.processor.to_config()


def test_new_parts_are_the_outermost(old):
    names = frozenset(name for name in old.model.state_dict() if "word" not in name)
    parts = new_parts(old.model, names)
    assert {"adapters.word", "projections.word", "core.layers.1.experts.word", "core.final_norms.word"} <= set(parts)
    assert all(part.rpartition(".")[2] == "word" for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_with_balanced_sampling_do_what_one_does(senses, tmp_path, strategy):
    from launching import torchrun

    first = old_config(ema=None)
    first["model"].update(drop_path=0.0, decoder=None)
    start = train(first, work_dir=tmp_path / "old", quiet=True).model_folder
    made = new_config(start, ema=None)
    made["objectives"] = [{"type": "info_nce", "slots": ["pulse", "word"], "labels": "class"}]
    made["optim_wrapper"] = {"optimizer": {"type": "SGD", "lr": 0.05}}
    sampler = {"type": "balanced", "by": "class", "power": 0.5}
    made["train_dataloader"] = {"dataset": {"type": "toy_senses"}, "batch_size": 12, "sampler": sampler}
    train(made, work_dir=tmp_path / "one", quiet=True)
    made["train_dataloader"]["batch_size"], made["strategy"] = 6, {"type": strategy}
    configs.dump(made, tmp_path / "run.py")
    torchrun("-m", "omni", "train", tmp_path / "run.py", "--work-dir", tmp_path / "two", "--device", "cpu")
    folders = (start, tmp_path / "one" / "model", tmp_path / "two" / "model")
    old, one, two = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(value, two[name]) for name, value in old.items())
    assert one.keys() == two.keys() and max(float((one[name] - two[name]).abs().max()) for name in one) < 2e-6
