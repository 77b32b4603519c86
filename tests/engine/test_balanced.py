"""Balanced sampling: shares of groups by counting, the same from any place, each group gone through evenly."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest
import torch

from omni import config as configs
from omni.engine import checkpoint, train
from omni.engine.balanced import BalancedBatchSampler, group_numbers
from omni.errors import ConfigError
from omni.types import Sample

SIZES = (100, 40, 9, 1)
GROUPS = np.repeat(np.arange(4), SIZES)


def sampler(**options):
    return BalancedBatchSampler(GROUPS, **{"batch_size": 20, "seed": 3, **options})


def batches(made, count, start=0):
    made.start = start
    return list(itertools.islice(iter(made), count))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_shares_are_powers_of_the_sizes_in_all_and_in_each_batch(power):
    shares = np.array(SIZES, float) ** power
    shares /= shares.sum()
    made = batches(sampler(power=power), 300)
    total = np.bincount(GROUPS[[index for batch in made for _, index in batch]], minlength=4)
    assert np.abs(total - shares * 6000).max() <= 3
    for batch in made:
        counts = np.bincount(GROUPS[[index for _, index in batch]], minlength=4)
        assert len(batch) == 20 and np.abs(counts - shares * 20).max() <= 3


def test_every_sample_of_a_group_comes_before_any_comes_again():
    drawn = list(itertools.chain(*batches(sampler(), 200)))
    assert len(set(drawn)) == len(drawn)  # (round, index): so each round has its own augmentation
    for group, size in enumerate(SIZES):
        mine = [index for _, index in drawn if GROUPS[index] == group]
        rounds = [mine[at : at + size] for at in range(0, len(mine) - size + 1, size)]
        assert all(len(set(items)) == size for items in rounds)
        assert [turn for turn, index in drawn if GROUPS[index] == group] == [at // size for at in range(len(mine))]
        if size > 5:
            assert rounds[0] != rounds[1] and sorted(rounds[0]) != rounds[0]
    counts = collections.Counter(index for _, index in drawn if GROUPS[index] == 0)
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("start", [1, 7, 113])
def test_it_goes_on_from_any_batch(start):
    assert batches(sampler(power=0.5), 5, start) == batches(sampler(power=0.5), start + 5)[start:]
    assert batches(sampler(), 5) != batches(sampler(seed=4), 5) and batches(sampler(), 3) == batches(sampler(), 3)


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_draws_of_one(world):
    whole = batches(sampler(batch_size=6 * world), 10)
    parts = [batches(sampler(batch_size=6, rank=rank, world=world), 10) for rank in range(world)]
    assert [list(itertools.chain(*step)) for step in zip(*parts, strict=True)] == whole
    drawn = list(itertools.chain(*itertools.chain(*parts)))
    assert len(set(drawn)) == len(drawn)


def test_without_shuffle_each_group_keeps_its_order():
    drawn = [index for batch in batches(sampler(shuffle=False), 20) for _, index in batch if GROUPS[index] == 0]
    assert drawn == [n % 100 for n in range(len(drawn))]


def test_a_batch_may_be_larger_than_the_data():
    made = BalancedBatchSampler(np.array([0, 0, 1]), batch_size=8, seed=0)
    assert [sorted(index for _, index in batch) for batch in batches(made, 3)] == [[0, 0, 1, 1, 2, 2, 2, 2]] * 3


def test_groups_are_told_by_fields():
    def sample(**fields):
        return Sample(id="s", values={}, targets={"class": fields.get("kind")}, meta=fields)

    many = [sample(kind=1, tongue="fr"), sample(kind=2, tongue="fr"), sample(kind=torch.tensor(1), tongue="de")]
    assert group_numbers(many, ["class"]).tolist() == [0, 1, 0]
    assert group_numbers(many, ["tongue"]).tolist() == [0, 0, 1]
    assert group_numbers(many, ["class", "tongue"]).tolist() == [0, 1, 2]
    with pytest.raises(ConfigError, match="no 'clas' in its targets or metadata.*Did you mean 'class'"):
        group_numbers(many, ["clas"])
    with pytest.raises(ConfigError, match="'kind' of sample 's' is a list"):
        group_numbers([sample(kind=[1, 2])], ["kind"])


def balanced(make_config, **loader):
    config = make_config(custom_hooks=[])
    config["train_dataloader"].update(sampler={"type": "balanced", "by": "class", "power": 0.5}, **loader)
    return config


@pytest.mark.parametrize("workers", [0, 2])
def test_a_balanced_run_stops_and_goes_on_bit_for_bit(toys, make_config, tmp_path, workers):
    config = balanced(make_config, num_workers=workers)
    whole = train(config, work_dir=tmp_path / "whole", quiet=True)
    folder = tmp_path / "whole" / "checkpoints" / "train"
    found = checkpoint.steps(folder)
    assert [step for step, _ in found][-2:] == [9, 12]
    found[-1][1].unlink()
    again = train(config, work_dir=tmp_path / "whole", resume=True, quiet=True)
    assert all(torch.equal(value, again.model.state_dict()[name]) for name, value in whole.model.state_dict().items())
    assert "resumed from" in (folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("loader", "match"),
    [
        ({"sampler": {"type": "balancd", "by": "class"}}, "Did you mean 'balanced'"),
        ({"sampler": {"type": "balanced"}}, "sampler needs `by`"),
        ({"sampler": {"type": "balanced", "by": "class", "power": -1}}, "sampler.power is -1"),
        ({"sampler": {"type": "balanced", "by": "class", "pow": 1}}, "sampler has no key 'pow'"),
        ({"sampler": {"type": "balanced", "by": "class"}, "buckets": {"by": "word"}}, "both choose the samples"),
        ({"sampler": {"type": "balanced", "by": "class"}, "dataset": {"type": "toy_stream"}}, "stream has no sampler"),
    ],
)
def test_what_cannot_be_meant_is_refused(toys, make_config, tmp_path, loader, match):
    config = make_config()
    config["train_dataloader"].update(loader)
    with pytest.raises(ConfigError, match=match):
        train(config, work_dir=tmp_path, quiet=True)
    assert configs.load(make_config())  # sound without it
