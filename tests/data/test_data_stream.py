"""Streams: parts that add up, orders that do not depend on where one starts, mixtures in their proportions."""

from __future__ import annotations

import collections
import itertools
import pickle

import numpy as np
import pytest
from shard_files import SLOTS, write_shards
from torch.utils.data import DataLoader

from omni.data.datasets import ManifestDataset
from omni.data.mixing import MixedStream
from omni.data.shuffling import draws, permutation, shuffle_buffer, weighted_choices
from omni.data.stream import IterableStream, MapStream, as_stream
from omni.data.webdataset import WebDatasetStream
from omni.errors import ConfigError, InputError
from omni.types import Sample


class Numbers:
    """Samples by number."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if not 0 <= index < self.size:
            raise IndexError(index)
        return Sample(id=str(index), values={"word": "ab"}, meta={"number": index})


class Passing:
    """The same without items by number."""

    def __init__(self, size):
        self.numbers = Numbers(size)

    def __len__(self):
        return self.numbers.size

    def __iter__(self):
        return (self.numbers[index] for index in range(self.numbers.size))


def numbers(samples):
    return [sample.meta["number"] for sample in samples]


@pytest.fixture(params=["shards", "map", "iterable"])
def make(request, toy_plugin, tmp_path):
    """A stream of 23 samples: shards of uneven sizes, fewer than the parts; items by number; an iterable."""
    if request.param == "shards":
        folder = write_shards(tmp_path, [3, 14, 6])
        return lambda **options: WebDatasetStream(folder, **SLOTS, **options)
    if request.param == "map":
        return lambda **options: MapStream(Numbers(23), **options)
    return lambda **options: IterableStream(Passing(23), **options)


def test_splitmix_numbers_are_the_published_ones():
    """The first outputs of SplitMix64 for the seed 1234567, from the reference implementation's test vectors."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert draws(1234567, 0, 4).tolist() == expected and draws(1234567, 2, 2).tolist() == expected[2:]


def test_shuffling_keeps_everything_and_mixes():
    for size in (0, 1, 7, 100, 1000):
        assert sorted(shuffle_buffer(range(100), size, 3)) == list(range(100))
    assert list(shuffle_buffer(range(5), 0, 3)) == list(range(5))
    assert sorted(permutation(50, 1).tolist()) == list(range(50)) != permutation(50, 1).tolist()
    first = [next(shuffle_buffer(range(1000), 10, seed)) for seed in range(2000)]
    counts = np.bincount(first, minlength=10)
    assert len(counts) == 10 and np.abs(counts - 200).max() < 60  # 4.5 standard deviations
    moved = np.array([list(shuffle_buffer(range(300), 20, seed)).index(100) for seed in range(400)])
    assert 100 - moved.min() <= 20 and moved.mean() == pytest.approx(100, abs=3)


@pytest.mark.parametrize("shuffle", [0, 5])
def test_an_epoch_of_two_processes_with_two_workers_is_every_sample_once(make, shuffle):
    stream = make(shuffle=shuffle, seed=1)
    parts = [stream.split(rank=r, world=2, worker=w, workers=2) for r in range(2) for w in range(2)]
    epochs = [[numbers(part) for part in parts] for _ in range(2)]
    for lists in epochs:
        assert sorted(itertools.chain(*lists)) == list(range(23))
        assert max(map(len, lists)) - min(map(len, lists)) <= 1
    assert (epochs[0] != epochs[1]) == bool(shuffle)


def test_loaders_of_two_processes_with_two_workers_count_alike(make):
    seen = []
    for rank in range(2):
        part = make(shuffle=4, seed=2).split(rank=rank, world=2)
        loader = DataLoader(part, batch_size=None, num_workers=2, multiprocessing_context="fork")
        found = numbers(loader)
        assert found == numbers(make(shuffle=4, seed=2).split(rank=rank, world=2))  # the workers change no order
        seen += found
    assert sorted(seen) == list(range(23))


def test_any_number_of_processes_shares_all(make):
    for world in (1, 3, 5, 23):
        parts = [numbers(make().split(rank=rank, world=world)) for rank in range(world)]
        assert sorted(itertools.chain(*parts)) == list(range(23)) and {len(part) for part in parts} <= {
            23 // world,
            -(-23 // world),
        }


@pytest.mark.parametrize("stop", [0, 1, 6, 11, 12, 13, 20])
def test_going_on_is_exact(make, stop):
    def part():
        return make(shuffle=5, seed=3).split(rank=1, world=2, worker=0, workers=1)

    whole = part()
    expected = numbers(whole) + numbers(whole)
    first = part()
    taken = numbers(itertools.islice(itertools.chain(iter(first), iter(first)), stop))
    state = pickle.loads(pickle.dumps(first.state_dict()))
    second = part()
    second.load_state_dict(state)
    rest = numbers(second)
    while len(taken) + len(rest) < len(expected):
        rest += numbers(second)
    assert taken + rest[: len(expected) - len(taken)] == expected


def test_workers_go_on_exactly(make):
    for worker in range(2):
        part = make(shuffle=5, seed=3).split(worker=worker, workers=2, run=3)
        expected = numbers(part)
        part = make(shuffle=5, seed=3).split(worker=worker, workers=2, run=3)
        taken = numbers(itertools.islice(iter(part), 4))
        other = make(shuffle=5, seed=3).split(worker=worker, workers=2, run=3)
        other.load_state_dict(part.state_dict())
        assert taken + numbers(other) == expected


def test_a_state_of_another_order_is_refused(make):
    state = make(shuffle=5, seed=3).state_dict()
    for other in (make(shuffle=5, seed=4), make(shuffle=6, seed=3), make(shuffle=5, seed=3).split(rank=0, world=2)):
        with pytest.raises(ConfigError, match="of another order: .* was .* and is .* now"):
            other.load_state_dict(state)


def test_a_state_of_other_shards_is_refused(toy_plugin, tmp_path):
    def stream(name, sizes):
        return WebDatasetStream(write_shards(tmp_path / name, sizes), **SLOTS, shuffle=3, seed=1)

    state = stream("a", [3, 14, 6]).state_dict()
    stream("b", [3, 14, 6]).load_state_dict(state)  # the folder may have another name
    with pytest.raises(ConfigError, match=r"length was 23 and is 24 now"):
        stream("c", [3, 14, 7]).load_state_dict(state)
    with pytest.raises(ConfigError, match=r"shards\[0\] was 'part-000.tar, \d+ bytes, 3 samples' and is '.*4 samples'"):
        stream("d", [4, 13, 6]).load_state_dict(state)
    (tmp_path / "b" / "part-001.tar").rename(tmp_path / "b" / "part-009.tar")
    with pytest.raises(ConfigError, match=r"shards\[1\] was 'part-001.tar, .* is 'part-002.tar"):
        WebDatasetStream(tmp_path / "b", **SLOTS, shuffle=3, seed=1).load_state_dict(state)


def test_a_state_of_other_sources_is_refused(tmp_path):
    folders = itertools.count()

    def manifest(name, words):
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        (folder / name).write_text("\n".join(f'{{"text": "{word}"}}' for word in words))
        return ManifestDataset(folder / name)

    def mixed(**sources):
        return MixedStream(sources, ratios=[1] * len(sources), length=20, shuffle=2, seed=1)

    state = mixed(a=manifest("a.jsonl", "abc"), b=Passing(5)).state_dict()
    mixed(a=manifest("a.jsonl", "abc"), b=Passing(5)).load_state_dict(state)
    for other, said in (
        (mixed(a=manifest("a.jsonl", "abcd"), b=Passing(5)), "sources.a.length was 3 and is 4"),
        (mixed(a=manifest("b.jsonl", "abc"), b=Passing(5)), "sources.a.dataset.file was 'a.jsonl, .*'b.jsonl"),
        (mixed(a=manifest("a.jsonl", ["a", "b", "cc"]), b=Passing(5)), r"'a.jsonl, 41 bytes' and is 'a.jsonl, 42"),
        (mixed(a=manifest("a.jsonl", "abc"), b=Numbers(5)), "sources.b.type was 'IterableStream'"),
        (mixed(a=manifest("a.jsonl", "abc"), c=Passing(5)), "sources.b was .* is None"),
        (mixed(a=manifest("a.jsonl", "abc")), r"ratios were 2 and are 1 now"),
    ):
        with pytest.raises(ConfigError, match=said):
            other.load_state_dict(state)


@pytest.mark.parametrize("start", [0, 1, 10, 11, 12, 30])
def test_endless_reading_may_start_anywhere(make, start):
    def take(start, count):
        part = make(shuffle=4, seed=1).split(rank=1, world=2)
        return [part.read(ticket).meta["number"] for ticket in itertools.islice(part.endless(start), count)]

    assert take(start, 40 - start) == take(0, 40)[start:]


def test_too_few_samples_for_all_processes_is_told():
    with pytest.raises(InputError, match="process 0 of 3 gets no sample"):
        next(MapStream(Numbers(2)).split(rank=0, world=3).endless())
    with pytest.raises(InputError, match="process 2 of 3 gets no sample"):
        next(IterableStream(Passing(2)).split(rank=2, world=3).endless())
    with pytest.raises(ConfigError, match="no part rank 2 of 2"):
        MapStream(Numbers(2)).split(rank=2, world=2)


def test_lengths_are_nominal():
    assert len(IterableStream(Passing(5))) == 5 and len(IterableStream(Passing(5), length=9)) == 9
    with pytest.raises(TypeError, match="length"):
        len(IterableStream(iter([])))
    assert isinstance(as_stream(Passing(3)), IterableStream) and isinstance(as_stream(Numbers(3)), MapStream)


def test_weighted_choices_keep_proportions_in_every_stretch():
    weights = np.array([0.5, 0.3, 0.2])
    chosen = weighted_choices(weights, 7, 0, 5000)
    for at in range(0, 5000, 100):
        counts = collections.Counter(chosen[at : at + 100].tolist())
        assert all(abs(counts[source] - 100 * weight) <= 3 for source, weight in enumerate(weights))
    assert (weighted_choices(weights, 7, 1234, 100) == chosen[1234:1334]).all()
