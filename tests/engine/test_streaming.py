"""Training from streams: batches by number, whatever the workers; bad items left out; buckets; resuming."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

from shard_files import SLOTS, add, write_shards  # noqa: E402

from omni.data.buckets import bucketed_order, padding_share, sample_lengths  # noqa: E402
from omni.data.processor import Processor  # noqa: E402
from omni.data.stream import as_stream  # noqa: E402
from omni.data.webdataset import WebDatasetStream  # noqa: E402
from omni.engine import train  # noqa: E402
from omni.engine.items import BatchItems  # noqa: E402
from omni.engine.sampling import BucketBatchSampler  # noqa: E402
from omni.engine.stream_items import StreamItems, StreamLoader  # noqa: E402
from omni.errors import ConfigError, InputError, TrainingError  # noqa: E402
from omni.types import Sample  # noqa: E402

PROCESSOR = {"left": {"modality": "stripe"}, "word": {}}


@pytest.fixture
def shards(toys, tmp_path):
    return write_shards(tmp_path / "shards", [7, 20, 13])


def items(folder, **options):
    stream = WebDatasetStream(folder, **SLOTS, targets=["class"])
    return StreamItems(stream, Processor(PROCESSOR), **{"batch_size": 6, "seed": 4, **options})


def loader(source, workers):
    return StreamLoader(
        source, batch_size=None, collate_fn=lambda batch: batch, num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip


def take(source, count, *, start=0, workers=0):
    source.start = start
    return list(itertools.islice(loader(source, workers), count))


def same(a, b):
    assert a.ids == b.ids and a.inputs.keys() == b.inputs.keys()
    assert all(torch.equal(value, b.inputs[slot][key]) for slot in a.inputs for key, value in a.inputs[slot].items())


@pytest.mark.parametrize("more", [{}, {"buckets": ("left", 3), "views": 2}, {"slot_dropout": {"left": 0.3}}])
def test_batches_depend_on_their_number_alone(shards, more):
    """Two workers give the batches of none, augmentation included, from any start."""
    expected = take(items(shards, **more), 16)
    assert len({tuple(batch.ids) for batch in expected}) == 16
    for start, workers in ((0, 2), (5, 0), (6, 2), (13, 2)):
        for mine, other in zip(
            take(items(shards, **more), 16 - start, start=start, workers=workers), expected[start:], strict=True
        ):
            same(mine, other)
    epoch = [name for batch in expected for name in batch.ids][:40]
    assert "buckets" in more or len(set(epoch)) == 40


def test_two_processes_with_two_workers_see_every_sample_once_an_epoch(shards):
    for epoch in range(2):
        seen = []
        for rank in range(2):
            source = items(shards, rank=rank, world=2, batch_size=5)
            assert len(loader(source, 0)) == 4
            for batch in take(source, 4, start=4 * epoch, workers=2):
                seen += batch.ids
        assert len(seen) == 40 and len(set(seen)) == 40


def test_evaluation_is_one_epoch_in_order(shards):
    batches = list(loader(items(shards, training=False), 2))
    names = [name for batch in batches for name in batch.ids]
    assert [len(batch) for batch in batches] == [6] * 6 + [4] and names == sorted(names) and len(set(names)) == 40


def with_bad(folder):
    """Three bad samples: two stripes that are too short, and one that is none."""
    import tarfile

    with tarfile.open(folder / "part-001.tar", "a") as archive:
        add(archive, "z0.left.npy", b"not numbers")
        for number in (1, 2):
            add(archive, f"z{number}.txt", b"7")  # no letter
    return folder


def test_bad_samples_leave_the_others_where_they_were(shards):
    with pytest.raises(InputError, match="part-001/z"):
        take(items(with_bad(shards)), 8)
    source = items(shards, skip_bad=True)
    batches = take(source, 8, workers=2)
    order = [source.stream.place(t)[0] for t in itertools.islice(source.stream.endless(), 48)]
    for number, batch in enumerate(batches):
        wanted = order[6 * number : 6 * number + 6]
        assert batch.ids == [name for name in wanted if "/z" not in name]
        assert [item.id for item in batch.bad] == [name for name in wanted if "/z" in name]
    bad = [item for batch in batches for item in batch.bad]
    assert {item.id[-2:] for item in bad} == {"z0", "z1", "z2"}
    assert {item.id[-2:]: item.slot for item in bad} == {"z0": "left", "z1": "word", "z2": "word"}
    assert {item.position for item in bad} == {27, 28, 29}
    for start in (3, 5):
        for mine, other in zip(take(items(shards, skip_bad=True), 2, start=start), batches[start:], strict=False):
            same(mine, other)


def test_a_batch_without_a_good_sample_takes_the_next_one(shards):
    stream = WebDatasetStream(with_bad(shards) / "part-001.tar", **SLOTS)
    source = StreamItems(stream, Processor(PROCESSOR), batch_size=1, skip_bad=True, shuffle=False)
    batches = take(source, 24)
    assert [batch.ids for batch in batches[19:]] == [["part-001/s0026"], *[["part-001/s0007"]] * 4]
    assert [len(batch.bad) for batch in batches[19:]] == [0, 3, 2, 1, 0]
    evaluation = StreamItems(stream, Processor(PROCESSOR), batch_size=1, skip_bad=True, training=False)
    assert [len(batch) for batch in loader(evaluation, 0)][19:] == [1, 0, 0, 0]
    with pytest.raises(TrainingError, match="samples in a row cannot be read"):
        words = [Sample(id="a", values={"word": "7"})]
        take(StreamItems(as_stream(words), Processor(PROCESSOR), batch_size=1, skip_bad=True), 1)


def test_bad_items_of_map_style_data_too(toys):
    data = [Sample(id=f"s{i}", values={"word": "7" if i in (2, 5, 6) else "ab"}) for i in range(8)]
    plain = BatchItems(data, Processor({"word": {}}), training=True)
    with pytest.raises(InputError, match="Sample 's2'"):
        plain.__getitems__([(0, 2)])
    skipping = BatchItems(data, Processor({"word": {}}), training=True, skip_bad=True)
    batch = skipping.__getitems__([(0, 1), (0, 2), (0, 4)])
    assert batch.ids == ["s1", "s4"] and batch.indices_B.tolist() == [1, 4]
    assert [(item.id, item.position, item.slot) for item in batch.bad] == [("s2", 2, "word")]
    assert skipping.__getitems__([(0, 5)]).ids == ["s7"]
    evaluation = BatchItems(data, Processor({"word": {}}), skip_bad=True).__getitems__([(0, 5)])
    assert evaluation.ids == [] and [item.id for item in evaluation.bad] == ["s5"]


def test_buckets_of_stripes_pad_less(toys):
    rng = np.random.default_rng(0)
    sizes = rng.integers(4, 200, 400)
    data = [Sample(id=str(i), values={"left": np.zeros(size, np.float32)}) for i, size in enumerate(sizes)]
    lengths = sample_lengths(data, "left")
    assert (lengths == sizes).all()
    sampler = BucketBatchSampler(lengths, pool=10, batch_size=8, seed=1)
    batches = list(itertools.islice(iter(sampler), 100))
    for epoch in range(2):
        chosen = [index for batch in batches[50 * epoch : 50 * epoch + 50] for _, index in batch]
        assert sorted(chosen) == list(range(400))
        assert padding_share(lengths[chosen], 8) < 0.12 < 0.4 < padding_share(lengths, 8)
    assert batches[:50] != [[(0, index) for _, index in batch] for batch in batches[50:]]
    means = [lengths[[index for _, index in batch]].mean() for batch in batches[:50]]
    assert abs(np.corrcoef(means, range(50))[0, 1]) < 0.5  # long ones do not come last
    halves = [BucketBatchSampler(lengths, pool=10, batch_size=4, seed=1, rank=rank, world=2) for rank in range(2)]
    both = [a + b for a, b in zip(*(itertools.islice(iter(half), 100) for half in halves), strict=True)]
    assert both == batches
    sampler.start = 63
    assert list(itertools.islice(iter(sampler), 37)) == batches[63:]


def test_what_is_left_over_in_buckets_is_no_matter_of_length():
    lengths = np.arange(103.0)
    order = np.random.default_rng(0).permutation(103)
    made = bucketed_order(order, lengths, batch=10, pool=4, seed=1)
    assert sorted(made) == list(range(103)) and (made[100:] == order[100:]).all()


def test_lengths_are_asked_of_metadata_slots_and_files(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"12345")
    sample = Sample(id="a", values={"word": "abc", "left": tmp_path / "a.npy", "right": b"xy"}, meta={"seconds": "1.5"})
    assert [sample_lengths([sample], by)[0] for by in ("seconds", "word", "left", "right")] == [1.5, 3, 5, 2]
    with pytest.raises(ConfigError, match="no sample has a number"):
        sample_lengths([sample], "secnods")


def config_of(make_config, folder, **loader_options):
    config = make_config(objectives=[{"type": "info_nce", "slots": ["left", "word"]}])
    config["model"].update(slots={"left": "stripe", "word": "word"}, missing=[])
    config["processor"] = PROCESSOR
    dataset = {"type": "webdataset", "shards": str(folder), **SLOTS}
    config["train_dataloader"] = {"dataset": dataset, "batch_size": 6, **loader_options}
    config["val_dataloader"] = {"dataset": dataset, "batch_size": 7}
    return config


def test_training_from_shards_with_bad_items(shards, make_config, tmp_path, capsys):
    config = config_of(make_config, with_bad(shards), num_workers=1, prefetch=3, buckets={"by": "left", "pool": 2})
    with pytest.raises(InputError, match="part-001/z"):
        train(config, work_dir=tmp_path / "raise", quiet=True)
    whole = train(config, work_dir=tmp_path / "skip", on_bad="skip")
    printed = capsys.readouterr().out
    assert "3 bad items left out" in printed and "bad_items.jsonl" in printed
    lines = [json.loads(line) for line in (tmp_path / "skip" / "bad_items.jsonl").read_text().splitlines()]
    assert sorted(line["id"][-2:] for line in lines) == ["z0", "z1", "z2"]
    records = [json.loads(line) for line in (tmp_path / "skip" / "scalars.jsonl").read_text().splitlines()]
    assert [r["bad_items"] for r in records if r["kind"] == "train"][-1] == 3
    for path in (tmp_path / "skip" / "checkpoints" / "train").glob("step_00000012.pth"):
        path.unlink()
    again = train(config, work_dir=tmp_path / "skip", on_bad="skip", resume=True, quiet=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name
    assert len((tmp_path / "skip" / "bad_items.jsonl").read_text().splitlines()) == 3


def test_going_on_with_other_data_is_refused(shards, make_config, tmp_path):
    config = config_of(make_config, shards)
    config["train_cfg"] = {"max_iters": 4}
    config["default_hooks"] = {"checkpoint": {"interval": 2}}
    whole = train(config, work_dir=tmp_path / "run", quiet=True)
    (tmp_path / "run/checkpoints/train/step_00000004.pth").unlink()

    def go_on(**changes):
        return train({**config, **changes}, work_dir=tmp_path / "run", resume=True, quiet=True)

    other = write_shards(tmp_path / "other", [7, 21, 12])
    said = r"Stage 'train': the data is not that of the checkpoint: shards\[1\] was 'part-001.tar, \d+ bytes, 20 "
    with pytest.raises(ConfigError, match=said):
        go_on(train_dataloader=config_of(make_config, other)["train_dataloader"])
    with pytest.raises(ConfigError, match="seed was .* and is .* now"):
        go_on(seed=config.get("seed", 0) + 1)
    with pytest.raises(ConfigError, match="shuffle was 1000 and is 0 now"):
        go_on(train_dataloader={**config["train_dataloader"], "shuffle": False})
    with pytest.raises(ConfigError, match="type was 'WebDatasetStream'"):
        as_list = {"type": "mixed", "sources": [config["train_dataloader"]["dataset"]]}
        go_on(train_dataloader={**config["train_dataloader"], "dataset": as_list})
    shards.rename(tmp_path / "moved")  # where the shards lie is no matter
    there = config_of(make_config, tmp_path / "moved")
    moved = go_on(**{key: there[key] for key in ("train_dataloader", "val_dataloader")})
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, moved.model.state_dict()[name]), name


def test_going_on_with_more_or_fewer_items_is_refused(toys, make_config, tmp_path):
    config = make_config()
    config["train_cfg"] = {"max_iters": 2}
    config["train_dataloader"] = {"dataset": toys.ToyTriples(), "batch_size": 6}
    train(config, work_dir=tmp_path, quiet=True)

    class Fewer(toys.ToyTriples):
        def __len__(self):
            return super().__len__() - 1

    config["train_dataloader"] = {"dataset": Fewer(), "batch_size": 6}
    with pytest.raises(ConfigError, match=r"samples was (\d+) and is \d+ now"):
        train(config, work_dir=tmp_path, resume=True, quiet=True)


def test_tables_and_cached_features_leave_bad_items_out(toys, make_config, tmp_path):
    class Some(toys.ToyTriples):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            if index % 9 == 4:
                sample.values["left"] = np.zeros(2, np.float32)
            return sample

    config = make_config(on_bad="skip", cache=["left"], freeze=["adapters.stripe", "core"])
    config["train_dataloader"] = {"dataset": Some(), "batch_size": 12, "views": 1}
    train(config, work_dir=tmp_path, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "bad_items.jsonl").read_text().splitlines()]
    assert [line["position"] for line in lines] == [4, 13, 22, 31, 40]
    assert {line["id"] for line in lines} == {f"t{index}" for index in (4, 13, 22, 31, 40)}


def test_settings_that_cannot_be_meant(shards, make_config, tmp_path):
    for change, said in (
        ({"prefetch": 2}, "prefetch is 2 with num_workers=0"),
        ({"buckets": {"by": "left", "size": 3}}, "buckets has no setting 'size'"),
        ({"buckets": {"pool": 3}}, "needs `by`"),
        ({"buckets": {"by": "seconds"}}, "bytes of a slot"),
    ):
        with pytest.raises(ConfigError, match=said):
            train(config_of(make_config, shards, **change), work_dir=tmp_path / "x", quiet=True)
    with pytest.raises(ConfigError, match="on_bad is 'ignore'"):
        train(config_of(make_config, shards), work_dir=tmp_path / "x", on_bad="ignore", quiet=True)


def test_the_length_of_a_loader_is_nominal(shards, recwarn):
    made = loader(items(shards), 0)
    assert isinstance(made, DataLoader) and len(made) == 7
    assert len(list(itertools.islice(made, 20))) == 20 and not recwarn.list
