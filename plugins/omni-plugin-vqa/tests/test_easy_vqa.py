"""easy-VQA: built from a package of the same layout, split by picture, types of questions."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import pytest
from PIL import Image

from omni.data.building.packages import sha256_of
from omni.errors import ConfigError, InputError
from omni_plugin_vqa import easy_vqa_builder
from omni_plugin_vqa.easy_vqa import EasyVqa, held_out, question_type

ROWS = [
    ("what is the blue shape?", "circle"),
    ("what color is the shape?", "blue"),
    ("is there a triangle?", "no"),
    ("is there not a red shape?", "yes"),
]


def write_wheel(path, *, pictures=20, answer="circle"):
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("easy_vqa/data/answers.txt", "circle\nblue\nyes\nno\n")
        for part in ("train", "test"):
            rows = [[q, answer if a == "circle" else a, n] for n in range(pictures) for q, a in ROWS]
            wheel.writestr(f"easy_vqa/data/{part}/questions.json", json.dumps(rows))
            for number in range(pictures):
                data = io.BytesIO()
                Image.new("RGB", (64, 64), (number, 0, 255 if part == "test" else 0)).save(data, "PNG")
                wheel.writestr(f"easy_vqa/data/{part}/images/{number}.png", data.getvalue())


@pytest.fixture
def build(tmp_path, monkeypatch):
    def made(**settings):
        wheel = tmp_path / easy_vqa_builder.EASY_VQA.filename
        write_wheel(wheel, **settings)
        monkeypatch.setattr(easy_vqa_builder, "EASY_VQA", replace(easy_vqa_builder.EASY_VQA, sha256=sha256_of(wheel)))
        return easy_vqa_builder.build_easy_vqa(tmp_path / "built", cache=tmp_path / "cache", given=[tmp_path])

    return made


def test_every_question_and_picture_is_there(build):
    root = build()
    parts = {split: EasyVqa(split, root=root) for split in ("train", "val", "test")}
    assert [len(parts[split]) for split in parts] == [18 * 4, 2 * 4, 20 * 4]
    for split, data in parts.items():
        for sample in data:
            picture = Image.open(io.BytesIO(sample.values["image"]))
            blue = 255 if split == "test" else 0
            assert picture.getpixel((0, 0)) == (sample.meta["picture"], 0, blue)
            assert data.answers[sample.targets["answer"]] == sample.values["answer"] == sample.meta["answer"]
            assert (sample.values["question"], sample.values["answer"]) in ROWS
    seen = {split: {sample.meta["picture"] for sample in data} for split, data in parts.items()}
    assert seen["val"] == held_out(20) and not seen["val"] & seen["train"]


def test_types():
    types = [question_type(*row) for row in ROWS]
    assert types == ["shape", "colour", "is there this shape", "is there this colour"]


def test_refusals(build, tmp_path):
    with pytest.raises(InputError, match="omni data build easy_vqa"):
        EasyVqa(root=tmp_path / "nothing")
    root = build()
    with pytest.raises(ConfigError, match="'dev'"):
        EasyVqa("dev", root=root)
    (root / "train-000.zip").write_bytes(b"short")
    with pytest.raises(InputError, match="train-000.zip"):
        EasyVqa("train", root=root)[5]
    (root / "edition.json").write_text("{")
    with pytest.raises(InputError, match=r"edition\.json"):
        EasyVqa(root=root)


def test_a_package_that_does_not_fit_leaves_nothing(build, tmp_path):
    with pytest.raises(InputError, match="square"):
        build(answer="square")
    assert not (tmp_path / "built").exists()


@pytest.mark.slow
def test_the_published_package(tmp_path):
    root = easy_vqa_builder.build_easy_vqa(tmp_path / "easy", cache=tmp_path / "cache", given=[])
    parts = {split: EasyVqa(split, root=root) for split in ("train", "val", "test")}
    assert len(parts["train"]) + len(parts["val"]) == 38_575 and len(parts["test"]) == 9_673
    assert len(parts["train"].answers) == 13 and len(held_out(4_000)) == 400
    assert all(Image.open(io.BytesIO(parts["test"][i].values["image"])).size == (64, 64) for i in range(0, 9_673, 97))
