"""furniture3d: the real builder on tiny catalogues; what a sample has; the split; a build that was stopped."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from furniture_fixture import PIECES, Hum, catalog, catalogs, deb

from omni.data.building.packages import sha256_of
from omni.errors import ConfigError, InputError, OmniError
from omni_plugin_m3mini.builder import speech
from omni_plugin_pointcloud import meshes
from omni_plugin_pointcloud.builder import furniture
from omni_plugin_pointcloud.builder.catalog import parse_properties, read_catalog, unescape
from omni_plugin_pointcloud.builder.sources import FURNITURE, PLACE
from omni_plugin_pointcloud.builder.splitting import classes_of, families, hold_out
from omni_plugin_pointcloud.furniture import Furniture3d

SETTINGS = dict(languages=("en", "fr"), points=64, least=4)


def build(out: Path, given: Path, **changed: object) -> Path:
    return furniture.build_furniture(out, cache=out.parent / "cache", given=[given], **{**SETTINGS, **changed})


@pytest.fixture(autouse=True)
def hum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "find_espeak", lambda **places: Hum())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furniture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speech, "find_espeak", lambda **places: Hum())
        return build(folder / "out", catalogs(folder / "catalogs"))


def test_what_a_sample_has(built: Path) -> None:
    train, test = Furniture3d("train", root=built), Furniture3d("test", root=built)
    assert train.classes == ("kitchen", "office") and train.languages == ["en", "fr"]
    assert len(train) + len(test) == 2 * 12 and len(test) >= 4
    samples = {(sample.meta["name"], sample.meta["language"]): sample for sample in (*train, *test)}
    assert ("thing", "en") not in samples and ("car", "en") not in samples  # dropped, too few
    spoon = samples["cuill\u00e8re", "fr"]
    assert spoon.values.keys() == {"pointcloud", "image", "text", "audio"} and spoon.values["audio"][:4] == b"OggS"
    assert spoon.values["pointcloud"].shape == (64, 3) and spoon.values["image"][:4] == b"\x89PNG"
    assert np.allclose(np.abs(spoon.values["pointcloud"]).max(0), (7, 10, 15), atol=1.5)
    assert spoon.targets["class"] == 0 and spoon.meta["size_cm"] == [14, 20, 30]
    assert spoon.meta["creator"] == "Ann 4" and "Nobody" in spoon.meta["licence"]
    chairs = [s for s in (*train, *test) if s.meta["name"] == "chair"]
    assert len({s.targets["name"] for s in chairs}) == 1 and len({s.targets["model"] for s in chairs}) == 2
    both = Furniture3d("train", root=built, text="class_and_name", languages="en")
    assert all(s.values["text"] == f"{s.meta['class']}: {s.meta['name']}" for s in both)
    assert {s.values["text"] for s in Furniture3d("train", root=built, text="class")} == {"kitchen", "office"}
    assert train.terms[0]["license"] == "CC0-1.0 AND CC-BY-3.0"


def test_a_model_that_lies_on_its_side_is_turned_upright(built: Path) -> None:
    large = next(s for s in (*Furniture3d("train", root=built), *Furniture3d("test", root=built))
                 if s.meta["name"] == "large fridge")  # fmt: skip
    assert np.allclose(np.abs(large.values["pointcloud"]).max(0), (6, 10, 15), atol=1.5)  # width, height, depth


def test_shapes_for_heads_that_make_shapes(built: Path) -> None:
    data = Furniture3d(
        "train", root=built, languages="en", shape=("occupancy", "distance", "surface"), shape_points=500
    )
    for sample in data:
        found = sample.targets
        assert found["points"].shape == (500, 3) and found["occupancy"].shape == found["distance"].shape == (500,)
        frame, solid = data.solid(found["model"])
        assert frame.to_list() == sample.meta["frame"] and solid.shape == (64, 64, 64)
        assert np.allclose(
            np.abs(found["surface"]).max(), 0.9, atol=0.03
        )  # a sample of the surface: the box itself is .9
        half = np.array(sample.meta["size_cm"]) / 2 / frame.half * 0.9
        sides = [solid.any(axes).sum() / 32 for axes in ((1, 2), (0, 2), (0, 1))]
        assert np.allclose(sides, 2 * half, atol=2 / 32) and solid.sum() == np.prod(sides) * 32**3  # boxes, filled
        deep = (np.abs(found["points"]) < half - 2 / 32).all(1)
        clear = (np.abs(found["points"]) > half + 2 / 32).any(1)
        assert deep.any() and clear.any() and found["occupancy"][deep].all() and not found["occupancy"][clear].any()
        assert (found["distance"][deep] < 0).all() and (found["distance"][clear] > 0).all()
    assert "points" not in Furniture3d("train", root=built, shape="surface")[0].targets
    assert "surface" not in Furniture3d("train", root=built)[0].targets
    with pytest.raises(ConfigError, match="occupancy, distance, surface"):
        Furniture3d(root=built, shape="mesh")


def test_an_edition_without_solids_says_so(built: Path, tmp_path: Path) -> None:
    info = json.loads((built / "edition.json").read_text())
    for model in info["models"]:
        del model["solid"]
    (tmp_path / "edition.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match="without solids"):
        Furniture3d(root=tmp_path, shape="surface")
    with pytest.raises(InputError, match="without solids"):
        Furniture3d(root=tmp_path).solid(0)


def test_names_that_are_not_translated_are_left_out(built: Path) -> None:
    names = {m["names"]["en"]: m["names"] for m in json.loads((built / "edition.json").read_text())["models"]}
    assert "vi" not in names["fork"] and names["fork"]["fr"] == "fourchette"  # most of A's are the English ones
    everything = Furniture3d("train", root=built, languages="all")
    assert everything.languages == ["en", "fr", "vi"]
    assert all("audio" not in s.values for s in everything if s.meta["language"] == "vi")


def test_no_name_is_in_both_splits(built: Path) -> None:
    said = {
        split: {(s.meta["language"], s.meta["name"]) for s in Furniture3d(split, root=built)}
        for split in ("train", "test")
    }
    assert said["train"] and said["test"] and not said["train"] & said["test"]
    voices = {split: {s.meta["voice"] for s in Furniture3d(split, root=built)} for split in said}
    assert not voices["train"] & voices["test"]


def test_families_and_the_split() -> None:
    names = [{"en": "fridge", "fr": "frigo"}, {"en": "large fridge", "fr": "frigo"}, {"en": "fork", "fr": "fourchette"},
             {"en": "table", "fr": "table"}, {"en": "desk", "fr": "table"}]  # fmt: skip
    assert families(names, ("en", "fr")) == [0, 0, 1, 2, 2] and families(names, ("en",)) == [0, 1, 2, 3, 4]
    rng = np.random.default_rng(0)
    family_M, class_M = rng.integers(0, 150, 600).tolist(), rng.choice(list("abc"), 600, p=(0.6, 0.3, 0.1)).tolist()
    split_M = hold_out(family_M, class_M)
    parts = [{f for f, split in zip(family_M, split_M, strict=True) if split == part} for part in ("train", "test")]
    assert not parts[0] & parts[1] and Counter(split_M)["test"] == pytest.approx(120, abs=12)
    assert hold_out(family_M, class_M) == split_M
    assert classes_of("aaabbc", least=2, dropped="b") == ["a"]


def test_the_same_bytes_each_time_and_a_build_that_was_stopped_goes_on(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = meshes.read

    def counting(*args: object, **options: object) -> object:
        made.append(options["name"])
        if len(made) == 10:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(meshes, "read", counting)
    given = catalogs(tmp_path / "catalogs")
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "out", given)
    assert not (tmp_path / "out").exists() and len(made) == 10  # eight of A are kept
    build(tmp_path / "out", given)
    assert len(made) == 10 + 4 and not (tmp_path / "out.pieces").exists()
    for path in built.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes(), path.name
    files = json.loads((built / "edition.json").read_text())["files"]
    assert files == {p.name: sha256_of(p) for p in built.iterdir() if p.name != "edition.json"}
    licences = (built / "LICENSES").read_text()
    assert "Ann 1" in licences and "espeak-ng" in licences and "CC-BY-3.0" in licences


def test_the_command_takes_the_pinned_package_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(furniture, "LEAST_MODELS", 4)
    package = deb(tmp_path / FURNITURE.filename, catalogs(tmp_path / "catalogs"), PLACE)
    command = ["--from", str(package), "--no-speech", "--points", "16", "--workers", "1"]
    assert furniture.main(command) == 1 and "sha256" in capsys.readouterr().err
    monkeypatch.setattr(furniture, "FURNITURE", replace(FURNITURE, sha256=sha256_of(package)))
    assert furniture.main(command) == 1 and "no class" in capsys.readouterr().err
    monkeypatch.setattr(furniture.build_furniture, "__kwdefaults__",
                        {**furniture.build_furniture.__kwdefaults__, "least": 4})  # fmt: skip
    assert furniture.main(command) == 0
    data = Furniture3d("train")
    assert data.languages == ["en"] and all("audio" not in sample.values for sample in data)


@pytest.mark.slow
def test_the_table_is_made_of_a_training(built: Path, tmp_path: Path) -> None:
    from tools.furniture3d_table import run

    result = run(tmp_path / "table", root=str(built), seed=0, steps=2)
    assert json.loads((tmp_path / "table" / "results.json").read_text())["classes"] == ["kitchen", "office"]
    found = result["zero_shot"]["pointcloud"]
    assert found["samples"] == len(Furniture3d("test", root=built, languages="en")) and 0 <= found["balanced"] <= 1
    names = {row["name"] for row in result["retrieval"]}
    assert {"pointcloud > image", "image+text+audio > pointcloud"} <= names and len(names) == 16
    stamp = (tmp_path / "table" / "training" / "complete.json").read_text()
    again = run(tmp_path / "table", root=str(built), seed=0, steps=2)
    assert (tmp_path / "table" / "training" / "complete.json").read_text() == stamp
    assert again["zero_shot"] == result["zero_shot"]


@pytest.mark.slow
def test_the_table_of_shapes_is_made_of_a_training(built: Path, tmp_path: Path) -> None:
    from tools.three_d_table import ROWS, run

    result = run(tmp_path / "seed0", root=str(built), seed=0, steps=2)
    rows = result["rows"]
    assert set(rows) == set(ROWS) and all(len(values) == result["samples"] for values in result["chamfer"].values())
    assert rows["floor"]["iou"] == 1 and rows["floor"]["chamfer"] < 0.1  # between 64 points
    assert rows["oracle"]["chamfer"] <= min(rows[name]["chamfer"] for name in ("nearest_embedding", "nearest_pixels"))
    assert all(0 <= row[key] <= 1 for row in rows.values() for key in ("iou", "f_score"))
    stamp = (tmp_path / "seed0" / "training" / "table.json").read_text()
    again = run(tmp_path / "seed0", root=str(built), seed=0, steps=2, pictures=False)
    assert (tmp_path / "seed0" / "training" / "table.json").read_text() == stamp and again["rows"] == rows
    assert json.loads(stamp)["complete"] and (tmp_path / "seed0" / "shapes.png").is_file()


def test_what_is_refused(built: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="omni data build furniture3d"):
        Furniture3d(root=tmp_path)
    for options in (dict(split="val"), dict(text="tags"), dict(languages="xx")):
        with pytest.raises(ConfigError, match="furniture3d"):
            Furniture3d(**{"root": built, **options})
    with pytest.raises(IndexError):
        Furniture3d(root=built)[10_000]
    with pytest.raises(ConfigError, match="no names in 'xx'"):
        build(tmp_path / "a", catalogs(tmp_path / "catalogs"), languages=("xx",))
    with pytest.raises(ConfigError, match="points is 3"):
        build(tmp_path / "a", tmp_path / "catalogs", points=3)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.sh3f").write_bytes(b"no zip")
    with pytest.raises(OmniError, match="cannot be read as a catalogue"):
        build(tmp_path / "a", tmp_path / "bad")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("/tiny/m1/m1.obj", "/tiny/../../etc/passwd"), "not in the catalogue"),
        (lambda text: text.replace("width#1=11.0", "width#1=wide"), "model 1 is not described"),
        (lambda text: text.replace("category#1=Kitchen\n", ""), "model 1 is not described"),
    ],
)
def test_catalogues_that_are_not_as_published(change: object, words: str, tmp_path: Path) -> None:
    path = catalog(tmp_path / "A.sh3f", [PIECES[0]])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "PluginFurnitureCatalog.properties"
    members[name] = change(members[name].decode("latin-1")).encode("latin-1")
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    with pytest.raises(InputError, match=words):
        read_catalog(path)


def test_properties_as_java_writes_them() -> None:
    text = "! no\n a = b c \nname#12: \\u00e9\\u0020\\\n   x\\=y\n\nname#3=\\ud83d\\ude00\n"
    general, rows = parse_properties(text.encode("latin-1"))
    assert general == {"a": "b c"} and rows == {12: {"name": "\u00e9 x=y"}, 3: {"name": "\U0001f600"}}
    assert unescape("a\\tb") == "a\tb"
