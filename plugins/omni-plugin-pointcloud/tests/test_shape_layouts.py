"""ModelNet and ShapeNet, read as published; each page's example; a step of training."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from shape_layouts_fixture import MODELS, modelnet, shapenet

from omni.data.loaders import SlotLoader
from omni.engine import train
from omni.errors import ConfigError, InputError
from omni.registry import DATASETS

PAGES = Path(__file__).parents[3] / "docs" / "layouts"
WRITERS: dict[str, Callable[[Path], Path]] = {"modelnet": modelnet, "shapenet": shapenet}




def build(name: str, root: Path, **options: object):
    return DATASETS.build(dict(type=name, root=str(root), **options))


def test_classes_and_splits_of_modelnet(tmp_path: Path) -> None:
    root = modelnet(tmp_path / "a" / "ModelNet10")
    data = build("modelnet", root)
    assert data.classes == ("bathtub", "chair", "night_stand")  # no __MACOSX
    assert data.ids[:3] == ["bathtub/bathtub_0001", "bathtub/bathtub_0002", "chair/chair_0001"] and len(data) == 6
    test = build("modelnet", root, split="test")
    assert len(test) == 3 and [sample.targets["class"] for sample in test] == [0, 1, 2]
    assert not set(test.ids) & set(data.ids)
    assert test[2].values["text"] == "night stand" and test[2].meta["class"] == "night_stand"
    assert build("modelnet", tmp_path / "a").ids == data.ids  # the folder above
    modelnet(tmp_path / "a" / "ModelNet40")
    with pytest.raises(InputError, match="holds ModelNet40 and ModelNet10"):
        build("modelnet", tmp_path / "a")


def test_models_with_either_header_are_read(tmp_path: Path) -> None:
    load = SlotLoader("pointcloud", modality="pointcloud")
    heads = set()
    for sample in build("modelnet", modelnet(tmp_path / "m")):
        heads.add(sample.values["pointcloud"].read_text()[:4])
        cloud = load(sample.values["pointcloud"])
        scale = 1 + sample.targets["class"] + int(sample.id[-1]) - 1
        assert cloud.points_N3[:, 2].max() == pytest.approx(2 * scale, rel=0.1)
    assert heads == {"OFF\n", "OFF4"}


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name}.*nowhere.*How to get it"):
        build(name, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"{name}: no f.*How to get it"):
        build(name, tmp_path / "empty")
    with pytest.raises(ConfigError, match="split"):
        build(name, WRITERS[name](tmp_path / "there"), split="validation")


def test_modelnet_that_is_not_whole(tmp_path: Path) -> None:
    root = modelnet(tmp_path / "m")
    for path in (root / "chair" / "test").glob("*.off"):
        path.unlink()
    with pytest.raises(InputError, match="chair/test.*holds no OFF file"):
        build("modelnet", root, split="test")
    (root / "chair" / "test" / ".DS_Store").unlink()
    (root / "chair" / "test").rmdir()
    with pytest.raises(InputError, match="the class 'chair' has no folder 'test'"):
        build("modelnet", root, split="test")
    assert len(build("modelnet", root)) == 6


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_of_shapenet(version: int, tmp_path: Path) -> None:
    root = shapenet(tmp_path / "s", version=version)
    data = build("shapenet", root)
    assert data.classes == ("airplane", "mug") and len(data) == 3
    first, second, third = data
    assert first.id == f"02691156/{MODELS[0][2]}"
    assert (first.values["text"], second.values["text"], third.values["text"]) == ("airliner", "airplane", "beer mug")
    assert [sample.targets["class"] for sample in data] == [0, 0, 1]
    assert third.meta == {"class": "mug", "synset": "03797390", "narrow_synset": "02824058",
                          "words": ["beer mug", "stein"]}  # fmt: skip
    assert build("shapenet", root, text="all")[2].values["text"] == "beer mug, stein"
    assert {split: len(build("shapenet", root, split=split)) for split in ("val", "test", "all")} == {
        "val": 1, "test": 1, "all": 5,
    }  # fmt: skip
    color = SlotLoader("pointcloud", modality="pointcloud", options=dict(color=True, mesh_points=20))
    assert len(color(first.values["pointcloud"])) == 20  # its texture lies out of the folder


def test_shapenet_in_part(tmp_path: Path) -> None:
    root = shapenet(tmp_path / "s")
    (root / "02691156" / MODELS[1][2] / "models" / "model_normalized.obj").unlink()
    data = build("shapenet", root)
    with pytest.raises(InputError, match=f"{MODELS[1][2]}.*missing='skip'"):
        data[1]
    assert build("shapenet", root, missing="skip").skipped == 1
    (root / "03797390").rename(tmp_path / "gone")
    with pytest.raises(InputError, match="row 4: there is no folder '03797390'"):
        build("shapenet", root)
    assert build("shapenet", root, missing="skip").classes == ("airplane",)
    (root / "all.csv").unlink()
    with pytest.raises(InputError, match="no file 'all.csv' or 'split.csv'.*split='all' needs none"):
        build("shapenet", root)
    assert len(build("shapenet", root, split="all", missing="skip")) == 2


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("all.csv", lambda text: text.replace("modelId", "model"), "no column 'modelId'"),
        ("all.csv", lambda text: text.replace(",val", ",validation"), "row 3: there is no split 'validation'"),
        ("all.csv", lambda text: text.replace(MODELS[0][2], "../../etc"), "not inside"),
        ("all.csv", lambda text: text + text.splitlines()[1] + "\n", "two samples"),
        ("taxonomy.json", lambda text: text.replace("synsetId", "synset"), "not as published"),
        ("taxonomy.json", lambda text: text.replace("02691156", "99999999"), "folder '02691156' is not in"),
        ("taxonomy.json", lambda text: "{}", "holds a dict"),
        ("taxonomy.json", lambda text: text[:-5], "cannot be read as JSON"),
    ],
)
def test_tables_that_are_not_as_published(file: str, change: Callable[[str], str], words: str, tmp_path: Path) -> None:
    root = shapenet(tmp_path / "s")
    (root / file).write_text(change((root / file).read_text()))
    with pytest.raises(InputError, match=words):
        build("shapenet", root)


@pytest.mark.parametrize("name", WRITERS)
def test_the_example_of_the_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES / f"{name}.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    WRITERS[name](Path(name))
    names: dict[str, object] = {}
    exec(compile(code, f"{name}.md", "exec"), names)
    assert len(names["data"]) > 0 and names["batch"].inputs["pointcloud"]["points_BN3"].shape == (2, 256, 3)


@pytest.mark.parametrize("name", WRITERS)
def test_a_nano_model_trains_on_shapes_and_words(name: str, tmp_path: Path) -> None:
    root = WRITERS[name](tmp_path / "data")
    config = dict(
        model=dict(width=16, num_layers=1, num_heads=2, ffn_width=32, embedding_width=8,
                   slots=dict(pointcloud="pointcloud", text="text"),
                   adapters=dict(pointcloud=dict(groups=8, neighbours=4, hidden=8))),
        processor=dict(pointcloud=dict(modality="pointcloud", type="pointcloud_basic", points=64,
                                       augment=dict(rotate=180, jitter=0.01)),
                       text=dict(modality="text", type="bpe")),
        objectives=[dict(type="info_nce", slots=["pointcloud", "text"], labels="class")],
        train_dataloader=dict(dataset=dict(type=name, root=str(root)), batch_size=3),
        train_cfg=dict(max_iters=2),
    )  # fmt: skip
    train(config, work_dir=tmp_path / "out")
    lines = (tmp_path / "out" / "scalars.jsonl").read_text()
    assert '"loss"' in lines and "nan" not in lines.lower() and (tmp_path / "out" / "model").is_dir()
