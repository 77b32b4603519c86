"""Published data sets of films: their folders are read as they are, and what does not fit is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import video_layouts_fixture as fixture

from omni.data.datasets import ProcessedDataset
from omni.data.processor import Processor
from omni.errors import ConfigError, InputError, MissingSlotError
from omni_plugin_video.io import load
from omni_plugin_video.layouts.kinetics import Kinetics
from omni_plugin_video.layouts.msrvtt import Msrvtt
from omni_plugin_video.layouts.valor import Valor
from omni_plugin_video.layouts.vggsound import VggSound

LAYOUTS = {
    "kinetics": (Kinetics, fixture.kinetics, [True, False, True]),
    "msrvtt": (Msrvtt, fixture.msrvtt, [True] * 20 + [False] * 20 + [True] * 40),
    "valor": (Valor, fixture.valor, [True, False]),
    "vggsound": (VggSound, fixture.vggsound, [True, True, False]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_three_slots_and_the_sound_missing_where_there_is_none(name: str, tmp_path: Path) -> None:
    kind, write, sound = LAYOUTS[name]
    data = kind(write(tmp_path / name))
    assert len(data) == len(sound)
    made = Processor({"video": {"size": 32, "num_frames": 2}, "audio": {"type": "log_mel"}, "text": {}})
    view = ProcessedDataset(data, made, slots=["video", "audio"])
    chosen = list(range(len(data))) if len(data) < 10 else [0, 19, 20, 39, 40]
    batch = made.collate([view[index] for index in chosen])
    assert batch.present["audio"].tolist() == [sound[index] for index in chosen] and batch.present["video"].all()
    assert len(batch.inputs["audio"]["mel_BTC"]) == sum(sound[index] for index in chosen)
    assert all(list(sample.values) == ["video", "audio", "text"] and sample.values["text"] for sample in data)
    mute = data[sound.index(False)]
    assert mute.keys["audio"] != mute.keys["video"]
    with pytest.raises(MissingSlotError, match="no sound track"):
        mute.values["audio"]["array"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_films_that_are_not_there(name: str, tmp_path: Path) -> None:
    kind, write, _ = LAYOUTS[name]
    root = write(tmp_path / name)
    whole = kind(root)
    gone = Path(whole[0].values["video"])
    count = [sample.values["video"] for sample in whole].count(gone)
    gone.unlink()
    with pytest.raises(InputError, match=rf"{name}: the sample .* needs '.*{gone.stem}.*missing='skip'.*How to get it"):
        kind(root)[0]
    some = kind(root, missing="skip")
    assert some.skipped == count == (20 if name == "msrvtt" else 1)
    assert len(some) == len(whole) - some.skipped and gone.stem not in " ".join(some.ids)
    with pytest.raises(InputError, match=f"{name}: .*is no folder.*How to get it"):
        kind(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=f"{name}: split is 'dev'"):
        kind(root, split="dev")
    with pytest.raises(ConfigError, match="silent is 'zeros'"):
        kind(root, silent="zeros")


def test_kinetics_by_table(tmp_path: Path) -> None:
    root = fixture.kinetics(tmp_path)
    data = Kinetics(root)
    assert data.ids == ["---v8pgm1eQ_000001_000011", "_7FXK3gqvTA_000102_000112", "07WeVTAd4Mg_000000_000010"]
    assert data.classes == ("playing 'rock, paper, scissors'", "riding a bike")
    first = data[0]
    assert first.targets == {"class": 1} and first.values["text"] == first.meta["class"] == "riding a bike"
    assert (first.meta["youtube_id"], first.meta["start"], first.meta["end"]) == ("---v8pgm1eQ", 1, 11)
    assert Kinetics(root, split="val").classes == data.classes, "numbers are those of all splits"
    assert [sample.targets["class"] for sample in Kinetics(root, split="test")] == [0]
    assert Kinetics(root, classes=["riding a bike", data.classes[0]])[0].targets["class"] == 0
    with pytest.raises(InputError, match="label .*scissors.* not among the given"):
        Kinetics(root, classes=["riding a bike"])


def test_kinetics_sorted_by_class(tmp_path: Path) -> None:
    deep = Kinetics(fixture.kinetics(tmp_path / "deep", deep=True), split="val")
    assert deep[1].values["video"] == tmp_path / "deep/val/riding a bike/_7FXK3gqvTA_000102_000112.mp4"
    root = fixture.kinetics_folders(tmp_path / "folders")
    data = Kinetics(root)
    assert data.form == "folders" and len(data) == 3 and data[2].targets == {"class": 1}
    assert data[0].id == "playing 'rock, paper, scissors'/07WeVTAd4Mg_000000_000010"
    (root / "val").rename(root / "validate")
    assert len(Kinetics(root, split="val")) == 2
    with pytest.raises(InputError, match=r"no file 'annotations/train.csv' or 'train.csv'"):
        Kinetics(root, form="csv")


def test_kinetics_with_its_test_labels_held_out(tmp_path: Path) -> None:
    root = fixture.kinetics(tmp_path)
    fixture.table(root / "annotations/test.csv", [("youtube_id", "time_start", "time_end", "split"),
                                                  ("07WeVTAd4Mg", 0, 10, "test")])  # fmt: skip
    sample = Kinetics(root, split="test")[0]
    assert not sample.targets and list(sample.values) == ["video", "audio"]


def test_msrvtt(tmp_path: Path) -> None:
    root = fixture.msrvtt(tmp_path)
    data = Msrvtt(root, split="test")
    assert len(data) == 40 and data.ids[:2] == ["video7010#0", "video7010#1"]
    assert data[25].targets == {"video": 1} and data[25].values["video"] == root / "TestVideo/video7011.mp4"
    assert len(data[0].meta["captions"]) == 20 and data[0].meta["start"] == 137.72
    assert data[0].keys["video"] == data[19].keys["video"] != data[20].keys["video"]
    assert [s.id for s in Msrvtt(root, split="val", captions="first")] == ["video6513"]
    assert [s.id for s in Msrvtt(root, split="train_9k", captions="first")] == [
        "video0", "video1", "video6513", "video7010",
    ]  # fmt: skip
    one_k = Msrvtt(root, split="test_1k")
    assert [(s.id, s.values["text"]) for s in one_k] == [
        ("video7011#0", "a person, who sings"), ("video2#0", "a woman is cooking"),
    ]  # fmt: skip
    assert one_k[1].values["video"] == root / "TrainValVideo/video2.mp4" and one_k[0].meta["key"] == "ret0"
    (root / "msrvtt_data").mkdir()
    for file in ("MSRVTT_data.json", "MSRVTT_train.9k.csv"):
        (root / file).rename(root / "msrvtt_data" / file)
    assert len(Msrvtt(root, split="train_9k")) == 80


def test_msrvtt_that_does_not_fit(tmp_path: Path) -> None:
    root = fixture.msrvtt(tmp_path)
    fixture.table(root / "MSRVTT_train.9k.csv", [["video_id"], ["video99"]])
    with pytest.raises(InputError, match="names 'video99', which .*MSRVTT_data.json.* does not have"):
        Msrvtt(root, split="train_9k")
    (root / "MSRVTT_JSFUSION_test.csv").unlink()
    with pytest.raises(InputError, match="no file 'MSRVTT_JSFUSION_test.csv'"):
        Msrvtt(root, split="test_1k")
    path = root / "train_val_videodatainfo.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, "sentences": [{"video_id": "video0"}]}))
    with pytest.raises(InputError, match="train_val_videodatainfo.json.*caption"):
        Msrvtt(root)
    path.write_text(json.dumps({**table, "sentences": []}))
    with pytest.raises(InputError, match="'video0' has no caption"):
        Msrvtt(root)
    path.write_text(json.dumps({"videos": []}))
    with pytest.raises(InputError, match="no key 'sentences'"):
        Msrvtt(root)


def test_valor(tmp_path: Path) -> None:
    root = fixture.valor(tmp_path)
    data = Valor(root)
    assert data.ids == ["x-2Abohj8VY_30.000_40.000#0", "-0_BS8LqBWs_0.000_10.000#0"]
    assert data[1].meta["youtube_id"] == "-0_BS8LqBWs" and (data[1].meta["start"], data[1].meta["end"]) == (0, 10)
    assert data[0].values["text"].startswith("With the sound") and len(Valor(root, split="val")) == 1
    (root / "desc_train.json").rename(root / "desc.json")
    assert len(Valor(root, captions="first")) == 2
    (root / "desc.json").write_text('{"video_id": "x"}')
    with pytest.raises(InputError, match="holds a dict, but a list is published"):
        Valor(root)
    (root / "desc.json").write_text('[{"video_id": "../x_0_1", "desc": "up"}]')
    with pytest.raises(InputError, match="not inside"):
        Valor(root)


def test_valor_taken_apart(tmp_path: Path) -> None:
    root = fixture.valor_frames(tmp_path)
    data = Valor(root)
    made = Processor({"video": {"size": 32, "num_frames": 2}, "audio": {"type": "log_mel"}, "text": {}})
    view = ProcessedDataset(data, made, slots=["video", "audio"])
    batch = made.collate([view[0], view[1]])
    assert batch.present["audio"].tolist() == [True, False] and batch.present["video"].all()
    film = load(data[0].values["video"])
    assert film.times_T.tolist() == [0.0, 0.5, 1.0] and film.end == 1.5 and (film.height, film.width) == (32, 40)
    frames = np.concatenate(list(film.blocks(np.arange(3))))
    assert np.abs(np.diff(frames[..., 2].mean((1, 2))) - 80).max() < 3  # the blue of every tenth picture
    (root / "frames_fps2" / "-0_BS8LqBWs_0.000_10.000" / "img_0001.jpg").unlink()
    assert Valor(root, missing="skip").skipped == 1


def test_vggsound(tmp_path: Path) -> None:
    root = fixture.vggsound(tmp_path)
    data = VggSound(root)
    assert data.ids == ["--0PQM4-hqg_000030", "_U5ARaWhbHg_000110", "a2xk9Y4bQ0c_001200"]
    assert data.classes == ("female speech, woman speaking", "people marching", "waterfall burbling")
    assert data[1].targets == {"class": 0} and data[1].values["text"] == "female speech, woman speaking"
    test = VggSound(root, split="test")
    assert test[0].targets == {"class": 1} and test[0].meta["start"] == 1
    (root / "video").rename(root / "train")
    assert VggSound(root)[0].values["video"].parent == root / "train"
    for line, message in (("abc,x,walking,train", "line 1: 'x' is not a whole number"), ("abc,1,,train", "no label"),
                          ("abc,1,walking,dev", "the split is 'dev'"), ("abc,1,walking", "3 fields")):  # fmt: skip
        (root / "vggsound.csv").write_text(line + "\n")
        with pytest.raises(InputError, match=message):
            VggSound(root)


def test_two_files_of_one_film(tmp_path: Path) -> None:
    root = fixture.vggsound(tmp_path)
    fixture.film(root / "video/--0PQM4-hqg_000030.webm")
    with pytest.raises(InputError, match=r"000030.mp4' and .*000030.webm' would be one film"):
        VggSound(root)
