"""Layouts, drawing, truth, splits and labels of composites, on a small made folder."""

from __future__ import annotations

import numpy as np
import pytest
from composites_fixture import write_folder

from omni.data.building.counter_rng import CounterRng
from omni.errors import ConfigError, InputError
from omni_plugin_detection.composites.categories import LANGUAGES, NAMES, name_of
from omni_plugin_detection.composites.dataset import SPLITS, Composites
from omni_plugin_detection.composites.scene import Placed, Scene, boxes_of, is_held, left_of, render


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("composites"))


def test_truth_of_a_layout_known_by_hand():
    ground = np.full((64, 100, 3), 7, np.uint8)
    solid = np.zeros((10, 20, 4), np.uint8)
    solid[...] = (200, 0, 0, 255)
    scene = Scene(
        ground=0, shift=0.0,
        things=(
            Placed(thing=0, box=(10, 5, 20, 10), mirrored=False), Placed(thing=0, box=(25, 5, 20, 10), mirrored=True),
        ),
    )  # fmt: skip
    drawn = render(scene, ground, lambda number: solid, 64)
    # The second lies over the last five columns of the first.
    assert drawn.boxes_N4.tolist() == [[10, 5, 25, 15], [25, 5, 45, 15]]
    assert drawn.masks_NHW.sum((1, 2)).tolist() == [150, 200]
    assert not (drawn.masks_NHW[0] & drawn.masks_NHW[1]).any()
    assert (drawn.pixels_HWC[drawn.masks_NHW.any(0)] == (200, 0, 0)).all()
    assert (drawn.pixels_HWC[~drawn.masks_NHW.any(0)] == 7).all()
    assert left_of(drawn.boxes_N4, 64) == [(0, 1)]


def test_boxes_are_those_of_the_mask_s_pixels():
    mask = np.zeros((2, 8, 9), bool)
    mask[0, 2, 3] = mask[0, 5, 1] = True
    assert boxes_of(mask).tolist() == [[1, 2, 4, 6], [0, 0, 0, 0]]


def test_scenes_are_the_same_each_time_and_differ_by_seed(root):
    first, again = Composites("train", root=root, scenes=5), Composites("train", root=root, scenes=5)
    other = Composites("train", root=root, scenes=5, seed=1)
    for index in range(5):
        a, b = first[index], again[index]
        assert (a.values["image"] == b.values["image"]).all() and a.values["text"] == b.values["text"]
        assert a.id == b.id
    assert any(first.scene(n) != other.scene(n) for n in range(5))
    assert first[-1].id == first[4].id
    with pytest.raises(IndexError):
        first[5]


def test_splits_share_no_unseen_thing_no_ground_and_no_held_pair(root):
    grounds = {}
    for split in SPLITS:
        data = Composites(split, root=root, scenes=40)
        seen = set()
        for index in range(len(data)):
            scene = data.scene(index)
            groups = [data.things[item.thing]["group"] for item in scene.things]
            assert len(set(groups)) == len(groups)
            parts = {data.things[item.thing]["part"] for item in scene.things}
            assert parts == {"unseen" if split == "unseen" else "seen"}
            pairs = [(a, b) for a in groups for b in groups if a < b]
            assert all(is_held(*pair) == (split == "pairs") for pair in pairs)
            assert split != "pairs" or len(groups) == 2
            seen.add(scene.ground)
        grounds[split] = seen
    assert not grounds["train"] & grounds["test"] and not grounds["train"] & grounds["val"]
    assert is_held(3, 9) == is_held(9, 3)


def test_targets_and_labels_belong_together(root):
    data = Composites(
        "test", root=root, scenes=30, slots=("image", "text", "crop", "audio", "phrase", "caption"), masks=True
    )
    heard = 0
    for index in range(len(data)):
        sample, scene = data[index], data.scene(index)
        targets = sample.targets
        assert targets["boxes"].shape == (len(scene.things), 4) and targets["picture_size"].tolist() == [[128, 128]]
        assert (boxes_of(targets["masks"]) == targets["boxes"]).all()
        ids = {tuple(row) for row in targets["labels"].tolist()}
        assert any(targets["text_id"] in row for row in ids) and any(targets["crop_id"] in row for row in ids)
        names = {data.label_text(item.thing, kind=kind, language=tag) for item in scene.things
                 for kind in (True, False) for tag in LANGUAGES}  # fmt: skip
        assert sample.values["text"] in names
        chosen = targets["phrase_box"][0].tolist()
        row = targets["boxes"].tolist().index(chosen)
        assert sample.values["phrase"] == sample.meta["names"][row]
        if "caption" in sample.values:
            first, second = sample.values["caption"].split(" left of ")
            assert sample.meta["swapped"] == f"{second} left of {first}"
            middle = targets["boxes"][:, [0, 2]].mean(1)
            assert middle[sample.meta["names"].index(first)] < middle[sample.meta["names"].index(second)]
        heard += "audio" in sample.values
        assert ("audio" in sample.values) == ("audio_id" in targets)
    assert heard > 0


def test_a_phrase_of_a_pair_says_which_side(root):
    data = Composites("pairs", root=root, scenes=10, slots=("image", "phrase"))
    for sample in (data[index] for index in range(10)):
        first, second = sample.values["phrase"].split(" left of ")
        boxes = sample.targets["boxes"]
        row = sample.meta["names"].index(first)
        assert sample.targets["phrase_box"][0].tolist() == boxes[row].tolist()
        assert boxes[row, [0, 2]].mean() < boxes[sample.meta["names"].index(second), [0, 2]].mean()


def test_kinds_have_names_in_every_language():
    assert all(len(names) == len(LANGUAGES) and all(names) for names in NAMES.values()) and len(NAMES) == 15
    assert name_of("animals", "de") == "Tier" and name_of("things of my own") == "things of my own"


def test_refusals(root, tmp_path):
    with pytest.raises(ConfigError, match="split"):
        Composites("dev", root=root)
    with pytest.raises(ConfigError, match="video"):
        Composites("train", root=root, slots=("image", "video"))
    with pytest.raises(ConfigError, match="side"):
        Composites("train", root=root, side=500)
    with pytest.raises(InputError, match="omni data build composites"):
        Composites("train", root=tmp_path / "nothing")
    with pytest.raises(InputError, match="no sound"):
        Composites("train", root=root).store.sound(3)


def test_a_counter_gives_layouts_within_the_picture(root):
    data = Composites("train", root=root, scenes=60, side=96)
    for index in range(60):
        for item in data.scene(index).things:
            x, y, wide, high = item.box
            assert x >= 0 and y >= 0 and x + wide <= 96 and y + high <= 96
            assert 0.2 * 96 <= max(wide, high) <= 0.6 * 96
    assert CounterRng("a").uniform((2,)).tolist() == CounterRng("a").uniform((2,)).tolist()
