"""Published audio data sets: their folders are read as they are, and what does not fit is refused by name."""

from __future__ import annotations

import audio_layouts_fixture as fixture
import pytest

from omni.errors import ConfigError, InputError
from omni_plugin_audio.layouts.audiocaps import AudioCaps
from omni_plugin_audio.layouts.clotho import Clotho
from omni_plugin_audio.layouts.esc50 import Esc50


def test_esc50_folds(tmp_path):
    root = fixture.esc50(tmp_path)
    train, test = Esc50(root, fold=2), Esc50(root, split="test", fold=2)
    assert len(train) == 24 and len(test) == 6 and len(Esc50(root, split="all")) == 30
    assert {sample.meta["fold"] for sample in train} == {1, 3, 4, 5} and {s.meta["fold"] for s in test} == {2}
    assert not set(train.ids) & set(test.ids)
    assert train.classes == ("dog", "rooster", "pig")
    first = test[0]
    assert first.id == "2-100020-A-0.wav" and first.values["audio"] == root / "audio" / first.id
    assert first.targets == {"class": 0} and first.meta["class"] == "dog" and first.meta["take"] == "A"
    with pytest.raises(ConfigError, match="fold is 6; it must be one of 1, 2, 3, 4, 5"):
        Esc50(root, fold=6)


def test_esc10_numbers_its_classes_without_gaps(tmp_path):
    root = fixture.esc50(tmp_path, classes=(1, 0, 14))
    path = root / "meta/esc50.csv"
    path.write_text(path.read_text().replace("0,dog,True", "0,dog,False").replace("birds,False", "birds,True"))
    data = Esc50(root, split="all", subset="esc10")
    assert data.classes == ("rooster", "chirping_birds") and len(data) == 20
    found = {(sample.meta["class"], sample.targets["class"]) for sample in data}
    assert found == {("rooster", 0), ("chirping_birds", 1)}
    with pytest.raises(ConfigError, match=r"has the classes \[0, 1, 14\], not 0, 1, 2, ... without a gap"):
        Esc50(root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1-100010-A-0.wav,1,0", "1-100010-A-0.wav,7,0", "line 2: there is no fold 7"),
        ("1-100010-A-0.wav,1,0", "1-100010-A-0.wav,1,x", "line 2: 'x' is not a whole number"),
        ("1-100010-B-0.wav,1,0,dog", "1-100010-B-0.wav,1,0,cat", "line 3: the class 0 is 'cat' here and 'dog' above"),
        ("1-100010-A-0.wav", "../meta/esc50.csv", "names the file '../meta/esc50.csv', which is not inside"),
        ("category", "kind", "no column 'category'"),
    ],
)
def test_esc50_that_does_not_fit(tmp_path, old, new, message):
    path = fixture.esc50(tmp_path) / "meta/esc50.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        Esc50(tmp_path)


def test_clotho(tmp_path):
    root = fixture.clotho(tmp_path)
    data = Clotho(root, split="test")
    assert len(data) == 15 and data[5].id == "paper_crumpling [1] 'b'.wav#0"
    assert data[11].values["audio"] == root / "evaluation" / fixture.CLOTHO_FILES[2]
    assert data[11].values["text"] == 'Someone says "stop", then leaves' and data[13].values["text"] == "A bell rings"
    assert all(sample.values["audio"].is_file() for sample in data)
    assert [sample.targets["audio"] for sample in Clotho(root, captions="first")] == [0, 1, 2]
    for name in ("clotho_csv_files", "clotho_audio_files"):
        (root / name).mkdir()
    (root / "clotho_captions_validation.csv").rename(root / "clotho_csv_files/clotho_captions_validation.csv")
    (root / "validation").rename(root / "clotho_audio_files/validation")
    moved = Clotho(root, split="val")
    assert len(moved) == 15 and moved[0].values["audio"].is_file()
    (root / "clotho_captions_evaluation.csv").unlink()
    with pytest.raises(InputError, match="no file 'clotho_captions_evaluation.csv' or .*zenodo.org"):
        Clotho(root, split="test")


def test_clotho_with_an_empty_caption(tmp_path):
    root = fixture.clotho(tmp_path)
    path = root / "clotho_captions_development.csv"
    path.write_text(path.read_text(encoding="utf-8").replace('"rain, wind"', "", 1), encoding="utf-8")
    with pytest.raises(InputError, match="'Distorted AM Radio noise.wav' has no caption, or an empty one"):
        Clotho(root)


@pytest.mark.parametrize(
    "pattern",
    ["{video}_{start}.wav", "Y{video}_{start}.flac", "{video}_{seconds:.3f}.wav", "{video}_{start}000.ogg",
     "{caption}.wav"],
)  # fmt: skip
def test_audiocaps_finds_files_by_the_names_that_people_give(tmp_path, pattern):
    root = fixture.audiocaps(tmp_path, pattern)
    data = AudioCaps(root)
    assert data.ids == ["r1nicOVtvkQ_130#0", "-PRrNx6_MD0_30#0", "-PRrNx6_MD0_60#0"]
    assert len({sample.values["audio"] for sample in data}) == 3
    assert data[0].values["text"] == "A woman talks nearby, as water pours"
    assert data[2].meta["start_time"] == 60 and data[2].meta["audiocap_ids"] == ["58147"]
    val = AudioCaps(root, split="val")
    assert len(val) == 5 and len({sample.values["audio"] for sample in val}) == 1
    assert {sample.targets["audio"] for sample in val} == {0} and len(val[0].meta["captions"]) == 5


def test_audiocaps_two_pieces_of_one_film_are_not_taken_for_each_other(tmp_path):
    root = fixture.audiocaps(tmp_path, "{video}.wav")
    data = AudioCaps(root, missing="skip")
    assert data.ids == ["r1nicOVtvkQ_130#0"] and data.skipped == 2
    with pytest.raises(InputError, match="needs '.*audio/train/-PRrNx6_MD0_60.wav', which is not there"):
        AudioCaps(root)[2]
    assert len(AudioCaps(root, split="test")) == 5


def test_audiocaps_that_does_not_fit(tmp_path):
    root = fixture.audiocaps(tmp_path)
    fixture.wave(root / "audio/train/r1nicOVtvkQ_130.flac")
    with pytest.raises(InputError, match="'r1nicOVtvkQ_130.flac' and 'r1nicOVtvkQ_130.wav' in .* would be one clip"):
        AudioCaps(root)
    assert len(AudioCaps(root, audio="audio/test", split="test")) == 5
    with pytest.raises(InputError, match="no folder 'elsewhere'"):
        AudioCaps(root, audio="elsewhere")
    path = root / "test.csv"
    path.write_text(path.read_text().replace("7fmOlUlwoNg,20", "7fmOlUlwoNg,", 1))
    with pytest.raises(InputError, match="test.csv, line 2: None is not a whole number"):
        AudioCaps(root, split="test")
