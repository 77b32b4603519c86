"""Mixtures: every sample once by size, exact ratios otherwise, the same from any place and in any worker."""

from __future__ import annotations

import collections
import itertools

import pytest
from shard_files import SLOTS, write_shards

from omni.data.mixing import MixedStream
from omni.data.stream import IterableStream
from omni.data.webdataset import WebDatasetStream
from omni.errors import ConfigError
from omni.types import Sample


def samples(count, slot="word"):
    return [Sample(id=str(index), values={slot: "ab"}) for index in range(count)]


@pytest.fixture
def sources(toy_plugin, tmp_path):
    shards = WebDatasetStream(write_shards(tmp_path, [5, 9]), **SLOTS)
    return {"shards": shards, "list": samples(7, "stripe"), "few": samples(2)}


@pytest.mark.parametrize("run", [1, 3])
@pytest.mark.parametrize("shuffle", [0, 4])
def test_by_size_an_epoch_is_every_sample_once(sources, shuffle, run):
    parts = [
        MixedStream(sources, shuffle=shuffle, seed=1, run=run).split(rank=r, world=2, worker=w, workers=2)
        for r in range(2)
        for w in range(2)
    ]
    epochs = [[[sample.id for sample in part] for part in parts] for _ in range(2)]
    for lists in epochs:
        seen = list(itertools.chain(*lists))
        assert len(seen) == len(set(seen)) == 23 == len(parts[0])
        assert collections.Counter(name.split("/")[0] for name in seen) == {"shards": 14, "list": 7, "few": 2}
    assert (epochs[0] != epochs[1]) or not shuffle


def test_sources_and_their_slots_are_told(sources):
    mixed = MixedStream(sources)
    assert mixed.slots == ("left", "word") or set(mixed.slots) >= {"left", "word"}
    by_source = {sample.meta["source"]: sample for sample in mixed}
    assert by_source["list"].values == {"stripe": "ab"} and by_source["few"].values == {"word": "ab"}
    assert by_source["shards"].id.startswith("shards/part-00")
    assert "source" not in sources["list"][0].meta and sources["list"][0].id == "0"


def test_ratios_hold_in_every_stretch_and_sources_are_read_through(sources):
    mixed = MixedStream(sources, ratios={"shards": 1, "list": 2, "few": 1}, shuffle=3, seed=2, length=40)
    assert len(mixed) == 40
    drawn = [mixed.read(ticket).id for ticket in itertools.islice(mixed.endless(), 400)]
    for at in range(0, 400, 20):
        counts = collections.Counter(name.split("/")[0] for name in drawn[at : at + 20])
        assert abs(counts["list"] - 10) <= 2 and abs(counts["shards"] - 5) <= 2 and abs(counts["few"] - 5) <= 2
    for source, size in (("shards", 14), ("list", 7), ("few", 2)):
        own = [name for name in drawn if name.startswith(f"{source}/")]
        for at in range(0, len(own) - size, size):
            assert len(set(own[at : at + size])) == size  # none again before all have been seen


@pytest.mark.parametrize("options", [{}, {"ratios": [3, 1, 1]}, {"ratios": [3, 1, 1], "run": 4, "length": 10}])
@pytest.mark.parametrize("start", [0, 1, 9, 10, 11, 25, 60])
def test_any_start_gives_the_rest(sources, options, start):
    def take(start, count):
        part = MixedStream(sources, shuffle=4, seed=3, **options).split(rank=1, world=2)
        return [part.read(ticket).id for ticket in itertools.islice(part.endless(start), count)]

    assert take(start, 90 - start) == take(0, 90)[start:]


def test_state_goes_on_exactly(sources):
    def part():
        return MixedStream(sources, ratios=[1, 1, 1], shuffle=4, seed=3).split(worker=1, workers=2)

    whole, first, second = part(), part(), part()
    expected = [sample.id for sample in itertools.chain(whole, whole)]
    taken = [sample.id for sample in itertools.islice(first, 5)]
    second.load_state_dict(first.state_dict())
    assert taken + [sample.id for sample in itertools.chain(second, second)] == expected
    with pytest.raises(ConfigError, match="ratios"):
        MixedStream(sources, ratios=[1, 2, 1], shuffle=4, seed=3).split(worker=1, workers=2).load_state_dict(
            first.state_dict()
        )


def test_runs_make_batches_of_one_source(sources):
    mixed = MixedStream(sources, ratios=[1, 1, 2], run=4, seed=5, length=64)
    names = [sample.meta["source"] for sample in mixed]
    assert len(names) == 64 and all(len(set(names[at : at + 4])) == 1 for at in range(0, 64, 4))
    assert abs(collections.Counter(names)["few"] - 32) <= 4


def test_built_from_a_config(toy_plugin, tmp_path):
    from omni.registry import DATASETS

    write_shards(tmp_path / "shards", [4])
    (tmp_path / "m.jsonl").write_text('{"word": "cat"}\n{"word": "dog"}\n')
    mixed = DATASETS.build(
        {
            "type": "mixed",
            "sources": {
                "a": {"type": "webdataset", "shards": str(tmp_path / "shards"), **SLOTS},
                "b": {"type": "manifest", "path": str(tmp_path / "m.jsonl")},
            },
        }
    )
    assert sorted(sample.id.split("/")[0] for sample in mixed) == ["a"] * 4 + ["b"] * 2


def test_what_cannot_be_mixed(sources):
    for arguments, said in (
        (({},), "no sources"),
        ((sources, [1, 2]), "must be 3 positive numbers"),
        ((sources, [1, 2, 0]), "must be 3 positive numbers"),
        ((sources, {"shards": 1, "list": 2, "fwe": 1}), "differ in 'few', 'fwe'"),
        (([IterableStream(samples(3))],), "not known beforehand"),
        (([iter(samples(3))], [1]), "not known beforehand"),
    ):
        with pytest.raises(ConfigError, match=said):
            MixedStream(arguments[0], ratios=arguments[1] if len(arguments) > 1 else None)
    with pytest.raises(ConfigError, match="run is 0"):
        MixedStream(sources, run=0)
    assert len(list(MixedStream([IterableStream(samples(3))], ratios=[1]))) == 3
