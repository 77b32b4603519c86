"""Training with the data there is: sources with different slots, four- and five-way Symile, a curriculum of stages."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from omni import config as configs
from omni.data.mixing import MixedStream
from omni.engine import checkpoint, train
from omni.engine.stages import split_stages
from omni.types import Sample

NAMES = ("one", "two", "three", "four", "word")


class Many:
    """Up to five slots; which of them a sample has is said by ``lacks``: slot -> every how manyth sample lacks it."""

    def __init__(self, slots, lacks=None, size=48, classes=6):
        self.slots, self.lacks, self.size, self.classes = slots, lacks or {}, size, classes

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        kind = index % self.classes
        rng = np.random.default_rng(index)
        values = {"word": "abcdefgh"[kind] + "abcdefgh"[kind + 2]}
        for place, slot in enumerate(NAMES[:-1]):
            wave = np.sin(np.arange(8) * (kind + 1) * (1 + place / 2)) + 0.1 * rng.standard_normal(8)
            values[slot] = wave.astype(np.float32)
        chosen = [slot for slot in self.slots if not (slot in self.lacks and index % self.lacks[slot] == 0)]
        return Sample(id=f"m{index}", values={slot: values[slot] for slot in chosen}, targets={"class": kind})


def config_of(make_config, slots, dataset, **changes):
    config = make_config(**changes)
    kinds = {slot: "word" if slot == "word" else "stripe" for slot in slots}
    config["model"].update(slots=kinds, missing=[], layer_scale=1.0, drop_path=0.0)
    config["processor"] = {slot: {"modality": kind} for slot, kind in kinds.items()}
    config["train_dataloader"] = {"dataset": dataset, "batch_size": 16}
    return config


def records(folder):
    found = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
    return [record for record in found if record["kind"] == "train"]


def log_each_step(config):
    config["default_hooks"] = {"checkpoint": {"interval": 4}, "logger": {"interval": 1}}
    return config


@pytest.mark.parametrize("count", [4, 5])
def test_symile_of_four_and_five_by_config(toys, make_config, tmp_path, count):
    """Each sample says what it has; those that have all are the tuples, and they are counted."""
    slots = NAMES[-count:]
    lacks = {slots[0]: 3, slots[1]: 4}
    config = config_of(make_config, slots, Many(slots, lacks))
    config["objectives"] = [{"type": "symile", "slots": list(slots)}]
    config["train_cfg"], config["optim_wrapper"]["optimizer"]["lr"] = {"max_iters": 120}, 1e-2
    result = train(log_each_step(config), work_dir=tmp_path, quiet=True)
    seen = records(tmp_path)
    assert sum(record["symile/count_tuples"] for record in seen[:3]) == 24  # an epoch: 48 less 16, 12, both of 4
    first, last = (np.mean([record["loss"] for record in part]) for part in (seen[:10], seen[-10:]))
    assert last < 0.75 * first
    (group,) = result.trained_groups
    assert group.score == "multilinear" and group.slots == tuple(slots)


def test_sources_with_different_slots_in_one_run(toys, make_config, tmp_path):
    """Two sources of pairs share one slot; a third has all. Every objective sees what it can use, and no more."""
    slots = ("one", "two", "word")
    sources = {
        "left": Many(("one", "word"), size=30), "right": Many(("two", "word"), size=12), "both": Many(slots, size=9)
    }  # fmt: skip
    mixed = MixedStream(sources, ratios={"left": 2, "right": 1, "both": 1}, run=1)
    config = config_of(make_config, slots, mixed, train_cfg={"max_iters": 8})
    config["objectives"] = [
        {"type": "info_nce", "slots": ["one", "word"]},
        {"type": "info_nce", "slots": ["two", "word"]},
        {"type": "symile", "slots": list(slots)},
    ]
    result = train(log_each_step(config), work_dir=tmp_path, quiet=True)
    for record in records(tmp_path):
        counts = [record[key] for key in ("info_nce/count_one_word", "info_nce_2/count_two_word")]
        assert abs(counts[0] - 12) <= 2 and abs(counts[1] - 8) <= 2 and abs(record["symile/count_tuples"] - 4) <= 2
        assert counts[0] + counts[1] - record["symile/count_tuples"] == 16
    assert result.steps == 8


def curriculum(make_config, tmp=None):
    old = {"type": "toy_senses", "only": ["beat", "word"]}
    both = {"sources": {"old": old, "new": {"type": "toy_senses", "only": ["pulse", "word"], "seed": 3}}}
    new = ["adapters.pulse", "core.layers.*.experts.pulse", "core.final_norms.pulse", "projections.pulse"]
    pulse = {"type": "info_nce", "slots": ["pulse", "word"]}
    config = make_config(
        stages=[
            {"name": "pairs", "max_iters": 4, "train_dataloader": {"dataset": old}},
            {
                "name": "joined", "max_iters": 6, "train_dataloader": {"dataset": {
                    "_delete_": True, "type": "mixed", **both, "ratios": {"old": 1, "new": 1}}},
                "objectives": [{"type": "info_nce", "slots": ["beat", "word"]}, pulse],
            },
            {
                "name": "alone", "max_iters": 5, "freeze": ["*", *(f"!{part}" for part in new)], "objectives": [pulse],
                "train_dataloader": {"dataset": {"type": "toy_senses", "only": ["pulse", "word"], "seed": 3}},
            },
        ],
        objectives=[{"type": "info_nce", "slots": ["beat", "word"]}],
    )  # fmt: skip
    config["model"].update(slots={"beat": "beat", "word": "word", "pulse": "pulse"}, missing=[])
    config["processor"] = {"beat": {}, "word": {}, "pulse": {}}
    config["train_dataloader"] = {"dataset": old, "batch_size": 12}
    return config


@pytest.fixture
def senses(toys):
    import toy_adding

    from omni.plugin import catalog

    catalog.register(toy_adding, "toy_adding")
    return toy_adding


def test_each_stage_of_a_curriculum_moves_what_it_has_data_for(senses, make_config, tmp_path):
    train(log_each_step(curriculum(make_config)), work_dir=tmp_path, quiet=True)
    states = [
        checkpoint.load(checkpoint.steps(tmp_path / "checkpoints" / stage)[-1][1])["state_dict"]
        for stage in ("pairs", "joined", "alone")
    ]

    def moved(first, second, word):
        names = [name for name in first if word in name.split(".") and first[name].is_floating_point()]
        assert names
        return [not torch.equal(first[name], second[name]) for name in names]

    assert any(moved(states[0], states[1], "pulse")) and any(moved(states[0], states[1], "beat"))
    assert all(moved(states[1], states[2], "pulse"))
    assert not any(moved(states[1], states[2], "beat")) and not any(moved(states[1], states[2], "word"))
    mixed = [record for record in records(tmp_path) if record.get("info_nce_2/count_pulse_word") is not None]
    assert mixed and all(abs(record["info_nce_2/count_pulse_word"] - 6) <= 2 for record in mixed)


@pytest.mark.parametrize("lost", ["joined", "alone"])
def test_a_curriculum_goes_on_across_the_border_of_two_stages(senses, make_config, tmp_path, lost):
    """Killed before the first checkpoint of a stage: the stage before is complete, and this one begins again."""
    config = curriculum(make_config)
    whole = train(config, work_dir=tmp_path, quiet=True)
    state = {name: value.clone() for name, value in whole.model.state_dict().items()}
    gone = ["alone"] if lost == "alone" else ["joined", "alone"]
    for stage in gone:
        for _, path in checkpoint.steps(tmp_path / "checkpoints" / stage):
            path.unlink()
    again = train(config, work_dir=tmp_path, resume=True, quiet=True)
    assert all(torch.equal(value, state[name]) for name, value in again.model.state_dict().items())
    assert "resumed from" in (tmp_path / "checkpoints" / "pairs" / "log.txt").read_text()


def test_the_example_of_a_curriculum_is_sound():
    config = configs.load("omni:configs/examples/curriculum.py")
    stages = split_stages(config)
    assert [stage.name for stage in stages] == ["pictures", "sound_joins", "sound_alone"]
    assert stages[1].train_dataloader["dataset"]["type"] == "mixed" and stages[2].cache == ["image", "text"]
    assert stages[2].train_dataloader["dataset"]["type"] == "m3mini"
