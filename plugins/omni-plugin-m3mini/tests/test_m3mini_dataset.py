"""M3Mini as a data set: items, views, controls, errors; discovery without torch."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from omni.errors import ConfigError, InputError
from omni.types import Sample
from omni_plugin_m3mini.builder.cli import main
from omni_plugin_m3mini.dataset import M3Mini
from omni_plugin_m3mini.store import edition_folder


def test_a_triple_says_what_it_is() -> None:
    data = M3Mini("demo", w=3, split="test")
    assert len(data) == 2001
    sample = data[7]
    assert isinstance(sample, Sample)
    assert sample.values["image"].startswith(b"\x89PNG") and sample.values["audio"].startswith(b"OggS")
    words = sample.values["text"].split(", ")
    assert len(words) == 3
    names = data.classes[sample.targets["class"]]["names"]
    assert names[sample.meta["language"]] in words
    assert sample.meta["candidates"][words.index(names[sample.meta["language"]])] == sample.meta["class"]
    assert data.languages[sample.targets["language"]] == sample.meta["language"]
    assert data.store.info["words"][sample.meta["language"]].count(sample.meta["spoken"]) == 1
    assert data[-1].id == data[2000].id
    with pytest.raises(IndexError, match="2001 items"):
        data[2001]


def test_equal_keys_mean_equal_values() -> None:
    data, seen = M3Mini("demo", w=2, split="val"), {}
    for index in range(len(data)):
        sample = data[index]
        for slot, key in sample.keys.items():
            assert seen.setdefault((slot, key), sample.values[slot]) == sample.values[slot]
    assert len({key for slot, key in seen if slot == "image"}) == 100


def test_aligned_view_is_aligned() -> None:
    data = M3Mini("demo", w=3, split="train").aligned()
    assert len(data) == 3 * 50 * 8 * 2
    languages, arts = set(), set()
    for index in range(0, len(data), 7):
        sample = data[index]
        item = data.classes[sample.targets["class"]]
        assert sample.values["text"] == sample.meta["spoken"] == item["names"][sample.meta["language"]]
        assert sample.values.keys() == {"image", "audio", "text"}
        languages.add(sample.meta["language"])
        arts.add(sample.meta["art"])
    assert languages == set(data.languages) and arts == {"noto", "twemoji"}
    assert len(data.aligned(split="test")) == 3 * 50 * 2
    assert len(M3Mini("demo", w=2).aligned()) == 2 * 50 * 8 * 2


def test_names_view_has_no_picture() -> None:
    data = M3Mini("demo", w=3).names()
    sample = data[3]
    assert sample.values.keys() == {"audio", "text"} and sample.targets["class"] == -1
    assert sample.values["text"] == sample.meta["spoken"]
    assert len(data) == 3 * 300 * 5


def test_gallery_shows_every_picture_by_class() -> None:
    gallery = M3Mini("demo", w=3, split="test").gallery()
    assert [gallery[index].targets["class"] for index in range(len(gallery))] == list(np.repeat(np.arange(50), 2))
    assert all(gallery[index].values.keys() == {"image"} for index in range(4))
    assert len(gallery.gallery(arts=["noto"])) == 50


@pytest.mark.parametrize(
    ("control", "slot", "kept"), [("shuffled_audio", "audio", "text"), ("shuffled_text", "text", "audio")]
)
def test_controls_exchange_one_slot_only(control: str, slot: str, kept: str) -> None:
    plain, shuffled = M3Mini("demo", split="test"), M3Mini("demo", split="test", control=control)
    same = 0
    for index in range(300):
        a, b = plain[index], shuffled[index]
        assert a.values["image"] == b.values["image"] and a.values[kept] == b.values[kept]
        assert a.targets["class"] == b.targets["class"]
        same += a.values[slot] == b.values[slot]
    assert same < 30
    # with the language exchanged, the named candidate is right as often as chance says
    if control == "shuffled_audio":
        hits = [b.meta["class"] == plain.triples.class_NW[i, b.targets["language"]]
                for i, b in ((i, shuffled[i]) for i in range(len(shuffled)))]  # fmt: skip
        assert abs(np.mean(hits) - 1 / 3) < 0.05


def test_pictures_are_independent_of_the_rest_and_resampled() -> None:
    data = M3Mini("demo", w=2, split="train")
    art = np.array([data._picture_of[index] % 2 for index in range(len(data))])
    assert abs(art.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(art, data.triples.language_N)[0, 1]) < 0.05
    other = data.resample(3, rows=500)
    assert len(other) == 500 and len(data) == 10_000
    assert other[499].values["image"].startswith(b"\x89PNG")


def test_lists_name_classes_and_hold_no_combination_of_val_or_test() -> None:
    data = M3Mini("demo", w=3, view="spoken", lists=20_000, seed=4)
    asked = {
        tuple(row)
        for w in (2, 3)
        for split in ("val", "test")
        for row in M3Mini("demo", w=w, split=split).triples.class_NW.tolist()
    }
    assert len(data) == 20_000 and data.lists is not None
    widths = (data.lists.class_NW >= 0).sum(1)
    assert {int(width): int((widths == width).sum()) for width in (2, 3)} == {2: 10_000, 3: 10_000}
    for row in data.lists.class_NW.tolist():
        assert tuple(row[:2]) not in asked and tuple(row) not in asked
    names = {language: data.class_names(language) for language in data.languages}
    for index in (0, 1, 7001, 19_999):
        sample = data[index]
        named = {lang: sample.targets[f"named_{lang}"] for lang in data.languages}
        assert sorted(sample.values["list"].split(", ")) == sorted(
            names[language][place] for language, place in named.items() if place >= 0
        )
        plain = M3Mini("demo", w=3, view="spoken")[index % 6900]
        assert plain.values == {slot: value for slot, value in sample.values.items() if slot != "list"}
    first = data.lists.order_NW[widths == 3][:, 0]
    assert np.abs(np.bincount(first, minlength=3) / len(first) - 1 / 3).max() < 0.02  # the printed order says nothing


def test_spawned_workers_can_read() -> None:
    data = M3Mini("demo", w=3)
    first = data[0]
    again = pickle.loads(pickle.dumps(data))[0]
    assert again == first


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (dict(edition="demo", w=5), ConfigError, "w=5 is not one of 2, 3"),
        (dict(edition="huge"), InputError, "demo, bench, full"),
        (dict(edition="demo", split="dev"), ConfigError, "train, val, test"),
        (dict(edition="demo", view="pairs"), ConfigError, "triples, aligned"),
        (dict(edition="demo", arts=["openmoji"]), ConfigError, "noto, twemoji"),
        (dict(edition="demo", control="noise"), ConfigError, "shuffled_audio"),
        (dict(edition="demo", control="shuffled_text", view="aligned"), ConfigError, "triples"),
        (dict(edition="demo", rows=10, view="aligned"), ConfigError, "triples"),
        (dict(edition="demo", lists=10), ConfigError, "spoken"),
        (dict(edition="demo", lists=0, view="spoken"), ConfigError, "at least 1"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        M3Mini(**arguments)


def test_missing_edition_says_how_to_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    with pytest.raises(InputError, match="build_m3mini.py --edition bench"):
        M3Mini("bench")
    with pytest.raises(InputError, match="not 'full'"):
        M3Mini("full", root=edition_folder("demo"))


def test_damaged_edition_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(edition_folder("demo"), folder)
    shard = folder / "speech-000.zip"
    shard.write_bytes(shard.read_bytes()[:1000])
    data = M3Mini("demo", root=folder)
    with pytest.raises(InputError, match=r"speech-000.zip: ends before"):
        for index in range(len(data)):
            data[index]
    (folder / "triples-w3-train.npy").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="triples-w3-train.npy"):
        M3Mini("demo", root=folder)


def test_manifest_export(tmp_path: Path) -> None:
    assert main(["--edition", "demo", "--w", "2", "--manifest", str(tmp_path), "--view", "aligned"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "aligned-w2-test.jsonl").read_text().splitlines()]
    data = M3Mini("demo", w=2, split="test", view="aligned")
    assert len(rows) == len(data)
    for row, sample in ((rows[index], data[index]) for index in range(0, len(rows), 11)):
        assert (tmp_path / row["image"]).read_bytes() == sample.values["image"]
        assert (tmp_path / row["audio"]).read_bytes() == sample.values["audio"]
        assert row["text"] == sample.values["text"] and row["meta"]["language"] == sample.meta["language"]


def test_reading_needs_no_torch() -> None:
    code = (
        "import sys, omni_plugin_m3mini.plugin as p, omni_plugin_m3mini.dataset as d\n"
        "assert not p.omni_datasets()[0].problems()\n"
        "d.M3Mini()[0]\n"
        "assert 'torch' not in sys.modules and 'soundfile' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
