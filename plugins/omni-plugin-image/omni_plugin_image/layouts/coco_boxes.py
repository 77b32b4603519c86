"""COCO object detection: boxes and classes of instances_*.json, the releases of 2014 and 2017."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omni.data.collate import MISSING_INTEGER
from omni.data.layouts import PublishedLayout
from omni.errors import ConfigError
from omni.types import Sample

EDITIONS = ("2017", "2014")
CROWD_CHOICES = ("flag", "drop")


class Instances(NamedTuple):
    """What an instances_*.json says, with boxes sorted by image.

    Attributes:
        images: (image id, file name, height, width).
        starts: (images + 1,) int64; the boxes of image i are rows starts[i] to starts[i + 1].
        boxes_N4: float32, x1 y1 x2 y2 in pixels.
        class_N: int64, 0 ... number of categories - 1.
        crowd_N: bool.
        annotation_N: int64, ids of the annotations.
        category_ids: published ids by class number; they have gaps (1 ... 90 for 80 classes).
        categories: names by class number.
        degenerate: boxes left out because they have no width or no height.
    """

    images: list[tuple[int, str, int, int]]
    starts: np.ndarray
    boxes_N4: np.ndarray
    class_N: np.ndarray
    crowd_N: np.ndarray
    annotation_N: np.ndarray
    category_ids: tuple[int, ...]
    categories: tuple[str, ...]
    degenerate: int


def read_instances(layout: PublishedLayout, path: Path, *, drop_crowd: bool = False) -> Instances:
    """The boxes of an instances_*.json; polygons are not kept.

    Raises:
        InputError: the file is missing, malformed or not as published, or a box belongs to no image or category.
    """
    table = layout.json(path, keys=("images", "annotations", "categories"))
    with layout.reading(path):
        categories = sorted((int(row["id"]), str(row["name"])) for row in table["categories"])
        number = {category: index for index, (category, _) in enumerate(categories)}
        images = [
            (int(row["id"]), layout.inside(row["file_name"]).name, int(row["height"]), int(row["width"]))
            for row in table["images"]
        ]
        position = {image[0]: index for index, image in enumerate(images)}
        rows = [row for row in table["annotations"] if not (drop_crowd and row.get("iscrowd"))]
        image_N = np.array([position[row["image_id"]] for row in rows], np.int64)
        class_N = np.array([number[row["category_id"]] for row in rows], np.int64)
        crowd_N = np.array([bool(row.get("iscrowd")) for row in rows], bool)
        annotation_N = np.array([row["id"] for row in rows], np.int64)
        boxes_N4 = np.array([row["bbox"] for row in rows], np.float64).reshape(len(rows), 4)
        if not np.isfinite(boxes_N4).all():
            raise ValueError("a box is not finite")
    kept = (boxes_N4[:, 2:] > 0).all(1)
    order = np.flatnonzero(kept)[np.argsort(image_N[kept], kind="stable")]
    boxes_N4 = boxes_N4[order]
    boxes_N4[:, 2:] += boxes_N4[:, :2]  # published as x y width height
    starts = np.searchsorted(image_N[order], np.arange(len(images) + 1))
    return Instances(
        images, starts, boxes_N4.astype(np.float32), class_N[order], crowd_N[order], annotation_N[order],
        tuple(category for category, _ in categories), tuple(name for _, name in categories), int((~kept).sum()),
    )  # fmt: skip


class CocoBoxes(PublishedLayout):
    """One slot ``image``, and the targets

    - "boxes": (N, 4) float32, x1 y1 x2 y2 in pixels of the picture as it is stored;
    - "class": (N,) int64, 0 ... 79; ``classes`` are the names, ``category_ids`` the published ids;
    - "crowd": (N,) int64, 1 where the box is around a crowd: neither a thing to find nor background.

    Args:
        root: the folder with ``annotations`` and the folders of pictures (``train2017``, or ``images/train2017``).
        split: "train" or "val".
        missing: of PublishedLayout.
        edition: "2017" or "2014".
        crowd: "flag" keeps boxes of crowds, "drop" leaves them out.
        empty: whether pictures without a box are samples.
        max_boxes: pad the targets to this many rows, so that batches have one shape: NaN boxes, class -100 (which cross
            entropy ignores), crowd 0. A picture with more is refused. None = as many rows as boxes.

    Attributes:
        degenerate: boxes left out because they have no width or no height; a few were published.

    Raises:
        InputError: a table or folder is missing, or a table is not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "coco_boxes"
    splits = ("train", "val")

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        edition: str = "2017",
        crowd: str = "flag",
        empty: bool = True,
        max_boxes: int | None = None,
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        part = split + self.choice("edition", str(edition), EDITIONS)
        path = self.find_file(f"annotations/instances_{part}.json", f"instances_{part}.json", what="boxes and classes")
        self._folder = self.find_folder(part, f"images/{part}", what="pictures")
        drop = self.choice("crowd", crowd, CROWD_CHOICES) == "drop"
        self._table = read_instances(self, path, drop_crowd=drop)
        self.classes, self.category_ids = self._table.categories, self._table.category_ids
        self.degenerate, self.max_boxes = self._table.degenerate, max_boxes
        counts = np.diff(self._table.starts)
        if max_boxes is not None and len(counts) and counts.max() > max_boxes:
            raise ConfigError(
                f"coco_boxes: max_boxes is {max_boxes}, but {self._table.images[int(counts.argmax())][1]} has "
                f"{counts.max()} boxes. Give at least that."
            )
        self.keep((str(row[0]), index) for index, row in enumerate(self._table.images) if empty or counts[index])

    def sample(self, name: str, record: int) -> Sample:
        """A picture and its boxes."""
        table = self._table
        image, file, height, width = table.images[record]
        rows = slice(int(table.starts[record]), int(table.starts[record + 1]))
        return Sample(
            id=name,
            values={"image": self._folder / file},
            targets={
                "boxes": self._padded(table.boxes_N4[rows], np.nan),
                "class": self._padded(table.class_N[rows], MISSING_INTEGER),
                "crowd": self._padded(table.crowd_N[rows].astype(np.int64), 0),
            },
            meta={
                "image_id": image,
                "height": height,
                "width": width,
                "annotation_ids": table.annotation_N[rows].tolist(),
            },
        )

    def _padded(self, values: np.ndarray, fill: Any) -> np.ndarray:
        if self.max_boxes is None:
            return values.copy()
        padding = np.full((self.max_boxes - len(values), *values.shape[1:]), fill, values.dtype)
        return np.concatenate([values, padding])
