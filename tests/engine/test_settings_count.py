"""Each setting of a run changes what it says: schedule, clipping, accumulation, averages, precision, missing slots."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from omni.engine import train
from omni.engine.ema import EmaHook


def records(folder, kind="train"):
    lines = (folder / "scalars.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def weights(result):
    return {name: value.clone() for name, value in result.model.state_dict().items()}


def distance(a, b):
    return math.sqrt(sum(float((a[name].double() - b[name].double()).square().sum()) for name in a))


def every_step(make_config, **changes):
    changes = {"default_hooks": {"logger": {"interval": 1}}} | changes
    return make_config(**changes)


def test_the_learning_rate_in_the_log_is_the_schedule(toys, make_config, tmp_path):
    train(every_step(make_config, train_cfg={"max_iters": 10}), work_dir=tmp_path, quiet=True)
    expected = [1.5e-3, *(3e-3 * (1 + math.cos(math.pi * step / 9)) / 2 for step in range(9))]
    assert [record["lr"] for record in records(tmp_path)] == pytest.approx(expected, rel=1e-6)


def test_gradients_are_clipped_to_the_norm(toys, make_config, tmp_path):
    """Plain gradient descent at rate 1 moves the weights by exactly the clipped norm."""
    moved = []
    for norm in (1e-3, 1e-4):
        config = every_step(make_config, train_cfg={"max_iters": 1}, param_scheduler=[])
        optimizer = {"type": "SGD", "lr": 0.0, "weight_decay": 0.0}
        config["optim_wrapper"] = {"optimizer": optimizer, "clip_grad": {"max_norm": norm}}
        start = weights(train(config, work_dir=tmp_path / f"start{norm}", quiet=True))
        optimizer["lr"] = 1.0
        end = weights(train(config, work_dir=tmp_path / f"end{norm}", quiet=True))
        assert records(tmp_path / f"end{norm}")[0]["grad_norm"] > norm
        moved.append(distance(start, end))
    assert moved == pytest.approx([1e-3, 1e-4], rel=0.02)


def test_accumulation_updates_once_in_so_many_steps(toys, make_config, tmp_path, monkeypatch):
    calls = []
    original = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, *a, **k: calls.append(1) or original(self, *a, **k))
    config = make_config(train_cfg={"max_iters": 12})
    config["optim_wrapper"] = {"optimizer": {"type": "SGD", "lr": 1e-2}, "accumulative_counts": 3}
    train(config, work_dir=tmp_path, quiet=True)
    assert len(calls) == 4


def test_average_in_closed_form():
    """decay = min(0.5, (1 + t) / (10 + t)); only every second step counts; swapping twice is nothing."""
    module = nn.Linear(1, 1, bias=False).double()
    frozen = nn.Linear(1, 1, bias=False).requires_grad_(False)
    both = nn.ModuleList([module, frozen])
    hook = EmaHook(decay=0.5, every=2)
    module.weight.data.fill_(0.0)
    hook.start(both)
    assert list(hook.average) == ["0.weight"]
    expected = 0.0
    for step in range(30):
        module.weight.data.fill_(float(step))
        hook.after_train_iter(SimpleNamespace(iter=step, training_model=both), 0)
        if step % 2:
            updates = (step + 1) // 2
            decay = min(0.5, (1 + updates) / (10 + updates))
            expected = decay * expected + (1 - decay) * step
        assert float(hook.average["0.weight"]) == pytest.approx(expected, abs=1e-12)
    hook.swap(both)
    assert module.weight.item() == pytest.approx(expected, abs=1e-12) and float(hook.average["0.weight"]) == 29.0
    hook.swap(both)
    assert module.weight.item() == 29.0


def test_the_average_is_what_is_exported(toys, make_config, tmp_path):
    live = weights(train(make_config(), work_dir=tmp_path / "live", quiet=True))
    result = train(make_config(ema={"decay": 0.9}), work_dir=tmp_path / "average", quiet=True)
    folder = tmp_path / "average/checkpoints/train"
    (last,) = [torch.load(path, weights_only=True) for path in folder.glob("step_*12.pth")]
    trained = {name.removeprefix("model."): value for name, value in last["state_dict"].items()}
    assert distance(live, {name: trained[name] for name in live}) == 0.0
    assert distance(live, weights(result)) > 1e-3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_autocast_changes_the_numbers_and_not_the_weights_type(toys, make_config, tmp_path, dtype):
    results = {}
    for name in ("float32", dtype):
        config = every_step(make_config, train_cfg={"max_iters": 4})
        config["model"]["layer_scale"] = 1.0
        config["optim_wrapper"]["dtype"] = name
        results[name] = weights(train(config, work_dir=tmp_path / name, quiet=True))
        assert all(value.dtype == torch.float32 for value in results[name].values() if value.is_floating_point())
    full, half = (records(tmp_path / name)[0]["loss"] for name in ("float32", dtype))
    assert half != full and half == pytest.approx(full, rel=0.02)
    assert distance(results["float32"], results[dtype]) > 0


def test_tensorboard_has_the_numbers_of_the_log(toys, make_config, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(every_step(make_config, tensorboard=True, train_cfg={"max_iters": 5}), work_dir=tmp_path, quiet=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (name,) = [tag for tag in events.Tags()["scalars"] if tag.endswith("/loss") or tag == "loss"]
    shown = {event.step: event.value for event in events.Scalars(name)}
    assert shown == {record["step"]: pytest.approx(record["loss"], rel=1e-6) for record in records(tmp_path)}
    assert len(shown) == 5


@pytest.mark.parametrize("lacking", ["left", "right", "word"])
def test_samples_may_lack_any_slot(toys, make_config, tmp_path, lacking):
    """Every third sample lacks the slot; the log counts those that took part."""
    original = toys.ToyTriples.__getitem__

    def get(self, index):
        sample = original(self, index)
        if index % 3 == 0:
            del sample.values[lacking]
        return sample

    config = every_step(make_config, train_cfg={"max_iters": 4})
    config["train_dataloader"] = {"dataset": {"type": "toy_triples", "size": 12}, "batch_size": 12}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toys.ToyTriples, "__getitem__", get)
        result = train(config, work_dir=tmp_path, quiet=True)
    stands_in = lacking == "right"  # the one slot with a learnt missing embedding
    for record in records(tmp_path):
        assert math.isfinite(record["loss"])
        assert record["symile/count_tuples"] == (12 if stands_in else 8)
        assert record["info_nce/count_left_word"] == (12 if stands_in else 8)
    start = train(config | {"train_cfg": {"max_iters": 1}}, work_dir=tmp_path / "start", quiet=True)
    (name,) = [name for name in weights(result) if name.startswith("missing.")]
    moved = not torch.equal(weights(result)[name], weights(start)[name])
    assert moved == stands_in
