"""Average precision against numbers worked out by hand, and two packages against each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from omni.errors import InputError
from omni_plugin_detection.coco import Truth, average_precision
from omni_plugin_detection.head import Detections


def found(*rows):
    return Detections(
        boxes_N4=torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
        scores_N=torch.tensor([row[1] for row in rows], dtype=torch.float32),
        labels_N=torch.tensor([row[2] for row in rows], dtype=torch.long),
    )


def truth(*rows):
    return Truth(
        boxes_N4=np.asarray([row[0] for row in rows], np.float64).reshape(-1, 4),
        labels_N=np.asarray([row[1] for row in rows], np.int64),
    )


A, B, C = (0, 0, 10, 10), (20, 20, 40, 40), (60, 60, 90, 80)
FAR = (100, 100, 110, 110)


@pytest.mark.parametrize("backend", ["faster_coco_eval", "pycocotools"])
def test_hand_computed(backend):
    pytest.importorskip(backend)
    # Right (.9), wrong (.8), right (.7), of two true boxes: precision 1 up to recall .5, then 2/3.
    # 101 points of recall: 51 of them at most .5, 50 above.
    got = average_precision([found((A, 0.9, 3), (FAR, 0.8, 3), (B, 0.7, 3))], [truth((A, 3), (B, 3))], backend=backend)
    assert got.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-6)
    assert got.ap == pytest.approx(got.ap50) and got.ap75 == pytest.approx(got.ap50)
    assert (got.pictures, got.boxes) == (1, 2)


def test_overlap_decides():
    # The detection covers the left 7 of 10 columns: IoU .7 counts at .50 to .70 (five of ten overlaps), not at .75.
    got = average_precision([found(((0, 0, 7, 10), 0.9, 0))], [truth((A, 0))])
    assert got.ap50 == pytest.approx(1.0)
    assert got.ap75 == pytest.approx(0.0)
    assert got.ap in (pytest.approx(0.4, abs=1e-6), pytest.approx(0.5, abs=1e-6))  # .7 >= .7 in floating point or not


def test_labels_are_averaged_and_a_box_is_found_once():
    # Label 0 is found twice over one true box (the second is wrong, but after full recall); label 1 is missed.
    got = average_precision([found((A, 0.9, 0), (A, 0.5, 0), (C, 0.9, 7))], [truth((A, 0), (B, 1))])
    assert got.by_label == {0: pytest.approx(1.0), 1: pytest.approx(0.0)}
    assert got.ap50 == pytest.approx(0.5)


def test_two_packages_agree_on_random_boxes():
    pytest.importorskip("pycocotools")
    rng = np.random.default_rng(0)
    truths, detections = [], []
    for _ in range(30):
        low = rng.uniform(0, 90, (3, 2))
        boxes = np.concatenate((low, low + rng.uniform(10, 40, (3, 2))), 1)
        labels = rng.integers(0, 3, 3)
        truths.append(Truth(boxes_N4=boxes, labels_N=labels))
        moved = boxes + rng.normal(0, 3, (3, 4))
        detections.append(
            found(*[(m.tolist(), float(rng.uniform()), int(k)) for m, k in zip(moved, labels, strict=True)])
        )
    ours = average_precision(detections, truths, backend="faster_coco_eval")
    peer = average_precision(detections, truths, backend="pycocotools")
    assert 0.2 < ours.ap < 0.9
    assert ours.ap == pytest.approx(peer.ap, abs=1e-9) and ours.ap50 == pytest.approx(peer.ap50, abs=1e-9)


def test_nothing_there_and_nothing_found():
    assert average_precision([found()], [truth((A, 0))]).ap50 == 0.0
    assert math.isnan(average_precision([found((A, 0.9, 0))], [truth()]).ap50)


def test_refusals():
    with pytest.raises(InputError, match="2 pictures"):
        average_precision([found(), found()], [truth()])
    with pytest.raises(InputError, match="without area"):
        average_precision([found()], [truth(((5, 5, 5, 9), 0))])
    with pytest.raises(InputError, match="finite"):
        average_precision([found(((0, 0, float("nan"), 2), 0.5, 0))], [truth((A, 0))])
