"""Published image data sets: their folders are read as they are, and what does not fit is refused by name."""

from __future__ import annotations

import json
import shutil
import sys

import image_layouts_fixture as fixture
import numpy as np
import pytest

from omni.errors import ConfigError, InputError, MissingDependencyError
from omni_plugin_image.layouts.coco_boxes import CocoBoxes
from omni_plugin_image.layouts.coco_captions import CocoCaptions
from omni_plugin_image.layouts.flickr30k import Flickr30k
from omni_plugin_image.layouts.imagenet import ImageNet


@pytest.mark.parametrize("val", ["folders", "kaggle", "devkit"])
def test_imagenet_numbers_classes_alike_in_every_layout(tmp_path, val):
    root = fixture.imagenet(tmp_path, val=val)
    train, tested = ImageNet(root), ImageNet(root, split="val")
    assert train.wnids == tested.wnids == ("n01440764", "n02012849", "n03126707")
    assert train.classes == ("tench, Tinca tinca", "crane", "crane")
    assert len(train) == 9 and train[0].id == "n01440764/n01440764_10.JPEG"
    assert [sample.targets["class"] for sample in train] == [0] * 2 + [1] * 3 + [2] * 4
    number = {wnid: index for index, wnid in enumerate(tested.wnids)}
    found = {sample.values["image"].name[:-5]: sample.targets["class"] for sample in tested}
    assert found == {f"ILSVRC2012_val_{n:08d}": number[wnid] for n, wnid in enumerate(fixture.VAL_CLASSES, 1)}
    assert all(sample.values["image"].is_file() for sample in (*train, *tested))
    assert tested[0].meta["wnid"] == tested.wnids[tested[0].targets["class"]]


def test_imagenet_some_classes_in_a_given_order(tmp_path):
    root = fixture.imagenet(tmp_path, val="kaggle")
    data = ImageNet(root, split="val", wnids=["n03126707", "n01440764"])
    assert data.classes == ("crane", "tench, Tinca tinca")
    assert sorted(sample.targets["class"] for sample in data) == [0, 1, 1]
    with pytest.raises(InputError, match="the class 'n99999999' is not among the 3"):
        ImageNet(root, wnids=["n99999999"])


def test_imagenet_without_names_or_with_map_clsloc(tmp_path, monkeypatch):
    root = fixture.imagenet(tmp_path, val="devkit")
    devkit = root / "ILSVRC2012_devkit_t12/data"
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'omni-plugin-image\[imagenet\]', or put LOC_val"):
        ImageNet(root, split="val")
    monkeypatch.undo()
    (devkit / "meta.mat").write_bytes(b"MATLAB 5.0 MAT-file, damaged")
    with pytest.raises(InputError, match="is no meta.mat of the devkit"):
        ImageNet(root, split="val")
    (devkit / "meta.mat").unlink()
    assert ImageNet(root).classes == ImageNet(root).wnids
    with pytest.raises(InputError, match="no file 'map_clsloc.txt' or 'meta.mat'"):
        ImageNet(root, split="val")
    lines = [f"{wnid} {which} {fixture.WNIDS[wnid].split(',')[0]}" for which, wnid in fixture.ILSVRC_IDS.items()]
    (devkit / "map_clsloc.txt").write_text("\n".join(lines) + "\n")
    data = ImageNet(root, split="val")
    assert [data.wnids[sample.targets["class"]] for sample in data] == list(fixture.VAL_CLASSES)
    assert data.classes == ("tench", "crane", "crane")
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n7\n")
    with pytest.raises(InputError, match="line 2: no class has the id 7"):
        ImageNet(root, split="val")
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text("3\nn01440764\n")
    with pytest.raises(InputError, match="is not as published"):
        ImageNet(root, split="val")
    (devkit / "ILSVRC2012_validation_ground_truth.txt").unlink()
    with pytest.raises(InputError, match="LOC_val_solution.csv.*How to get it: ask at image-net.org"):
        ImageNet(root, split="val")


def test_imagenet_pictures_that_are_gone(tmp_path):
    root = fixture.imagenet(tmp_path, val="kaggle")
    gone = next((root / "ILSVRC/Data/CLS-LOC/val").glob("*2.JPEG"))
    gone.unlink()
    data = ImageNet(root, split="val")
    with pytest.raises(InputError, match=f"{gone.name}.*which is not there"):
        list(data)
    left = ImageNet(root, split="val", missing="skip")
    assert len(left) == 3 and left.skipped == 1 and gone.name not in left.ids
    shutil.rmtree(root / "ILSVRC/Data/CLS-LOC/train")
    (root / "train").mkdir()
    with pytest.raises(InputError, match="no folder called like a class, n01440764"):
        ImageNet(root)


@pytest.mark.parametrize("edition", ["2017", "2014"])
def test_coco_captions(tmp_path, edition):
    root = fixture.coco(tmp_path, edition=edition)
    data = CocoCaptions(root, split="val", edition=edition)
    assert len(data) == 15 and data[7].id == "26#2"
    assert data[7].values["image"] == root / f"val{edition}" / fixture.coco_name(26, f"val{edition}")
    assert data[7].values["text"] == "A red square" and data[7].targets == {"image": 1}
    assert data[7].meta["image_id"] == 26 and data[7].meta["captions"][1] == 'Two people talk "here".'
    assert CocoCaptions(root, edition=edition, captions="first").ids == ["9", "25", "391895"]
    with pytest.raises(ConfigError, match="split is 'test'; it must be one of 'train', 'val'"):
        CocoCaptions(root, split="test", edition=edition)


def test_coco_captions_of_karpathys_split(tmp_path):
    root = fixture.karpathy_coco(tmp_path)
    parts = {split: CocoCaptions(root, split=split, edition="karpathy") for split in ("train", "val", "test")}
    assert {split: len(data) for split, data in parts.items()} == {"train": 10, "val": 5, "test": 5}
    assert [sample.values["image"].parent.name for sample in parts["train"]] == ["train2014"] * 5 + ["val2014"] * 5
    assert len(CocoCaptions(root, edition="karpathy", restval=False)) == 5
    assert parts["test"][0].meta["image_id"] == 73 and parts["test"][0].values["image"].is_file()
    with pytest.raises(InputError, match="no file 'annotations/captions_train2017.json' or .*cocodataset.org"):
        CocoCaptions(root)


def test_coco_captions_that_do_not_fit(tmp_path):
    root = fixture.coco(tmp_path)
    path = root / "annotations/captions_train2017.json"
    table = json.loads(path.read_text())
    table["annotations"][0]["image_id"] = 12
    fixture.dump(path, table)
    with pytest.raises(InputError, match="captions_train2017.json' is not as published: KeyError: 12"):
        CocoCaptions(root)
    table["images"][0]["file_name"] = "../../secret.jpg"
    fixture.dump(path, table)
    with pytest.raises(InputError, match="names the file '../../secret.jpg', which is not inside"):
        CocoCaptions(root)
    fixture.dump(path, {"images": ["a"], "annotations": []})
    with pytest.raises(InputError, match="is not as published: TypeError"):
        CocoCaptions(root)


def test_coco_boxes(tmp_path):
    root = fixture.coco(tmp_path)
    data = CocoBoxes(root)
    assert data.classes == ("person", "dog", "toothbrush") and data.category_ids == (1, 18, 90)
    assert data.ids == ["9", "25", "391895"] and data.degenerate == 1
    found = data[2]
    assert found.targets["boxes"].tolist() == [[3.5, 4.0, 20.75, 22.5], [1.0, 2.0, 4.0, 6.0]]
    assert found.targets["boxes"].dtype == np.float32
    assert found.targets["class"].tolist() == [2, 0] and found.targets["crowd"].tolist() == [0, 0]
    assert found.meta == {
        "image_id": 391895, "height": 30, "width": 40, "annotation_ids": [900100581904, 900100581907],
    }  # fmt: skip
    assert data[1].targets["crowd"].tolist() == [1] and data[0].targets["boxes"].shape == (0, 4)
    assert CocoBoxes(root, empty=False).ids == ["25", "391895"]
    assert CocoBoxes(root, empty=False, crowd="drop").ids == ["391895"]


def test_coco_boxes_padded_make_batches(tmp_path):
    from omni.data.collate import collate_targets

    root = fixture.coco(tmp_path)
    ragged = collate_targets(list(CocoBoxes(root)))
    assert ragged["boxes"].shape == (3, 2, 4) and ragged["valid_boxes"].sum(1).tolist() == [0, 1, 2]
    assert ragged["class"][ragged["valid_class"]].tolist()[-2:] == [2, 0]
    targets = collate_targets(list(CocoBoxes(root, max_boxes=3)))
    assert targets["boxes"].shape == (3, 3, 4) and targets["class"].tolist()[2] == [2, 0, -100]
    assert targets["boxes"].isfinite().all(-1).sum(1).tolist() == [0, 1, 2]
    with pytest.raises(ConfigError, match="max_boxes is 1, but 000000391895.jpg has 2 boxes"):
        CocoBoxes(root, max_boxes=1)


def test_boxes_stay_in_the_stored_picture_and_follow_by_scaling(tmp_path):
    """As the page says: no transform moves them; of one that only resizes, scaled boxes hold what they held."""
    from PIL import Image

    from omni.data.processor import Processor

    root = fixture.coco(tmp_path)
    picture = Image.new("RGB", (40, 30), "blue")
    picture.paste((255, 0, 0), (4, 4, 20, 22))  # a red thing within the first box, 3.5 4 20.75 22.5
    picture.save(root / "val2017" / fixture.coco_name(391896, "val2017"), quality=100, subsampling=0)
    data = CocoBoxes(root, split="val", max_boxes=3)
    sample, before = data[2], data[2].targets["boxes"].copy()
    moving = Processor({"image": {"type": "image_basic", "size": 64, "crop_scale": (0.3, 0.5), "flip": 1.0}})
    batch = moving.collate([(sample, moving(sample, training=True))])
    assert np.array_equal(batch.targets["boxes"][0].numpy(), before, equal_nan=True)

    plain = {"mode": "squash", "crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0}
    resizing = Processor({"image": {"type": "image_basic", "size": 224, **plain}})
    batch = resizing.collate([(sample, resizing(sample, training=True))])
    red_HW = batch.inputs["image"]["pixels_BCHW"][0, 0] > batch.inputs["image"]["pixels_BCHW"][0, 2]
    rows, columns = red_HW.nonzero(as_tuple=True)
    scale = np.array([224 / sample.meta["width"], 224 / sample.meta["height"]] * 2)
    x1, y1, x2, y2 = before[0] * scale
    assert x1 <= columns.min() < x1 + 6 and y1 <= rows.min() < y1 + 6
    assert x2 - 8 < columns.max() <= x2 and y2 - 8 < rows.max() <= y2


@pytest.mark.parametrize(
    ("change", "message"),
    [({"category_id": 2}, "KeyError: 2"), ({"bbox": [1, 2, 3]}, "ValueError"), ({"bbox": [1, 2, 3, float("nan")]},
     "a box is not finite"), ({"image_id": 10}, "KeyError: 10")],
)  # fmt: skip
def test_coco_boxes_that_do_not_fit(tmp_path, change, message):
    root = fixture.coco(tmp_path)
    path = root / "annotations/instances_train2017.json"
    table = json.loads(path.read_text())
    table["annotations"][0] |= change
    fixture.dump(path, table)
    with pytest.raises(InputError, match=f"instances_train2017.json' is not as published: .*{message}"):
        CocoBoxes(root)


def test_flickr30k(tmp_path):
    root = fixture.flickr30k(tmp_path)
    data = Flickr30k(root, split="val")
    assert data.ids == [f"10002456#{which}" for which in range(5)] and data[2].values["text"] == "A red square"
    assert data[0].values["image"] == root / "flickr30k-images/10002456.jpg"
    assert len(Flickr30k(root, split="all")) == 15 and Flickr30k(root, split="all")[14].meta["split"] == "test"
    plain = Flickr30k(root, split="test", edition="token")
    assert plain.ids[0] == "1000268201#0" and plain[3].values["text"] == 'A man says " hello 3 .'
    assert len(Flickr30k(root, split="all", edition="token", captions="first")) == 3


def test_flickr30k_that_does_not_fit(tmp_path):
    root = fixture.flickr30k(tmp_path)
    (root / "val.txt").write_text("77\n")
    with pytest.raises(InputError, match="val.txt lists '77', of which .* has no caption"):
        Flickr30k(root, split="val", edition="token")
    (root / "val.txt").unlink()
    with pytest.raises(InputError, match="no file 'val.txt'.*split='all' or edition='karpathy'"):
        Flickr30k(root, split="val", edition="token")
    with (root / "results_20130124.token").open("a") as file:
        file.write("1000092795.jpg\tno number\n")
    with pytest.raises(InputError, match="results_20130124.token, line 16: .* is not 'NUMBER.jpg#0<tab>caption'"):
        Flickr30k(root, split="all", edition="token")
