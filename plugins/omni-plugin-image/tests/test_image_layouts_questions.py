"""VQA v2 and RefCOCO: scores of answers, questions and boxes that fit together, pickles that are not unpickled."""

from __future__ import annotations

import json
import pickle

import image_layouts_fixture as fixture
import pytest

from omni.errors import ConfigError, InputError
from omni_plugin_image.layouts.plain_pickle import read_plain_pickle
from omni_plugin_image.layouts.refcoco import RefCoco
from omni_plugin_image.layouts.vqa_answers import normalize_answer, soft_score, soft_scores
from omni_plugin_image.layouts.vqav2 import VqaV2


def test_soft_scores_are_the_mean_over_nine_of_ten():
    """The closed form of leaving each of ten answers out in turn."""
    for times in range(11):
        given = ["yes"] * times + [f"other {n}" for n in range(10 - times)]
        expected = (times * min(1, max(0, times - 1) / 3) + (10 - times) * min(1, times / 3)) / 10
        assert soft_score("yes", given) == pytest.approx(expected, abs=1e-12)
    assert [round(soft_score("a", ["a"] * n + ["b"] * (10 - n)), 6) for n in range(5)] == [0, 0.3, 0.6, 0.9, 1]
    assert soft_scores(["b", "a", "a"] + ["c"] * 7) == pytest.approx({"c": 1, "a": 0.6, "b": 0.3})
    assert list(soft_scores(["b", "a", "a", "b"])) == ["b", "a"] and soft_score("a", []) == 0


@pytest.mark.parametrize(
    ("typed", "compared"),
    [
        ("Yes.", "yes"), ("  the\tDog ", "dog"), ("two", "2"), ("none", "0"), ("1,000", "1000"), ("3.5", "3.5"),
        ("dont know", "don't know"), ("black/white", "black white"), ("black / white", "black white"),
        ("it's", "it's"), ("A", ""), ("red, blue", "red blue"), ("t-shirt", "t shirt"),
    ],
)  # fmt: skip
def test_answers_as_they_are_compared(typed, compared):
    assert normalize_answer(typed) == compared
    assert normalize_answer(compared) == compared


def test_vqav2(tmp_path):
    root = fixture.vqav2(tmp_path)
    data = VqaV2(root, min_count=1)
    assert data.classes == ("2", "dog", "yes") and len(data) == 4
    first = data[0]
    assert first.id == "262148000" and first.values["text"] == "Is there a dog, 0?"
    assert first.values["image"] == root / "train2014/COCO_train2014_000000262148.jpg"
    assert first.targets["class"] == 2 and first.targets["scores"].tolist() == [0, 0, 1]
    assert first.meta["answers"][8] == "Yes." and first.meta["scores"] == pytest.approx({"yes": 1, "no": 0.3})
    assert first.meta["question_type"] == "is there" and first.meta["answer_type"] == "yes/no"
    assert data[1].meta["scores"] == pytest.approx({"2": 1, "3": 1})
    val = VqaV2(root, split="val", min_count=1)
    assert val.classes == data.classes and val[0].values["image"].parent.name == "val2014"
    own = VqaV2(root, classes=["no", "2"])
    assert own[1].targets["scores"].tolist() == [0, 1] and own[0].targets["scores"].tolist() == pytest.approx([0.3, 0])
    assert "class" not in own[2].targets and VqaV2(root, min_count=0)[0].targets == {}
    (tmp_path / "answers.txt").write_text("no\n2\n")
    assert VqaV2(root, classes=str(tmp_path / "answers.txt")).classes == own.classes
    with pytest.raises(InputError, match="none.txt' cannot be read: No such file"):
        VqaV2(root, classes=str(tmp_path / "none.txt"))


def test_vqav2_without_answers(tmp_path):
    root = fixture.vqav2(tmp_path)
    assert VqaV2(root, split="test", classes=["yes"])[0].targets == {}
    dev = VqaV2(root, split="test-dev", min_count=0)
    assert len(dev) == 1 and dev[0].values["image"] == root / "test2015/COCO_test2015_000000262148.jpg"
    assert dev[0].meta["answers"] == []


def test_vqav2_that_does_not_fit(tmp_path):
    root = fixture.vqav2(tmp_path)
    path = root / "v2_mscoco_train2014_annotations.json"
    table = json.loads(path.read_text())
    last = table["annotations"].pop()
    fixture.dump(path, table)
    with pytest.raises(InputError, match="the question 262148000 of .* has no annotation for its picture 262148"):
        VqaV2(root)
    table["annotations"] += [last, last | {"question_id": 5}]
    fixture.dump(path, table)
    with pytest.raises(InputError, match="lacks the question 5, which was answered"):
        VqaV2(root)
    path.unlink()
    with pytest.raises(InputError, match="no file 'v2_mscoco_train2014_annotations.json'.*visualqa.org"):
        VqaV2(root, split="val")


def test_refcoco(tmp_path):
    root = fixture.refcoco(tmp_path)
    data = RefCoco(root, split="testA")
    assert data.ids == ["2#6", "2#7", "2#8"]
    assert [sample.values["text"] for sample in data] == ["the man on the left", "left guy", "caf\xe9 sign"]
    assert data[0].values["image"] == root / "images/train2014/COCO_train2014_000000581857.jpg"
    assert data[0].targets["box"].tolist() == [3.5, 4.0, 20.75, 22.5] and data[0].targets["class"] == 2
    assert data[0].meta["class"] == "toothbrush" and data[0].meta["annotation_id"] == 1719310
    assert RefCoco(root, split="testB", captions="first").ids == ["3"]
    for edition, by, split in (("refcoco+", None, "testA"), ("refcocog", None, "test"), ("refcocog", "google", "val")):
        assert len(RefCoco(root, edition=edition, by=by, split=split)) == 3
    with pytest.raises(ConfigError, match=r"split \(of refcocog, google\) is 'test'"):
        RefCoco(root, edition="refcocog", by="google", split="test")
    with pytest.raises(ConfigError, match=r"by \(of refcoco\+\) is 'umd'"):
        RefCoco(root, edition="refcoco+", by="umd")


def test_refcoco_boxes_of_other_pictures_are_refused(tmp_path):
    root = fixture.refcoco(tmp_path)
    path = root / "refcoco/instances.json"
    table = json.loads(path.read_text())
    table["images"].append(table["images"][0] | {"id": 7})
    table["annotations"][0]["image_id"] = 7
    fixture.dump(path, table)
    with pytest.raises(InputError, match="the box 1719310 is not of the picture 581857"):
        RefCoco(root)


sprung: list[str] = []


def spring(word):
    sprung.append(word)


class Trap:
    """What a pickle can hold: a call that runs when it is unpickled."""

    def __reduce__(self):
        return spring, ("caught",)


def test_a_pickle_that_could_run_code_is_refused(tmp_path):
    root = fixture.refcoco(tmp_path)
    for protocol in range(6):
        (root / "refcoco/refs(unc).p").write_bytes(pickle.dumps([Trap()], protocol=protocol))
        with pytest.raises(InputError, match="more than plain values .* could run code.*refs\\(unc\\).json"):
            RefCoco(root)
    assert not sprung and pickle.loads(pickle.dumps(Trap())) is None and sprung  # it would have run
    (root / "refcoco/refs(unc).json").write_text(json.dumps([fixture.refcoco_refs("train", 4, 1719310, 581857)]))
    assert len(RefCoco(root)) == 3  # the way out


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_every_protocol(protocol):
    value = [{"a": 1, "b": [None, True, -2, 3.5, 2**80, "caf\xe9", ("x", (), ("y", "z", 1, 2))]}, {}, [], -(2**40)]
    value.append(value[0])
    assert read_plain_pickle(pickle.dumps(value, protocol=protocol)) == value


@pytest.mark.parametrize(
    "content",
    [b"", b"not a pickle", pickle.dumps([1, 2])[:-3], b"\x80\x02.", b"r\xff\xff\xff\x7f.", b"(((", b"]a.", b"}]]s.",
     b"\x80\x09K\x01.", b"I1x\n."],
)  # fmt: skip
def test_damaged_pickles(content):
    with pytest.raises(InputError, match="no pickle, or a damaged one"):
        read_plain_pickle(content)


def test_pickles_do_not_reach_for_memory_that_they_do_not_fill():
    """A place in the memo of two thousand million takes no two thousand million places."""
    assert read_plain_pickle(b"K\x05r\xff\xff\xff\x7f.") == 5
    with pytest.raises(InputError, match="damaged"):
        read_plain_pickle(b"\x8d\xff\xff\xff\xff\xff\xff\xff\x0fabc.")


@pytest.mark.parametrize("content", [b"cos\nsystem\n.", b"(ios\nsystem\n.", b"\x82\x01.", b"]}b.", b"Pid\n.", b"\x8f."])
def test_instructions_that_are_not_plain(content):
    with pytest.raises(InputError, match="more than plain values"):
        read_plain_pickle(content)
