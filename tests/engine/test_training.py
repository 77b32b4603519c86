"""Training runs from a config to a model folder; resuming; stages."""

from __future__ import annotations

import json

import pytest
import torch

from omni.engine import checkpoint, hooks, train
from omni.errors import ConfigError, TrainingError, WeightsError


def weights(result):
    return {name: value.clone() for name, value in result.model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Killed(Exception):
    pass


@pytest.fixture
def kill_at(monkeypatch):
    """Make the run stop dead right after a step, before its hooks of lower priority."""

    def arrange(step):
        original = hooks.RecordHook.after_train_iter

        def after(self, runner, *args, **kwargs):
            if runner.iter + 1 == step:
                raise Killed
            original(self, runner, *args, **kwargs)

        monkeypatch.setattr(hooks.RecordHook, "after_train_iter", after)
        return lambda: monkeypatch.setattr(hooks.RecordHook, "after_train_iter", original)

    return arrange


def resumed(config, folder, kill_at, step):
    revive = kill_at(step)
    with pytest.raises(Killed):
        train(config, work_dir=folder, quiet=True)
    revive()
    result = train(config, work_dir=folder, resume=True, quiet=True)
    log = "".join(path.read_text() for path in (folder / "checkpoints").glob("*/log.txt"))
    assert ("resumed from" in log) == (step > 3)  # not merely started anew
    return result


def test_a_run_learns_and_leaves_a_model_folder(toys, make_config, tmp_path):
    config = make_config(train_cfg={"max_iters": 150}, tensorboard=True)
    result = train(config, work_dir=tmp_path, quiet=True)
    records = [json.loads(line) for line in (tmp_path / "scalars.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == 150 and records[-1]["loss"] < 0.8 * records[0]["loss"]
    assert {"symile", "info_nce", "symile/count_tuples", "info_nce/count_left_word", "lr", "grad_norm"} <= set(
        records[0]
    )
    assert [group.score for group in result.trained_groups] == ["multilinear", "cosine"]
    assert list((tmp_path / "tensorboard").iterdir())
    from omni.inference import load_model_folder

    loaded = load_model_folder(result.model_folder)
    model = loaded.model if hasattr(loaded, "model") else loaded[0]
    assert same(weights(result), {name: value for name, value in model.state_dict().items()})


@pytest.mark.parametrize("step", [2, 4, 10])
def test_a_stopped_run_goes_on_bit_for_bit(toys, make_config, tmp_path, kill_at, step):
    extra = {"ema": {"decay": 0.9}}
    config = make_config(**extra)
    config["train_dataloader"]["slot_dropout"] = {"left": 0.3, "word": 0.2}
    whole = train(config, work_dir=tmp_path / "whole", quiet=True)
    again = resumed(config, tmp_path / "parts", kill_at, step)
    assert same(weights(whole), weights(again))
    keep = [json.loads(line) for line in (tmp_path / "parts" / "scalars.jsonl").read_text().splitlines()]
    assert len({record["step"] for record in keep}) == len(keep)


@pytest.mark.parametrize("change", ["bfloat16", "accumulate", "workers", "grad_cache", "stream"])
def test_variants_resume_bit_for_bit(toys, make_config, tmp_path, kill_at, change):
    config = make_config()
    if change == "bfloat16":
        config["optim_wrapper"]["dtype"] = "bfloat16"
    elif change == "accumulate":
        config["optim_wrapper"]["accumulative_counts"] = 3
    elif change == "workers":
        config["train_dataloader"]["num_workers"] = 2
    elif change == "grad_cache":
        config["grad_cache"] = 5
    else:
        config["train_dataloader"]["dataset"] = {"type": "toy_stream"}
    whole = train(config, work_dir=tmp_path / "whole", quiet=True)
    again = resumed(config, tmp_path / "parts", kill_at, 8)
    assert same(weights(whole), weights(again))


def staged(make_config):
    return make_config(
        stages=[
            {"name": "align", "max_iters": 6, "objectives": [{"type": "pair_sum", "slots": ["left", "right", "word"]}]},
            {"name": "heads", "max_iters": 9, "freeze": ["adapters.stripe", "core", "!core.layers.*.experts.word"],
             "cache": ["left", "right"]},
        ]
    )  # fmt: skip


@pytest.mark.parametrize("step", [2, 5, 8])
def test_stages_resume_bit_for_bit(toys, make_config, tmp_path, kill_at, step):
    config = staged(make_config)
    whole = train(config, work_dir=tmp_path / "whole", quiet=True)
    again = resumed(config, tmp_path / "parts", kill_at, step)
    assert same(weights(whole), weights(again))
    assert whole.steps == 15 and [group.score for group in whole.trained_groups] == ["multilinear", "cosine"]


def test_frozen_parts_do_not_move_and_caches_say_what_they_need(toys, make_config, tmp_path):
    config = staged(make_config)
    config["stages"][1]["freeze"] = ["adapters.stripe"]
    with pytest.raises(ConfigError, match="cannot be kept.*core.layers"):
        train(config, work_dir=tmp_path / "a", quiet=True)
    config = make_config(freeze=["*", "!projections.word"])
    before = train(make_config(train_cfg={"max_iters": 1}, freeze=["*", "!projections.word"]), work_dir=tmp_path / "b")
    after = train(config, work_dir=tmp_path / "c", quiet=True)
    moved = {name for name, value in weights(after).items() if not torch.equal(value, weights(before)[name])}
    assert moved == {"projections.word.map.weight", "projections.word.map.bias"}
    with pytest.raises(ConfigError, match=r"'adapters.strip'.*Did you mean 'adapters.stripe'"):
        train(make_config(freeze=["adapters.strip"]), work_dir=tmp_path / "d", quiet=True)
    with pytest.raises(TrainingError, match="every one is frozen"):
        train(make_config(freeze=["*"]), work_dir=tmp_path / "e", quiet=True)


def test_cached_features_give_the_same_loss_as_the_towers(toys, make_config, tmp_path):
    def config(cache):
        made = make_config(freeze=["adapters.stripe", "core"], cache=cache, train_cfg={"max_iters": 3})
        made["model"]["drop_path"] = 0.0
        made["processor"]["left"]["noise"] = made["processor"]["right"]["noise"] = 0.0
        return made

    results = [
        train(config(cache), work_dir=tmp_path / str(len(cache)), quiet=True) for cache in ([], ["left", "right"])
    ]
    for name, value in weights(results[0]).items():
        assert torch.allclose(value, weights(results[1])[name], atol=1e-6), name


def test_a_damaged_last_checkpoint_falls_back(toys, make_config, tmp_path, kill_at, capfd):
    config = make_config()
    whole = train(config, work_dir=tmp_path / "whole", quiet=True)
    revive = kill_at(11)
    with pytest.raises(Killed):
        train(config, work_dir=tmp_path / "parts", quiet=True)
    revive()
    found = checkpoint.steps(tmp_path / "parts" / "checkpoints" / "train")
    assert [step for step, _ in found] == [6, 9]
    damaged = found[-1][1]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    again = train(config, work_dir=tmp_path / "parts", resume=True, quiet=True)
    assert same(weights(whole), weights(again))
    assert "Falling back" in capfd.readouterr().out
    with pytest.raises(WeightsError):
        checkpoint.load(tmp_path / "nothing.pth")


def test_checkpoints_hold_nothing_that_needs_unpickling(toys, make_config, tmp_path):
    train(make_config(ema={"decay": 0.9}), work_dir=tmp_path, quiet=True)
    for path in (tmp_path / "checkpoints" / "train").iterdir():
        if path.suffix == ".pth":
            assert torch.load(path, weights_only=True)["step"] in (9, 12)


def test_validation_best_and_average(toys, make_config, tmp_path):
    config = make_config(
        val_dataloader={"dataset": {"type": "toy_triples", "size": 18, "seed": 1}, "batch_size": 18},
        train_cfg={"max_iters": 12, "val_interval": 4},
        default_hooks={"checkpoint": {"interval": 5, "save_best": "val_loss"}},
        export="best",
        ema={"decay": 0.5},
    )
    result = train(config, work_dir=tmp_path, quiet=True)
    records = [json.loads(line) for line in (tmp_path / "scalars.jsonl").read_text().splitlines()]
    values = {record["step"]: record["val_loss"] for record in records if record["kind"] == "val"}
    assert set(values) == {4, 8, 12} and result.metrics["val_loss"] == values[12]
    best = checkpoint.load(tmp_path / "checkpoints" / "train" / "best.pth")
    assert best["value"] == min(values.values()) and values[best["step"]] == best["value"]
    average = best["ema"]["average"]
    for name, value in weights(result).items():
        assert torch.equal(value, average[f"model.{name}"])


def test_errors_come_before_training(toys, make_config, tmp_path):
    with pytest.raises(ConfigError, match="no multiple of accumulative_counts"):
        train(make_config(optim_wrapper={"accumulative_counts": 5}), work_dir=tmp_path / "a", quiet=True)
    bad = make_config()
    bad["objectives"][0]["slots"] = ["left", "rigth", "word"]
    with pytest.raises(ConfigError, match="Did you mean 'right'"):
        train(bad, work_dir=tmp_path / "b", quiet=True)
    train(make_config(train_cfg={"max_iters": 3}), work_dir=tmp_path / "c", quiet=True)
    with pytest.raises(ConfigError, match="--resume"):
        train(make_config(train_cfg={"max_iters": 3}), work_dir=tmp_path / "c", quiet=True)
    assert not (tmp_path / "b" / "checkpoints").exists()


def test_a_loss_that_is_not_finite_names_objective_and_step(toys, make_config, tmp_path):
    config = make_config(optim_wrapper={"optimizer": {"type": "SGD", "lr": 1e30}})
    with pytest.raises(TrainingError, match=r"objective .*(symile|info_nce).* at step \d"):
        train(config, work_dir=tmp_path, quiet=True)


def test_retrieval_is_validated_by_the_score_that_was_trained(toys, make_config, tmp_path):
    config = make_config(
        objectives=[{"type": "info_nce", "slots": ["left", "word"], "labels": "class"}],
        train_cfg={"max_iters": 120, "val_interval": 60},
        val_dataloader={"dataset": {"type": "toy_triples", "size": 24, "seed": 1}, "batch_size": 10},
        val_evaluator={"type": "retrieval", "query": ["left"], "target": "word", "label": "class"},
    )
    config["model"]["layer_scale"] = 1.0  # from 1e-6 the class token would see nothing in so few steps
    result = train(config, work_dir=tmp_path, quiet=True)
    assert result.metrics["queries"] == 24 and result.metrics["r1"] > 0.5
