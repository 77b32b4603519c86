"""Batches: order, slot dropout, tables; optimizer groups and schedules."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch

from omni.data.processor import Processor
from omni.engine.items import BatchItems, FeatureTable
from omni.engine.optim import build_schedulers, parameter_groups
from omni.engine.sampling import EpochBatchSampler, EvaluationSampler, keep_slots
from omni.engine.tables import TableItems
from omni.errors import ConfigError
from omni.types import Sample


def take(sampler, count):
    return list(itertools.islice(iter(sampler), count))


def test_an_epoch_holds_every_sample_once_and_starting_late_changes_nothing():
    sampler = EpochBatchSampler(30, batch_size=6, seed=1)
    batches = take(sampler, 12)
    for epoch in range(2):
        chosen = [index for batch in batches[epoch * 5 : epoch * 5 + 5] for _, index in batch]
        assert sorted(chosen) == list(range(30))
    assert batches[:5] != [[(0, index) for _, index in batch] for batch in batches[5:10]]
    for start in (1, 5, 7):
        late = EpochBatchSampler(30, batch_size=6, seed=1)
        late.start = start
        assert take(late, 12 - start) == batches[start:]


def test_two_processes_share_the_batches_of_one():
    one = take(EpochBatchSampler(30, batch_size=6, seed=1), 7)
    halves = [take(EpochBatchSampler(30, batch_size=3, seed=1, rank=rank, world=2), 7) for rank in range(2)]
    assert [a + b for a, b in zip(*halves, strict=True)] == one
    seen = [
        index
        for rank in range(2)
        for batch in EvaluationSampler(7, batch_size=2, rank=rank, world=2)
        for _, index in batch
    ]
    assert seen == list(range(7))


def test_slot_dropout_keeps_its_rates_and_never_empties_a_sample():
    generator = torch.Generator().manual_seed(0)
    present = torch.rand(20000, 3, generator=generator) < 0.8
    present[:, 0] |= ~present.any(1)
    kept = keep_slots(present, torch.tensor([0.3, 0.0, 0.9]), generator)
    assert bool((present | ~kept).all()) and bool(kept.any(1).all())
    both = present[:, 0] & present[:, 1]
    assert float(kept[both, 0].float().mean()) == pytest.approx(0.7, abs=0.02)
    assert bool((kept[:, 1] == present[:, 1]).all())
    assert bool(keep_slots(present, torch.tensor([0.999, 0.999, 0.999]), generator).sum(1).eq(1).float().mean() > 0.99)


def samples(size):
    rng = np.random.default_rng(0)
    words = ["".join(chr(97 + letter) for letter in rng.integers(0, 26, rng.integers(2, 9))) for _ in range(size)]
    made = [
        Sample(id=str(i), values={"left": np.zeros(8, np.float32), "word": words[i]}, targets={"class": i})
        for i in range(size)
    ]
    for index, sample in enumerate(made):
        sample.keys["left"] = f"k{index % 5}"
        if index % 7 == 3:
            del sample.values["word"]
    return made


def test_tables_give_the_batches_of_the_slow_path(toy_plugin):
    data = samples(40)
    processor = Processor({"left": {"modality": "stripe"}, "word": {}})
    cached = {"left": FeatureTable({f"k{i}": i for i in range(5)}, torch.randn(5, 6))}
    slow, fast = BatchItems(data, processor, cached=cached), TableItems(data, processor, cached=cached)
    draws = [(0, index) for index in (3, 17, 8, 0, 10, 25)]
    a, b = slow.__getitems__(draws), fast.__getitems__(draws)
    assert (
        a.ids == b.ids and torch.equal(a.targets["class"], b.targets["class"]) and torch.equal(a.indices_B, b.indices_B)
    )
    for slot in ("left", "word"):
        assert torch.equal(a.present[slot], b.present[slot])
        assert a.inputs[slot].keys() == b.inputs[slot].keys()
        assert all(torch.equal(value, b.inputs[slot][key]) for key, value in a.inputs[slot].items())


def test_a_batch_of_512_from_tables_is_quick(toy_plugin):
    data = samples(2048)
    cached = {"left": FeatureTable({f"k{i}": i for i in range(5)}, torch.randn(5, 128))}
    items = TableItems(data, Processor({"left": {"modality": "stripe"}, "word": {}}), cached=cached)
    draws = [(0, index) for index in range(512)]
    best = min(_seconds(lambda: items.__getitems__(draws)) for _ in range(20))
    assert best < 0.005


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(4, 4)
        self.norm = torch.nn.LayerNorm(4)
        self.words = torch.nn.Embedding(5, 4)
        self.positions = torch.nn.Parameter(torch.zeros(7, 4))
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, 4))
        self.conv = torch.nn.Conv2d(1, 2, 3)


def test_weight_decay_is_for_matrices_only():
    net = Net()
    net.norm.weight.requires_grad_(False)
    groups = parameter_groups(net, lr=1.0, weight_decay=0.1, lr_scale={"conv": 0.5})
    names = {id(p): name for name, p in net.named_parameters()}
    found = {(g["weight_decay"], g["lr"]): {names[id(p)] for p in g["params"]} for g in groups}
    assert found == {
        (0.1, 1.0): {"line.weight"},
        (0.1, 0.5): {"conv.weight"},
        (0.0, 1.0): {"line.bias", "norm.bias", "words.weight", "positions", "cls_token"},
        (0.0, 0.5): {"conv.bias"},
    }
    with pytest.raises(ConfigError, match="'cnov' matches no parameter"):
        parameter_groups(net, lr=1.0, weight_decay=0.1, lr_scale={"cnov": 0.5})


def test_warmup_and_cosine_in_closed_form():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    (schedule,) = build_schedulers({"type": "warmup_cosine", "warmup": 0.2, "min_lr": 0.04}, optimizer, 20)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = [0.4 * (step + 1) / 5 for step in range(4)]
    expected += [0.04 + 0.36 * (1 + np.cos(np.pi * step / 16)) / 2 for step in range(16)]
    assert rates == pytest.approx(expected, abs=1e-12)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.04)
