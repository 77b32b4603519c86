"""Embedding in parts: the same file however it is cut, stopped, shared or interrupted; what is bad is left out, told,
and shifts nothing."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from omni.data.groups import group_of, groups_of_lists
from omni.embedding_job import EmbeddingJob, embed, embed_dataset, model_digest, parts_folder
from omni.errors import ConfigError, InputError, OmniError
from omni.processes import Processes
from omni.types import Sample

COUNT = 50


@pytest.fixture
def predictor(toy_plugin):
    from toy_models import toy_predictor

    return toy_predictor(("multilinear", "left", "right", "word"), ("cosine", "left", "word"))


class Rows:
    """Map-style: every third lacks its word, some stripes are too short, and reading counts."""

    slots = ("left", "word")

    def __init__(self, bad=(), unreadable=(), stop=None, count=COUNT):
        self.bad, self.unreadable, self.stop, self.count = set(bad), set(unreadable), stop, count
        self.reads = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == self.stop:
            raise KeyboardInterrupt
        self.reads.append(index)
        if index in self.unreadable:
            raise InputError(f"row {index} is torn")
        rng = np.random.default_rng(index)
        length = 2 if index in self.bad else int(rng.integers(4, 30))
        values = {"left": rng.standard_normal(length).astype(np.float32)}
        if index % 3:
            values["word"] = "abcdefghij"[: 1 + index % 9]
        return Sample(id=f"row {index}", values=values, meta={"number": index})


class Stream:
    """The same one after another."""

    slots = ("left", "word")

    def __init__(self, **options):
        self.rows = Rows(**options)

    def __iter__(self):
        return (self.rows[index] for index in range(len(self.rows)))


def settings(**more):
    return {"batch_size": 4, "part_items": 8, "progress": False, **more}


def test_every_row_is_that_of_encode_and_missing_ones_are_nan(predictor, tmp_path):
    rows = Rows()
    made = embed_dataset(predictor, rows, tmp_path / "out.npz", **settings())
    samples = [rows[index] for index in range(COUNT)]
    expected = predictor.encode(
        left=[sample.values["left"] for sample in samples],
        word=[sample.values.get("word") for sample in samples],
        allow_missing=True,
        progress=False,
    )
    with np.load(tmp_path / "out.npz") as out:
        assert out["ids"].tolist() == [sample.id for sample in samples]
        for slot, value in expected.items():
            np.testing.assert_allclose(out[slot], value.numpy(), atol=1e-5)
            assert out[slot].dtype == np.float32
    assert made.shapes == {"left": (COUNT, 16), "word": (COUNT, 16)}
    assert made.present == {"left": COUNT, "word": sum(1 for index in range(COUNT) if index % 3)}
    assert made.bad.count == 0 and not (tmp_path / "out.npz.bad.jsonl").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.npz"]


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
@pytest.mark.parametrize("kind", [Rows, Stream])
def test_a_stopped_job_goes_on_and_gives_the_same_bytes(predictor, tmp_path, kind, ending):
    embed_dataset(predictor, kind(bad=[5], unreadable=[]), tmp_path / f"whole{ending}", **settings(on_bad="skip"))
    output = tmp_path / f"parts{ending}"
    for stop in (3, 21, 22, 49):
        with pytest.raises(KeyboardInterrupt):
            embed_dataset(predictor, kind(bad=[5], stop=stop), output, **settings(on_bad="skip"))
        assert not output.exists() and parts_folder(output).is_dir()
    last = kind(bad=[5])
    embed_dataset(predictor, last, output, **settings(on_bad="skip"))
    assert output.read_bytes() == (tmp_path / f"whole{ending}").read_bytes()
    bad = output.with_name(output.name + ".bad.jsonl")
    assert bad.read_bytes() == (tmp_path / f"whole{ending}.bad.jsonl").read_bytes()
    if kind is Rows:
        assert (
            last.reads[0] >= 40
        )  # what was done is not read again; the part before the last may have been in the making
    assert not parts_folder(output).exists()


@pytest.mark.parametrize("kind", [Rows, Stream])
@pytest.mark.parametrize("world", [2, 3, 9])
def test_several_processes_share_the_parts(predictor, tmp_path, kind, world):
    """One after another here, without barriers: the first one's writing comes last."""

    class Alone(Processes):
        def wait(self):
            pass

    embed_dataset(predictor, kind(bad=[5, 30]), tmp_path / "one.npz", **settings(on_bad="skip"))
    reads = []
    folder = tmp_path / "many.npz.parts"
    make = {"batch_size": 4, "part_items": 8, "on_bad": "skip"}
    EmbeddingJob(predictor, [group_of(kind(), ["left", "word"])], folder, **make).folder.open()
    order = list(range(1, world))
    random.Random(world).shuffle(order)
    for rank in order:
        rows = kind(bad=[5, 30])
        job = EmbeddingJob(
            predictor, [group_of(rows, ["left", "word"])], folder, processes=Alone(rank=rank, world=world), **make
        )
        job.run(progress=False)
        reads += getattr(rows, "reads", [])
    rows = kind(bad=[5, 30])
    groups = [group_of(rows, ["left", "word"])]
    embed(predictor, groups, tmp_path / "many.npz", processes=Alone(rank=0, world=world), progress=False, **make)
    assert (tmp_path / "many.npz").read_bytes() == (tmp_path / "one.npz").read_bytes()
    assert (tmp_path / "many.npz.bad.jsonl").read_bytes() == (tmp_path / "one.npz.bad.jsonl").read_bytes()
    if kind is Rows:
        assert sorted([*reads, *rows.reads]) == list(range(COUNT))  # each once, by one process


def test_bad_values_are_left_out_listed_and_shift_nothing(predictor, tmp_path):
    bad, torn = [0, 7, 8, 49], [11]
    sound = embed_dataset(predictor, Rows(), tmp_path / "sound.npz", **settings())
    made = embed_dataset(predictor, Rows(bad=bad, unreadable=torn), tmp_path / "out.npz", **settings(on_bad="skip"))
    a, b = np.load(tmp_path / "sound.npz"), np.load(tmp_path / "out.npz")
    assert made.bad.count == 5 and sound.bad.count == 0
    assert np.flatnonzero(np.isnan(b["left"]).any(1)).tolist() == sorted([*bad, *torn])
    kept = [index for index in range(COUNT) if index not in (*bad, *torn)]
    np.testing.assert_allclose(b["left"][kept], a["left"][kept], atol=1e-5)
    np.testing.assert_array_equal(b["word"][[7, 8, 49]], a["word"][[7, 8, 49]])  # their other slot stays
    assert b["ids"][kept].tolist() == a["ids"][kept].tolist() and b["ids"][11] == "#11"
    listed = [json.loads(line) for line in (tmp_path / "out.npz.bad.jsonl").read_text().splitlines()]
    assert [(item["position"], item["slot"]) for item in listed] == [
        (0, "left"), (7, "left"), (8, "left"), (11, None), (49, "left"),
    ]  # fmt: skip
    assert "at least 4 numbers" in listed[0]["reason"] and listed[3]["reason"] == "row 11 is torn"
    assert made.present["left"] == COUNT - 5 and "5 bad items" in made.bad.summary()


def test_lanes_that_load_and_encode_whole_batches_make_the_same_file(predictor, tmp_path, monkeypatch):
    data = {"bad": [0, 7, 8, 30], "unreadable": [11]}
    for lanes in (0, 1, 3):
        monkeypatch.setattr("omni.embedding_worker.encoding_lanes", lambda device, lanes=lanes: lanes)
        embed_dataset(predictor, Rows(**data), tmp_path / f"{lanes}.npz", **settings(on_bad="skip"))
        with pytest.raises(InputError, match="row 30.*at least 4 numbers"):  # the first in the order of the data
            embed_dataset(predictor, Rows(bad=[30, 31, 49]), tmp_path / f"stops{lanes}.npz", **settings())
    with np.load(tmp_path / "0.npz") as plain:
        for lanes in (1, 3):
            with np.load(tmp_path / f"{lanes}.npz") as made:
                assert made["ids"].tolist() == plain["ids"].tolist()
                for slot in ("left", "word"):
                    np.testing.assert_allclose(made[slot], plain[slot], atol=1e-6)
            lists = [tmp_path / f"{number}.npz.bad.jsonl" for number in (0, lanes)]
            assert lists[0].read_bytes() == lists[1].read_bytes()


def test_lanes_are_for_a_processor_that_the_model_keeps_busy(monkeypatch):
    from omni import encoding

    monkeypatch.setattr(encoding, "cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert encoding.encoding_lanes(torch.device("cpu")) == 2
    assert encoding.encoding_lanes(torch.device("cuda")) == 0
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert encoding.encoding_lanes(torch.device("cpu")) == 0  # a spare core loads ahead
    monkeypatch.setattr(encoding, "cores", lambda: 1)
    assert encoding.encoding_lanes(torch.device("cpu")) == 0


def test_bad_values_stop_the_job_by_default_and_repaired_it_goes_on(predictor, tmp_path):
    with pytest.raises(InputError, match="row 30.*at least 4 numbers"):
        embed_dataset(predictor, Rows(bad=[30]), tmp_path / "out.npz", **settings())
    with pytest.raises(InputError, match="'#12'.*torn"):
        embed_dataset(predictor, Rows(unreadable=[12]), tmp_path / "out2.npz", **settings())
    repaired = Rows()
    embed_dataset(predictor, repaired, tmp_path / "out.npz", **settings())
    assert repaired.reads[0] == 24  # the parts before are kept
    embed_dataset(predictor, Rows(), tmp_path / "whole.npz", **settings())
    assert (tmp_path / "out.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_skipped_then_raising_says_so(predictor, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        embed_dataset(predictor, Rows(bad=[1], stop=40), tmp_path / "out.npz", **settings(on_bad="skip"))
    with pytest.raises(InputError, match="An earlier run of this job left it out"):
        embed_dataset(predictor, Rows(bad=[1]), tmp_path / "out.npz", **settings())
    assert not (tmp_path / "out.npz").exists()
    embed_dataset(predictor, Rows(), tmp_path / "out.npz", restart=True, **settings())
    assert not np.isnan(np.load(tmp_path / "out.npz")["left"]).any()


def test_another_jobs_parts_are_refused(predictor, tmp_path):
    output = tmp_path / "out.npz"
    with pytest.raises(KeyboardInterrupt):
        embed_dataset(predictor, Rows(stop=30), output, about={"file": "a"}, **settings())
    with pytest.raises(ConfigError, match="batch_size: 4 there, 8 now.*--restart"):
        embed_dataset(predictor, Rows(), output, about={"file": "a"}, **settings(batch_size=8))
    with pytest.raises(ConfigError, match="data: .*a.* there, .*b.* now"):
        embed_dataset(predictor, Rows(), output, about={"file": "b"}, **settings())
    with pytest.raises(ConfigError, match="groups: "):
        embed_dataset(predictor, Rows(count=49), output, about={"file": "a"}, **settings())
    before = model_digest(predictor)
    with torch.no_grad():
        next(predictor.model.parameters()).add_(1e-3)
    assert model_digest(predictor) != before
    with pytest.raises(ConfigError, match="model: "):
        embed_dataset(predictor, Rows(), output, about={"file": "a"}, **settings())
    embed_dataset(predictor, Rows(), output, about={"file": "b"}, restart=True, **settings())
    assert output.is_file() and not parts_folder(output).exists()


def test_a_damaged_part_is_made_again(predictor, tmp_path):
    output = tmp_path / "out.npz"
    embed_dataset(predictor, Rows(), tmp_path / "whole.npz", **settings())
    with pytest.raises(KeyboardInterrupt):
        embed_dataset(predictor, Rows(stop=30), output, **settings())
    first, second = sorted(parts_folder(output).glob("*.npz"))[:2]
    first.write_bytes(first.read_bytes()[:100])  # cut: found at once
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 255  # flipped: found by its checksum when it is collected
    second.write_bytes(bytes(damaged))
    with pytest.raises(OmniError, match="is damaged .*Start the job again"):
        embed_dataset(predictor, Rows(), output, **settings())
    embed_dataset(predictor, Rows(), output, **settings())
    assert output.read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_embeddings_that_are_not_finite_are_bad(predictor, tmp_path):
    class Wild(Rows):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            if index == 6:
                sample.values["left"][0] = np.inf
            return sample

    with pytest.raises(InputError, match="row 6.*not finite"):
        embed_dataset(predictor, Wild(), tmp_path / "out.npz", **settings())
    made = embed_dataset(predictor, Wild(), tmp_path / "out.npz", **settings(on_bad="skip"))
    assert made.bad.count == 1 and np.flatnonzero(np.isnan(np.load(made.path)["left"]).any(1)).tolist() == [6]


def test_slots_that_nobody_declares_are_left_out_where_no_sample_has_them(predictor, tmp_path):
    samples = [Rows()[index] for index in range(10)]
    made = embed_dataset(predictor, samples, tmp_path / "out.npz", **settings())
    assert list(made.shapes) == ["left", "word"]
    made = embed_dataset(predictor, samples, tmp_path / "out.npz", slots=["right"], **settings())
    assert made.present == {"right": 0} and np.isnan(np.load(made.path)["right"]).all()
    with pytest.raises(InputError, match="unknown slot 'picture'"):
        embed_dataset(predictor, samples, tmp_path / "out.npz", slots=["picture"], **settings())


def test_lists_of_values_of_different_lengths_and_none_at_all(predictor, tmp_path):
    groups = groups_of_lists({"left": [], "word": ["cat", "dog", "cat"]})
    made = embed(predictor, groups, tmp_path / "out.npz", progress=False)
    out = np.load(tmp_path / "out.npz")
    assert made.shapes == {"left": (0, 16), "word": (3, 16)}
    assert out["left"].shape == (0, 16) and out["left_ids"].tolist() == []
    assert out["word_ids"].tolist() == ["cat", "dog", "cat"]


def test_the_safetensors_file_is_the_librarys(predictor, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file

    embed_dataset(predictor, Rows(), tmp_path / "out.npz", **settings())
    embed_dataset(predictor, Rows(), tmp_path / "out.safetensors", **settings())
    plain, tensors = np.load(tmp_path / "out.npz"), load_file(tmp_path / "out.safetensors")
    for slot, value in tensors.items():
        np.testing.assert_array_equal(value.numpy(), plain[slot])
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert json.loads(file.metadata()["ids"]) == plain["ids"].tolist()


def test_a_mixture_is_embedded_in_its_own_order_unshuffled(predictor, tmp_path):
    from omni.data.groups import known_slots
    from omni.data.mixing import MixedStream

    undeclared = [Rows()[index] for index in range(5)]
    mixture = MixedStream([Rows(count=12), undeclared], shuffle=100)
    assert known_slots(mixture) is None and known_slots(MixedStream([Rows(), Rows()])) == ["left", "word"]
    made = embed_dataset(predictor, mixture, tmp_path / "a.npz", **settings())
    embed_dataset(predictor, mixture, tmp_path / "b.npz", **settings())
    assert list(made.shapes) == ["left", "word"] and made.present["left"] == 17
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(np.load(made.path)["ids"]) == sorted(
        [f"0/row {i}" for i in range(12)] + [f"1/row {i}" for i in range(5)]
    )


def test_settings_that_cannot_be_meant(predictor, tmp_path):
    with pytest.raises(ConfigError, match="part_items=6: it must be a multiple of the batch size, 4"):
        embed_dataset(predictor, Rows(), tmp_path / "out.npz", **settings(part_items=6))
    with pytest.raises(ConfigError, match="on_bad is 'ignore'"):
        embed_dataset(predictor, Rows(), tmp_path / "out.npz", **settings(on_bad="ignore"))
    (tmp_path / "out.npz.parts").mkdir()
    (tmp_path / "out.npz.parts/mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="in the way"):
        embed_dataset(predictor, Rows(), tmp_path / "out.npz", restart=True, **settings())
    assert (tmp_path / "out.npz.parts/mine.txt").read_text() == "precious"
