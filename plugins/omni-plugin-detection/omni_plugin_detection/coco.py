"""Average precision as COCO measures it, by faster-coco-eval (or pycocotools where that is not installed)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from omni.errors import InputError, MissingDependencyError


@dataclass(frozen=True, kw_only=True)
class AveragePrecision:
    """COCO's numbers, all in 0..1; NaN where there is nothing to measure.

    Attributes:
        ap: mean over the overlaps .50, .55 ... .95. ap50, ap75: at one overlap.
        by_label: AP at .50 of each label that has true boxes.
        pictures, boxes: how many were measured.
    """

    ap: float
    ap50: float
    ap75: float
    by_label: dict[int, float]
    pictures: int
    boxes: int

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**vars(self), "by_label": {str(label): value for label, value in self.by_label.items()}}


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """The true boxes of a picture: (N, 4) x0, y0, x1, y1 in pixels and (N,) labels."""

    boxes_N4: np.ndarray
    labels_N: np.ndarray


def average_precision(
    found: Sequence[Any], truths: Sequence[Truth], *, most: int = 100, backend: str | None = None
) -> AveragePrecision:
    """Average precision of detections.

    Args:
        found: Detections of each picture, boxes in the pixels of the truth.
        truths: of each picture. most: detections a picture that count.
        backend: "faster_coco_eval" or "pycocotools"; None = whichever is installed.

    Raises:
        InputError: lists of different lengths, boxes without area, or numbers that are not finite.
        MissingDependencyError: neither is installed.
    """
    if len(found) != len(truths):
        raise InputError(f"average_precision: {len(found)} pictures of detections, but {len(truths)} of true boxes.")
    kinds = sorted({int(label) for truth in truths for label in truth.labels_N})
    images = [{"id": number + 1} for number in range(len(truths))]
    annotations = [
        {"id": 0, "image_id": number + 1, "category_id": int(label), "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for number, truth in enumerate(truths)
        for box, label in zip(_xywh(truth.boxes_N4, f"truth {number}"), truth.labels_N, strict=True)
    ]
    for number, row in enumerate(annotations):
        row["id"] = number + 1
    if not annotations:
        return _nothing(len(truths))
    results = [
        {"image_id": number + 1, "category_id": int(label), "bbox": box, "score": float(score)}
        for number, item in enumerate(found)
        for box, score, label in zip(
            _xywh(item.boxes_N4, f"picture {number}", strict=False), item.scores_N, item.labels_N, strict=True
        )
        if int(label) in kinds and box[2] > 0 and box[3] > 0
    ]
    truth_set = {"images": images, "annotations": annotations, "categories": [{"id": k, "name": str(k)} for k in kinds]}
    if not results:
        zero = {kind: 0.0 for kind in kinds}
        return AveragePrecision(ap=0.0, ap50=0.0, ap75=0.0, by_label=zero, pictures=len(truths), boxes=len(annotations))
    evaluator = _run(truth_set, results, most, backend)
    precision = np.asarray(evaluator.eval["precision"])  # overlaps, recalls, labels, areas, numbers of detections
    overlaps = list(np.round(evaluator.params.iouThrs, 2))
    all_areas = precision[:, :, :, 0, -1]
    at50 = all_areas[overlaps.index(0.5)]
    return AveragePrecision(
        ap=_mean(all_areas), ap50=_mean(at50), ap75=_mean(all_areas[overlaps.index(0.75)]),
        by_label={kind: _mean(at50[:, place]) for place, kind in enumerate(kinds)},
        pictures=len(truths), boxes=len(annotations),
    )  # fmt: skip


def _run(truth_set: dict[str, Any], results: list[dict[str, Any]], most: int, backend: str | None) -> Any:
    coco_type, eval_type = _backend(backend)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_type()
        truth.dataset = {"info": {}, **truth_set}
        truth.createIndex()
        evaluator = eval_type(truth, truth.loadRes(results), "bbox")
        evaluator.params.maxDets = [1, 10, most]
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def _backend(name: str | None) -> tuple[Any, Any]:
    if name not in (None, "faster_coco_eval", "pycocotools"):
        raise InputError(f"average_precision: backend {name!r} is neither 'faster_coco_eval' nor 'pycocotools'.")
    if name != "pycocotools":
        try:
            from faster_coco_eval import COCO, COCOeval_faster

            return COCO, COCOeval_faster
        except ImportError:
            if name is not None:
                raise MissingDependencyError("pip install 'omni-plugin-detection[eval]' (faster-coco-eval)") from None
    try:
        from pycocotools.coco import COCO as PlainCoco
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingDependencyError(
            "Average precision is measured by faster-coco-eval or pycocotools, and neither can be imported; "
            "pip install 'omni-plugin-detection[eval]'"
        ) from error
    return PlainCoco, COCOeval


def _xywh(boxes_N4: np.ndarray | Tensor, where: str, *, strict: bool = True) -> list[list[float]]:
    boxes = np.asarray(boxes_N4, np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        raise InputError(f"average_precision: {where} has boxes that are not finite.")
    sides = boxes[:, 2:] - boxes[:, :2]
    if strict and (sides <= 0).any():
        raise InputError(f"average_precision: {where} has a box without area; boxes are x0, y0, x1, y1.")
    return np.concatenate((boxes[:, :2], sides), 1).tolist()


def _mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float("nan")


def _nothing(pictures: int) -> AveragePrecision:
    nan = float("nan")
    return AveragePrecision(ap=nan, ap50=nan, ap75=nan, by_label={}, pictures=pictures, boxes=0)
