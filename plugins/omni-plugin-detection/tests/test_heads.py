"""The heads learn what they should, give boxes in the original's pixels, and refuse what does not fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from composites_fixture import write_folder

import omni
from omni import config as configs
from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.engine.training import train
from omni.errors import ConfigError, InputError
from omni.inference import OmniPredictor
from omni_plugin_detection.adapter import ConvImageAdapter
from omni_plugin_detection.detector import Detector, detect
from omni_plugin_detection.grounding import ground, middle_points
from omni_plugin_detection.head import DetectionHead
from omni_plugin_detection.pyramid import LabelMatch, Pyramid, token_map
from omni_plugin_detection.segmentation import label_masks, segment

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SIDE = 64
WORDS = ("red", "blue")
RED, BLUE = (230, 30, 30), (30, 30, 230)


def square(rng, count=2):
    """A grey picture with squares, their boxes and which word is right."""
    pixels = np.full((SIDE, SIDE, 3), 128, np.uint8)
    boxes, kinds = [], []
    for place in range(count):
        kind, side = int(rng.integers(2)), int(rng.integers(14, 24))
        x, y = int(rng.integers(0, 32 - side)) + 32 * place, int(rng.integers(0, SIDE - side))
        pixels[y : y + side, x : x + side] = (RED, BLUE)[kind]
        boxes.append((x, y, x + side, y + side))
        kinds.append(kind)
    return pixels, np.asarray(boxes, np.float32), kinds


def tiny(heads):
    torch.manual_seed(0)
    config = ModelConfig.from_dict(
        {
            "width": 32, "num_layers": 1, "num_heads": 2, "ffn_width": 64, "layer_scale": 1.0, "embedding_width": 16,
            "embedding_norm": "l2", "slots": {"image": "image", "text": "text"}, "heads": heads,
            "adapters": {"image": {"stem": "conv", "patch_size": 8, "image_size": SIDE}},
        }
    )  # fmt: skip
    size = {"size": SIDE, "multiple": 8, "crop_scale": [1, 1], "crop_ratio": [1, 1]}
    processor = Processor.from_config(
        {"image": {"modality": "image", "type": "image_basic", **size}, "text": {"modality": "text", "type": "bpe"}}
    )
    return OmniModel(config), processor


def learn(model, processor, head, steps, rng, make_targets):
    words = processor.collate_slot("text", [processor.transforms["text"](word) for word in WORDS])
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    model.train()
    for step in range(steps):
        made = [square(rng) for _ in range(12)]
        inputs = processor.collate_slot("image", [processor.transforms["image"](item[0]) for item in made])
        targets = make_targets(made)
        targets |= {"label_embeddings_KE": model.encode("text", words), "label_ids_K": torch.tensor([0, 1])}
        loss = model.heads[head](model.encode_slot("image", inputs), targets).loss
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return OmniPredictor(model, processor)


def box_targets(made):
    return {
        "boxes": torch.from_numpy(np.stack([item[1] for item in made])),
        "labels": torch.tensor([item[2] for item in made])[..., None],
        "picture_size": torch.full((len(made), 1, 2), float(SIDE)),
    }


@pytest.fixture(scope="module")
def trained():
    head = {"slot": "image", "embedding_width": 16, "channels": 32, "scales": [1], "depth": 1}
    model, processor = tiny({"detection": head})
    return learn(model, processor, "detection", 110, np.random.default_rng(0), box_targets)


def iou(first, second):
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(0.0, wide) * max(0.0, high)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return shared / (area - shared)


def test_squares_are_found_and_told_apart(trained):
    rng = np.random.default_rng(1)
    made = [square(rng) for _ in range(20)]
    found = detect(trained, [item[0] for item in made], {"text": list(WORDS)}, score_threshold=0.2)
    hits = 0
    for item, (_, boxes, kinds) in zip(found, made, strict=True):
        assert item.details == {"labels": WORDS, "size": (SIDE, SIDE)}
        for box, kind in zip(boxes.tolist(), kinds, strict=True):
            right = [
                b for b, k in zip(item.value.boxes_N4.tolist(), item.value.labels_N.tolist(), strict=True) if k == kind
            ]
            hits += any(iou(box, other) > 0.5 for other in right)
    assert hits >= 36  # of 40


def test_boxes_are_pixels_of_a_larger_original(trained):
    pixels, boxes, kinds = square(np.random.default_rng(5), count=1)
    large = pixels.repeat(3, 0).repeat(2, 1)  # 192 high, 128 wide
    (small,) = detect(trained, [pixels], {"text": list(WORDS)})
    (found,) = detect(trained, [large], {"text": list(WORDS)})
    assert found.details["size"] == (192, 128)
    scale = torch.tensor([2.0, 3.0, 2.0, 3.0])
    assert torch.allclose(found.value.boxes_N4[0], small.value.boxes_N4[0] * scale, atol=4.0)
    assert iou(found.value.boxes_N4[0].tolist(), (torch.from_numpy(boxes[0]) * scale).tolist()) > 0.5
    assert int(found.value.labels_N[0]) == kinds[0]


def test_the_likeliest_label_of_given_boxes(trained):
    rng, right = np.random.default_rng(3), 0
    detector = Detector(trained, {"text": list(WORDS)})
    for _ in range(10):
        pixels, boxes, kinds = square(rng)
        right += sum((detector.label_boxes(pixels, boxes).argmax(1) == torch.tensor(kinds)).tolist())
    assert right >= 18
    with pytest.raises(InputError, match="no labels"):
        Detector(trained).label_boxes(pixels, boxes)


def test_an_object_at_a_tile_s_border_is_found_once(trained):
    pixels = np.full((64, 112, 3), 128, np.uint8)
    pixels[20:40, 54:74] = RED  # the tile at 0..64 sees half of it, the one at 48..112 all
    detector, options = Detector(trained, {"text": list(WORDS)}), {"score_threshold": 0.25, "iou_threshold": 0.3}
    alone = detector.detect([pixels[:, :64], pixels[:, 48:]], **options)
    assert all(len(item.value) for item in alone)  # each tile sees something there
    found = detector.detect_tiled(pixels, tile=64, whole=False, **options)
    near = [box for box, k in zip(found.value.boxes_N4.tolist(), found.value.labels_N.tolist(), strict=True) if k == 0]
    assert len(near) == 1 and iou(near[0], (54, 20, 74, 40)) > 0.5


def test_things_of_any_kind_and_refusals(trained):
    pixels, boxes, _ = square(np.random.default_rng(8), count=1)
    (found,) = Detector(trained).detect([pixels])
    assert set(found.value.labels_N.tolist()) == {-1} and iou(found.value.boxes_N4[0].tolist(), boxes[0].tolist()) > 0.5
    assert Detector(trained).detect([]) == []
    with pytest.raises(InputError, match="no labels"):
        Detector(trained, {"text": []})
    with pytest.raises(InputError, match="2 names for 1"):
        Detector(trained, {"text": ["a"]}, names=["a", "b"])


def test_masks_are_learnt():
    head = {"slot": "image", "embedding_width": 16, "channels": 32, "scale": 1, "depth": 1}
    model, processor = tiny({"segmentation": head})

    def targets(made):
        masks = torch.zeros(len(made), 2, SIDE, SIDE)
        for row, (_, boxes, _) in enumerate(made):
            for place, (x0, y0, x1, y1) in enumerate(boxes.astype(int).tolist()):
                masks[row, place, y0:y1, x0:x1] = 1
        return {"masks": masks, "labels": box_targets(made)["labels"]}

    predictor = learn(model, processor, "segmentation", 110, np.random.default_rng(0), targets)
    pixels = np.full((SIDE, SIDE, 3), 128, np.uint8)
    pixels[8:32, 16:40], pixels[40:60, 8:28] = RED, BLUE
    masks, names = segment(predictor, pixels, {"text": list(WORDS)})
    assert names == WORDS and masks.shape == (2, SIDE, SIDE)
    for mask, (x0, y0, x1, y1) in zip(masks, [(16, 8, 40, 32), (8, 40, 28, 60)], strict=True):
        truth = np.zeros((SIDE, SIDE), bool)
        truth[y0:y1, x0:x1] = True
        assert (mask & truth).sum() / (mask | truth).sum() > 0.5


def test_masks_of_labels_are_unions_of_their_things():
    masks = torch.zeros(1, 3, 4, 4)
    masks[0, 0, :2], masks[0, 1, 2:], masks[0, 2] = 1, 1, 1
    targets = {
        "masks": masks, "valid_masks": torch.tensor([[True, True, False]]),
        "labels": torch.tensor([[[0, 1001], [0, 1002], [5, 1003]]]), "label_ids_K": torch.tensor([0, 1002, 5]),
    }  # fmt: skip
    cells = label_masks(targets, (2, 2))[0]
    assert cells.tolist() == [[[1, 1], [1, 1]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]]


def test_middle_points_are_within_the_middle_half_or_the_nearest():
    from omni_plugin_detection.assign import make_points

    points = make_points([(4, 4)])
    inside = middle_points(torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.6, 0.6, 0.62, 0.62]]), points)
    assert inside[0].nonzero()[:, 0].tolist() == [5, 6, 9, 10]
    assert inside[1].nonzero()[:, 0].tolist() == [10]


@pytest.mark.parametrize("name", ["composites_masks", "composites_grounding"])
def test_the_shipped_configs_train_and_answer(name, tmp_path):
    root = write_folder(tmp_path / "data")
    small = [f"train_dataloader.dataset.root={root}", "train_dataloader.dataset.scenes=8", "train_cfg.max_iters=2"]
    loaded = configs.load(CONFIGS / f"{name}.py", overrides=[*small, "train_dataloader.batch_size=4"])
    train(loaded, work_dir=tmp_path / "run", quiet=True)
    model = omni.load(tmp_path / "run" / "model")
    picture = np.full((80, 100, 3), 100, np.uint8)
    if name == "composites_grounding":
        (found,) = ground(model, [picture], ["a red 3"])
        assert found.value.shape == (4,) and 0 < found.score <= 1.0001
        assert (found.value <= torch.tensor([100.0, 80, 100, 80])).all() and (found.value >= 0).all()
    else:
        (found,) = detect(model, [picture], {"text": ["animal", "plant"]}, score_threshold=0.0, most=5)
        assert len(found.value) == 5 and (found.value.boxes_N4[:, 2] <= 100).all()
        masks, _ = segment(model, picture, {"text": ["animal"]})
        assert masks.shape == (1, 80, 100)


def test_refusals_of_the_parts(trained):
    with pytest.raises(ConfigError, match="scales"):
        Pyramid(width=8, channels=8, scales=[3], depth=0)
    with pytest.raises(ConfigError, match="channels"):
        Pyramid(width=8, channels=6, scales=[1], depth=0)
    with pytest.raises(ConfigError, match="grid"):
        DetectionHead(width=8, embedding_width=8, slot="x", grid=[0, 2])
    states = trained.model.encode_slot("image", {"pixels_BCHW": torch.zeros(1, 3, SIDE, SIDE)})
    with pytest.raises(InputError, match="no grid of 3 x 4"):
        token_map(states, "image", (3, 4))
    with pytest.raises(InputError, match="not there"):
        token_map(states, "photo", None)
    padded = dataclasses.replace(states, valid_BL=torch.zeros_like(states.valid_BL))
    with pytest.raises(InputError, match="padded"):
        token_map(padded, "image", None)
    with pytest.raises(InputError, match="same model"):
        LabelMatch(width=8, embedding_width=4)(torch.zeros(2, 4), torch.zeros(3, 5))
    head = trained.model.heads["detection"]
    with pytest.raises(InputError, match="picture_size"):
        head(states, {"boxes": torch.zeros(1, 1, 4)})


def test_a_batch_without_boxes_or_labels_has_a_loss_with_a_graph(trained):
    head = trained.model.heads["detection"]
    states = trained.model.encode_slot("image", {"pixels_BCHW": torch.rand(2, 3, SIDE, SIDE)})
    targets = {
        "boxes": torch.zeros(2, 0, 4), "labels": torch.zeros(2, 0, 1, dtype=torch.long),
        "picture_size": torch.full((2, 1, 2), 64.0), "label_embeddings_KE": torch.zeros(0, 16),
        "label_ids_K": torch.zeros(0, dtype=torch.long),
    }  # fmt: skip
    found = head(states, targets)
    found.loss.backward()
    assert found.loss.isfinite() and found.parts["box"] == 0 and found.parts["label"] == 0


def test_a_smaller_picture_of_a_batch_is_read_as_alone():
    torch.manual_seed(0)
    adapter = ConvImageAdapter(
        width=16, num_heads=2, num_layers=1, patch_size=8, image_size=32, channels=[8, 8]
    ).double().eval()  # fmt: skip
    small = torch.randn(1, 3, 16, 24, dtype=torch.float64)
    batch = torch.zeros(2, 3, 32, 32, dtype=torch.float64)
    batch[0, :, :16, :24] = small[0]
    batch[1] = torch.randn(3, 32, 32)
    both = adapter({"pixels_BCHW": batch, "sizes_B2": torch.tensor([[16, 24], [32, 32]])})
    alone = adapter({"pixels_BCHW": small})
    assert both.valid_BL[0].sum() == 7
    torch.testing.assert_close(both.tokens_BLD[0, :7], alone.tokens_BLD[0])
    with pytest.raises(ConfigError, match="power of two"):
        ConvImageAdapter(width=16, num_heads=2, num_layers=1, patch_size=12, image_size=24)
