"""Points, boxes and SimOTA against hand-written loops."""

from __future__ import annotations

import math

import pytest
import torch

from omni_plugin_detection.assign import decode, make_points, sim_ota
from omni_plugin_detection.head import fraction_boxes, quality_focal_loss, repeats, suppress


def test_points_lie_in_the_middle_of_their_cells():
    points = make_points([(2, 4), (1, 1)])
    assert points.centre_P2[0].tolist() == [0.125, 0.25]
    assert points.centre_P2[5].tolist() == [0.375, 0.75]  # second row, second column
    assert points.centre_P2[8].tolist() == [0.5, 0.5]
    assert points.stride_P2[0].tolist() == [0.25, 0.5]


def test_decoding_follows_its_formula():
    points = make_points([(2, 2)])
    raw = torch.tensor([0.5, -1.0, math.log(0.25), math.log(0.5)]).expand(1, 4, 4)
    box = decode(raw, points, size=4.0)[0, 0]
    # middle (.25 + .25, .25 - .5), sides .25 * 4 * .5 and .5 * 4 * .5
    assert torch.allclose(box, torch.tensor([0.5 - 0.25, -0.25 - 0.5, 0.5 + 0.25, -0.25 + 0.5]))


def slow_sim_ota(boxes, predicted, objectness, points):
    """One picture, one pair at a time."""
    cost, overlap = {}, {}
    for box, (x0, y0, x1, y1) in enumerate(boxes):
        for point, (x, y) in enumerate(points.centre_P2.tolist()):
            a0, b0, a1, b1 = predicted[point]
            wide, high = min(x1, a1) - max(x0, a0), min(y1, b1) - max(y0, b0)
            shared = max(0.0, wide) * max(0.0, high)
            iou = shared / ((x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - shared)
            inside = x0 < x < x1 and y0 < y < y1
            dx, dy = points.stride_P2[point].tolist()
            central = abs(x - (x0 + x1) / 2) < 2.5 * dx and abs(y - (y0 + y1) / 2) < 2.5 * dy
            if inside or central:
                overlap[box, point] = iou
                extra = 0.0 if inside and central else 1e5
                cost[box, point] = math.log1p(math.exp(-objectness[point])) - 3 * math.log(iou + 1e-8) + extra
    owner: dict[int, int] = {}
    for box in range(len(boxes)):
        mine = sorted(point for other, point in cost if other == box)
        wanted = max(1, int(sum(sorted((overlap[box, p] for p in mine), reverse=True)[:10])))
        for point in sorted(mine, key=lambda p: cost[box, p])[:wanted]:
            if point not in owner or cost[box, point] < cost[owner[point], point]:
                owner[point] = box
    return owner, overlap


@pytest.mark.parametrize("seed", range(4))
def test_sim_ota_agrees_with_a_loop_over_all_pairs(seed):
    torch.manual_seed(seed)
    points = make_points([(6, 6), (3, 3)])
    points = type(points)(centre_P2=points.centre_P2.double(), stride_P2=points.stride_P2.double())
    low = torch.rand(2, 3, 2, dtype=torch.float64) * 0.5
    boxes = torch.cat((low, low + 0.15 + 0.35 * torch.rand(2, 3, 2, dtype=torch.float64)), -1)
    predicted = decode(torch.randn(2, 45, 4, dtype=torch.float64) * 0.4, points, size=2.0)
    objectness = torch.randn(2, 45, dtype=torch.float64)
    valid = torch.tensor([[True, True, True], [True, False, True]])
    index, iou = sim_ota(boxes, valid, predicted, objectness, points)
    for row in range(2):
        real = [box for box in range(3) if valid[row, box]]
        owner, overlap = slow_sim_ota(
            boxes[row][real].tolist(), predicted[row].tolist(), objectness[row].tolist(), points
        )
        assert {p: real[b] for p, b in owner.items()} == {
            point: int(box) for point, box in enumerate(index[row]) if box >= 0
        }
        for point, box in owner.items():
            assert float(iou[row, point]) == pytest.approx(overlap[box, point], abs=1e-9)
    assert (iou[index < 0] == 0).all()


def test_every_box_gets_a_point_and_no_box_gives_none():
    points = make_points([(4, 4)])
    boxes = torch.tensor([[[0.4, 0.4, 0.45, 0.46], [0.9, 0.1, 0.99, 0.2]]])
    predicted = decode(torch.zeros(1, 16, 4), points)
    index, _ = sim_ota(boxes, torch.ones(1, 2, dtype=torch.bool), predicted, torch.zeros(1, 16), points)
    assert set(index[0].tolist()) >= {0, 1}
    index, iou = sim_ota(boxes, torch.zeros(1, 2, dtype=torch.bool), predicted, torch.zeros(1, 16), points)
    assert (index == -1).all() and (iou == 0).all()
    index, _ = sim_ota(boxes[:, :0], torch.zeros(1, 0, dtype=torch.bool), predicted, torch.zeros(1, 16), points)
    assert (index == -1).all()


def test_quality_focal_loss_is_the_focal_loss_at_zero_and_one():
    from torchvision.ops import sigmoid_focal_loss

    logits = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = (torch.arange(50) % 2).double()
    ours = quality_focal_loss(logits, target)
    assert torch.allclose(ours, sigmoid_focal_loss(logits, target, alpha=-1, gamma=2), rtol=1e-10)
    half = quality_focal_loss(torch.zeros(1, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64))
    assert float(half) == 0.0  # right at the quality: nothing to learn


def test_boxes_become_fractions_of_their_own_picture():
    targets = {
        "boxes": torch.tensor([[[10.0, 20, 30, 40]], [[10.0, 20, 10, 40]]]),
        "picture_size": torch.tensor([[[80.0, 40.0]], [[40.0, 40.0]]]),
    }
    boxes, valid = fraction_boxes(targets)
    assert boxes[0, 0].tolist() == [0.25, 0.25, 0.75, 0.5]
    assert valid.tolist() == [[True], [False]]  # the second has no area


def test_labels_named_twice_count_once():
    assert repeats(torch.tensor([3, 5, 3, 3])).tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3])


def test_suppression_keeps_the_better_of_a_label_and_both_of_two():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [50.0, 50, 60, 60]])
    scores = torch.tensor([[0.9, 0.0], [0.8, 0.7], [0.0, 0.3]])
    found = suppress(boxes, scores, score_threshold=0.2, iou_threshold=0.5, most=10)
    assert found.labels_N.tolist() == [0, 1, 1]
    assert found.scores_N.tolist() == pytest.approx([0.9, 0.7, 0.3])
    assert len(suppress(boxes, scores, score_threshold=0.95, iou_threshold=0.5, most=10)) == 0
