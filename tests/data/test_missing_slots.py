"""Files that hold nothing for a slot: the slot is missing everywhere, and nothing stands in for it."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
import torch

from omni.data.checking import check_dataset
from omni.data.datasets import ManifestDataset, ProcessedDataset
from omni.data.folders import FolderDataset
from omni.data.loaders import SlotLoader
from omni.data.processor import Processor
from omni.data.webdataset import WebDatasetStream
from omni.embedding_job import embed_dataset
from omni.engine.feature_cache import build_feature_table
from omni.engine.items import BatchItems
from omni.engine.tables import TableItems
from omni.errors import ConfigError, InputError, MissingSlotError
from omni.evaluation.encoded import encode_samples
from omni.inference import OmniPredictor
from omni.types import Sample

SLOTS = {"left": "stripe", "right": "stripe"}
LENGTHS = (12, 8, 16, 8, 20)  # of 8 numbers there is no tail
THERE = [True, False, True, False, True]


def processor(**loader):
    tail = {"track": {"type": "stripe.tail", **loader}}
    settings = {"modality": "stripe", "noise": 0.0}
    return Processor({"left": settings, "right": {**settings, "loader": tail}, "word": {}})


@pytest.fixture
def folder(toy_plugin, tmp_path):
    place = tmp_path / "files"
    place.mkdir()
    for number, length in enumerate(LENGTHS):
        np.save(place / f"{number}.npy", np.linspace(0, number + 1, length, dtype=np.float32))
    return place


@pytest.fixture
def manifest(folder):
    path = folder / "rows.jsonl"
    rows = [{"id": str(n), "left": f"{n}.npy", "right": f"{n}.npy", "word": "abcde"[n]} for n in range(len(LENGTHS))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ManifestDataset(path, slots={"left": "left", "right": "right", "word": "word"}, modalities=SLOTS)


@pytest.fixture
def predictor(toy_plugin):
    from omni.core.model import ModelConfig, OmniModel

    torch.manual_seed(0)
    config = ModelConfig(
        width=16, num_layers=1, num_heads=2, ffn_width=32, embedding_width=8, joint=True,
        slots={**SLOTS, "word": "word"},
    )
    return OmniPredictor(OmniModel(config).eval(), processor(), info={})


def test_the_loader_says_so_and_the_processor_leaves_the_slot_out(folder):
    made = processor()
    with pytest.raises(MissingSlotError, match=r"'right'.*1\.npy.*no more than 8 numbers"):
        made.process_value("right", folder / "1.npy")
    values = {"left": folder / "1.npy", "right": folder / "1.npy"}
    assert list(made(Sample(id="1", values=values))) == ["left"]
    assert made.process_value("right", str(folder / "0.npy"))["frames_LC"].numel() == 4
    data = (folder / "0.npy").read_bytes()
    assert made.process_value("right", data)["frames_LC"].numel() == 4
    array = np.zeros(8, np.float32)  # not a file: the modality's own loader takes it
    assert made.process_value("right", array)["frames_LC"].numel() == 8
    assert processor(first=4).process_value("right", folder / "1.npy")["frames_LC"].numel() == 4
    again = Processor.from_config(made.to_config())
    assert list(again(Sample(id="1", values=values))) == ["left"]


def test_a_damaged_file_is_not_a_missing_slot(folder):
    (folder / "9.npy").write_bytes(b"not numbers")
    with pytest.raises(InputError, match=r"9\.npy") as caught:
        processor()(Sample(id="9", values={"right": folder / "9.npy"}))
    assert not isinstance(caught.value, MissingSlotError)


def test_tracks_that_are_not_there(toy_plugin):
    for track, message in (("stripe.head", "no track 'head'.*tail"), ("tail", "modality.track"), (3, "modality.track")):
        with pytest.raises(ConfigError, match=message):
            SlotLoader("right", modality="stripe", options={"track": track})
    with pytest.raises(ConfigError, match="Tracks: none"):
        SlotLoader("right", modality="stripe", options={"track": "word.tail"})


def shards(folder, tmp_path):
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "a.tar", "w") as archive:
        for number in range(len(LENGTHS)):
            content = (folder / f"{number}.npy").read_bytes()
            member = tarfile.TarInfo(f"{number}.npy")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return WebDatasetStream(tmp_path / "shards", slots={"left": "npy", "right": "npy"}, modalities=SLOTS)


def test_manifests_folders_and_shards_alike(folder, manifest, tmp_path):
    both = {"left": "npy", "right": "npy"}
    sources = [
        manifest,
        FolderDataset(folder, layout="pairs", slots=both, modalities=SLOTS),
        list(shards(folder, tmp_path)),
    ]
    made = processor()
    for source in sources:
        view = ProcessedDataset(source, made, slots=["left", "right"])
        batch = made.collate([view[index] for index in range(len(LENGTHS))])
        assert batch.present["right"].tolist() == THERE and batch.present["left"].all()
        assert len(batch.inputs["right"]["frames_BLC"]) == sum(THERE), "a missing slot has no row, not even zeros"


def draws(data):
    return [(0, index) for index in range(len(data))]


def test_training_by_items_and_by_tables(manifest):
    made = processor()
    items, tables = BatchItems(manifest, made), TableItems(list(manifest), made, cached={})
    slow, fast = items.__getitems__(draws(manifest)), tables.__getitems__(draws(manifest))
    for slot in ("left", "right", "word"):
        assert torch.equal(slow.present[slot], fast.present[slot])
        assert all(torch.equal(value, fast.inputs[slot][key]) for key, value in slow.inputs[slot].items())
    assert slow.present["right"].tolist() == THERE
    nothing = [Sample(id="1", values={"right": manifest[1].values["right"]})] * 2
    for kind in (BatchItems(nothing, made), TableItems(nothing, made, cached={})):
        batch = kind.__getitems__([(0, 0), (0, 1)])
        assert not batch.inputs and not any(present.any() for present in batch.present.values())


def test_slot_dropout_never_leaves_a_sample_with_nothing(manifest):
    rates = {"left": 0.9, "right": 0.0, "word": 0.9}
    items = BatchItems(manifest, processor(), training=True, slot_dropout=rates, seed=3)
    lonely = 0
    for epoch in range(20):
        batch = items.__getitems__([(epoch, index) for index in range(len(LENGTHS))])
        count_B = sum(present.long() for present in batch.present.values())
        assert int(count_B.min()) >= 1
        lonely += int((count_B == 1).sum())
        assert not batch.present["right"][torch.tensor(THERE).logical_not()].any()
    assert lonely > 20


def test_cached_features(manifest, predictor, tmp_path):
    predictor.model.requires_grad_(False)
    samples, made = list(manifest), processor()
    table = build_feature_table(predictor.model, samples, made, "right", batch_size=2, quiet=True, folder=tmp_path)
    assert len(table.pooled_KD) == sum(THERE) == len(table.rows)
    again = build_feature_table(predictor.model, samples, made, "right", batch_size=2, quiet=True, folder=tmp_path)
    assert again.rows == table.rows and torch.equal(again.pooled_KD, table.pooled_KD)
    for kind in (
        BatchItems(samples, made, cached={"right": table}),
        TableItems(samples, made, cached={"right": table}),
    ):
        batch = kind.__getitems__(draws(samples))
        assert batch.present["right"].tolist() == THERE
        assert torch.equal(batch.inputs["right"]["pooled_BD"], table.pooled_KD)
    none = [samples[1], samples[3]]
    empty = build_feature_table(predictor.model, none, made, "right", quiet=True, folder=tmp_path)
    assert empty.rows == {} and not BatchItems(none, made, cached={"right": empty})[(0, 0)].present["right"].any()


def test_encode_says_that_nothing_is_there(folder, manifest, predictor):
    paths = [folder / f"{number}.npy" for number in range(len(LENGTHS))]
    with pytest.raises(InputError, match=r"Value 1: Slot 'right'.*1\.npy.*no more than 8.*allow_missing=True"):
        predictor.encode(right=paths)
    with pytest.raises(InputError, match=r"1\.npy.*nothing to embed"):
        predictor.encode(right=paths[1])
    for workers in (0, 2):
        made = predictor.encode(right=[None, *paths], allow_missing=True, batch_size=2, num_workers=workers)["right"]
        assert made.isfinite().all(1).tolist() == [False, *THERE] and made[~torch.tensor([False, *THERE])].isnan().all()
        whole = predictor.encode(right=[path for path, has in zip(paths, THERE, strict=True) if has])["right"]
        torch.testing.assert_close(made[torch.tensor([False, *THERE])], whole)
    joint = predictor.encode_joint(left=paths, right=paths)
    lefts = predictor.encode_joint(left=[paths[1]], right=[None])
    torch.testing.assert_close(joint[1:2], lefts)
    with pytest.raises(InputError, match=r"Value 0: .*right.*no more than 8"):
        predictor.encode_joint(left=[None], right=[paths[1]])


def test_an_evaluation_of_samples(manifest, predictor):
    whole = encode_samples(predictor, manifest, ["left", "right"], batch_size=2)
    assert (whole.rows["right"] >= 0).tolist() == THERE and whole.left_out == 0 and len(whole) == len(LENGTHS)
    assert len(whole.embeddings["right"]) == sum(THERE)
    some = encode_samples(predictor, manifest, ["left", "right"], require=["right"])
    assert some.ids == ["0", "2", "4"] and some.left_out == 2
    torch.testing.assert_close(some.of("right", torch.arange(3)), whole.of("right", whole.having(["right"])))
    torch.testing.assert_close(some.of("left", torch.arange(3)), whole.of("left", torch.tensor([0, 2, 4])))


def test_an_embedding_job_leaves_their_rows_empty(manifest, predictor, tmp_path):
    for workers in (0, 2):
        out = tmp_path / f"{workers}.npz"
        made = embed_dataset(predictor, manifest, out, batch_size=2, num_workers=workers)
        with np.load(out) as file:
            assert np.isfinite(file["right"]).all(1).tolist() == THERE
            assert np.isnan(file["right"][~np.array(THERE)]).all() and np.isfinite(file["left"]).all()
        assert made.present["right"] == sum(THERE) and made.bad.count == 0


def test_checking_a_data_set_counts_them_as_missing(folder, manifest):
    report = check_dataset(manifest, processor=processor(), num_workers=2, progress=False)
    assert report.ok and report.values == {"left": 5, "right": 3, "word": 5} and report.missing["right"] == 2
    alone = [Sample(id="1", values={"right": folder / "1.npy"})]
    (bad,) = check_dataset(alone, processor=processor(), progress=False).bad
    assert "no value in any slot" in bad.reason and "1.npy" in bad.reason
