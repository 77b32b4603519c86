"""Boxes back into the original's pixels, tiles and their merging, overlays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from omni.errors import ConfigError, InputError
from omni_plugin_detection.frames import frame_of
from omni_plugin_detection.head import Detections
from omni_plugin_detection.overlay import colour, draw
from omni_plugin_detection.tiles import is_cut, make_tiles, merge
from omni_plugin_image.transform import ImageBasic


@pytest.mark.parametrize(("height", "width"), [(64, 64), (90, 200), (300, 70), (61, 47), (40, 900)])
@pytest.mark.parametrize("mode", ["squash", "crop"])
def test_a_mark_is_found_where_it_was(height, width, mode):
    """A white mark goes through the real transform; where it ends up, brought back, is where it was put."""
    transform = ImageBasic(size=64, mode=mode, crop_scale=(1, 1), crop_ratio=(1, 1), mean=(0, 0, 0), std=(1, 1, 1))
    frame = frame_of(transform, height, width)
    cx, cy = frame.left + 0.4 * frame.width, frame.top + 0.6 * frame.height
    half_w, half_h = max(2, round(frame.width / 8)), max(2, round(frame.height / 8))
    x0, y0 = round(cx) - half_w, round(cy) - half_h
    box = (x0, y0, x0 + 2 * half_w, y0 + 2 * half_h)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    seen = transform(pixels)["pixels_CHW"][0]
    weight = seen.clamp(min=0)
    grid = (torch.arange(64) + 0.5) / 64
    mass = weight.sum()
    middle = torch.tensor([float((weight.sum(0) * grid).sum() / mass), float((weight.sum(1) * grid).sum() / mass)])
    sides = torch.tensor([float((weight.amax(0) > 0.5).sum()) / 64, float((weight.amax(1) > 0.5).sum()) / 64])
    back = frame.to_pixels(torch.cat((middle - sides / 2, middle + sides / 2))[None])[0]
    pixel = max(frame.width, frame.height) / 64  # of the model's picture, in pixels of the original
    assert torch.allclose(back, torch.tensor(box, dtype=torch.float32), atol=1.01 * pixel)


def test_fractions_and_pixels_are_inverse():
    frame = frame_of(ImageBasic(size=64, mode="crop"), 90, 200)
    boxes = torch.rand(5, 4)
    assert torch.allclose(frame.to_fractions(frame.to_pixels(boxes)), boxes, atol=1e-5)


def test_an_unknown_transform_is_refused():
    with pytest.raises(ConfigError, match="image_basic"):
        frame_of(object(), 10, 10)


@pytest.mark.parametrize(("height", "width", "tile"), [(100, 100, 64), (64, 300, 64), (65, 129, 64), (30, 20, 64)])
def test_tiles_cover_everything_and_overlap(height, width, tile):
    tiles = make_tiles(height, width, tile=tile, overlap=0.25)
    seen = np.zeros((height, width), int)
    for item in tiles:
        x0, y0, x1, y1 = item.box
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        assert (x1 - x0, y1 - y0) == (min(tile, width), min(tile, height))
        assert item.inner == (x0 > 0, y0 > 0, x1 < width, y1 < height)
        seen[y0:y1, x0:x1] += 1
    assert seen.min() == 1
    columns = sorted({item.box[0] for item in tiles})
    assert all(b - a <= 0.75 * tile for a, b in zip(columns, columns[1:], strict=False))
    with pytest.raises(ConfigError):
        make_tiles(10, 10, tile=0, overlap=0.5)
    with pytest.raises(ConfigError):
        make_tiles(10, 10, tile=5, overlap=0.95)


def test_a_box_at_an_inner_border_is_cut_one_at_the_picture_s_border_is_not():
    tile = make_tiles(64, 200, tile=64, overlap=0.25)[0]
    boxes = torch.tensor([[0.0, 0, 20, 20], [40.0, 10, 64, 30], [30.0, 30, 50, 64]])
    assert is_cut(boxes, tile).tolist() == [False, True, False]


def detections(boxes, scores, labels):
    return Detections(boxes_N4=torch.tensor(boxes), scores_N=torch.tensor(scores), labels_N=torch.tensor(labels))


def test_the_whole_box_wins_over_its_better_scored_piece():
    # The tile at 0..64 sees 50..64 of a thing at 50..80; the tile at 48..112 sees all of it.
    found = detections([[50.0, 10, 64, 40], [50.0, 10, 80, 40]], [0.95, 0.6], [1, 1])
    made = merge(found, torch.tensor([True, False]), torch.tensor([0, 1]))
    assert made.boxes_N4.tolist() == [[50, 10, 80, 40]] and made.scores_N.tolist() == pytest.approx([0.6])


def test_a_piece_that_lies_only_in_part_within_the_whole_box_is_a_piece_all_the_same():
    found = detections([[48.0, 20, 64, 36], [56.0, 20, 74, 40]], [0.9, 0.6], [1, 1])  # half of the first in the second
    made = merge(found, torch.tensor([True, False]), torch.tensor([0, 1]))
    assert made.boxes_N4.tolist() == [[56, 20, 74, 40]]
    assert len(merge(found, torch.tensor([False, False]), torch.tensor([0, 1]))) == 2  # two whole things


def test_pieces_of_a_thing_larger_than_the_overlap_are_joined():
    found = detections([[20.0, 10, 64, 40], [48.0, 11, 100, 41]], [0.9, 0.7], [1, 1])
    made = merge(found, torch.tensor([True, True]), torch.tensor([0, 1]))
    assert made.boxes_N4.tolist() == [[20, 10, 100, 41]] and made.scores_N.tolist() == pytest.approx([0.9])


def test_different_labels_and_neighbours_stay_apart():
    found = detections([[50.0, 10, 64, 40], [50.0, 10, 80, 40], [82.0, 10, 99, 40]], [0.9, 0.8, 0.7], [0, 1, 1])
    made = merge(found, torch.tensor([False, False, False]), torch.tensor([0, 1, 1]))
    assert len(made) == 3 and made.scores_N.tolist() == pytest.approx([0.9, 0.8, 0.7])
    empty = merge(detections(np.zeros((0, 4), np.float32), [], []), torch.zeros(0).bool(), torch.zeros(0).long())
    assert len(empty) == 0


def test_overlay_draws_the_box_and_leaves_the_rest(tmp_path):
    pixels = np.zeros((100, 120, 3), np.uint8)
    found = detections([[20.0, 40, 60, 80], [90.0, 90, 99, 99]], [0.9, 0.1], [1, 0])
    made = np.asarray(draw(pixels, found, labels=["cat", "dog"], least=0.5, path=tmp_path / "out.png"))
    assert tuple(made[60, 20]) == colour(1) and tuple(made[60, 59]) == colour(1)
    assert tuple(made[60, 60]) == (0, 0, 0) and tuple(made[95, 90]) == (0, 0, 0)
    with Image.open(tmp_path / "out.png") as again:
        assert again.format == "PNG" and (np.asarray(again) == made).all()
    masks = np.zeros((1, 100, 120), bool)
    masks[0, :10, :10] = True
    made = np.asarray(draw(pixels, masks_NHW=masks))
    assert tuple(made[5, 5]) == tuple(c // 2 for c in colour(0)) and not made[50:].any()
    with pytest.raises(InputError, match="masks"):
        draw(pixels, masks_NHW=np.zeros((1, 5, 5), bool))
