"""RefCOCO, RefCOCO+ and RefCOCOg: expressions that refer to one box of a COCO picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omni.data.layouts import CAPTION_CHOICES, PublishedLayout
from omni.errors import InputError
from omni.types import Sample
from omni_plugin_image.layouts.coco_boxes import Instances, read_instances
from omni_plugin_image.layouts.plain_pickle import read_plain_pickle

SPLITS = {
    ("refcoco", "unc"): ("train", "val", "testA", "testB"),
    ("refcoco", "google"): ("train", "val", "test"),
    ("refcoco+", "unc"): ("train", "val", "testA", "testB"),
    ("refcocog", "umd"): ("train", "val", "test"),
    ("refcocog", "google"): ("train", "val"),
}
EDITIONS = tuple(dict.fromkeys(edition for edition, _ in SPLITS))
PICTURES = ("images/mscoco/images/train2014", "images/mscoco/train2014", "images/train2014", "train2014")


class Reference(NamedTuple):
    """One expression for one box."""

    row: int
    image: int
    ref: int
    text: str
    sentences: tuple[str, ...]


class RefCoco(PublishedLayout):
    """Two slots, ``image`` and ``text`` (the expression), and the targets

    - "box": (4,) float32, x1 y1 x2 y2 in pixels of the picture as it is stored;
    - "class": the box's COCO category, 0 ... 79; ``classes`` are the names.

    The references are a pickle, refs(unc).p; it is read without unpickling and may hold plain values only. A JSON file
    refs(unc).json beside it, with the same list, is read in its place.

    Args:
        root: the folder with ``refcoco``, ``refcoco+``, ``refcocog`` and the COCO pictures of train2014 (in
            ``images/mscoco/images/train2014``, ``images/train2014`` or ``train2014``).
        split: "train", "val", and "testA" (people), "testB" (things) or "test" as the edition has them.
        missing: of PublishedLayout.
        edition: "refcoco", "refcoco+" or "refcocog".
        by: whose split: "unc" (default of the first two), "umd" (of refcocog) or "google".
        captions: "each" expression is a sample, or only the "first" of each box.

    Raises:
        InputError: a table or folder is missing, not as published, or the pickle holds more than plain values.
        ConfigError: an option that cannot be meant.
    """

    name = "refcoco"
    splits = ("train", "val", "testA", "testB", "test")

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        edition: str = "refcoco",
        by: str | None = None,
        captions: str = "each",
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.edition = self.choice("edition", edition, EDITIONS)
        owners = [owner for found, owner in SPLITS if found == edition]
        self.by = self.choice(f"by (of {edition})", owners[0] if by is None else by, owners)
        self.choice(f"split (of {edition}, {self.by})", split, SPLITS[edition, self.by])
        self.choice("captions", captions, CAPTION_CHOICES)
        self._folder = self.find_folder(*PICTURES, what="the pictures")
        self._table = read_instances(self, self.find_file(f"{edition}/instances.json", what="the boxes"))
        self.classes = self._table.categories
        self.keep(self._records(captions))

    def sample(self, name: str, record: Reference) -> Sample:
        """An expression, its picture and its box."""
        table = self._table
        image, file, height, width = table.images[record.image]
        number = int(table.class_N[record.row])
        return Sample(
            id=name,
            values={"image": self._folder / file, "text": record.text},
            targets={"box": table.boxes_N4[record.row].copy(), "class": number},
            meta={
                "class": self.classes[number],
                "image_id": image,
                "ref_id": record.ref,
                "annotation_id": int(table.annotation_N[record.row]),
                "height": height,
                "width": width,
                "sentences": list(record.sentences),
            },
        )

    def _records(self, captions: str) -> Iterator[tuple[str, Reference]]:
        table: Instances = self._table
        row_of = {int(annotation): row for row, annotation in enumerate(table.annotation_N)}
        image_of = {image[0]: index for index, image in enumerate(table.images)}
        path, refs = self._refs()
        with self.reading(path):
            for ref in refs:
                if ref["split"] != self.split:
                    continue
                # the published file_name has the annotation's id appended and names no file
                row, image = row_of[ref["ann_id"]], image_of[ref["image_id"]]
                if not table.starts[image] <= row < table.starts[image + 1]:
                    raise self.wrong(f"{path}: the box {ref['ann_id']} is not of the picture {ref['image_id']}.")
                sentences = [(int(each["sent_id"]), str(each["sent"])) for each in ref["sentences"]]
                texts = tuple(text for _, text in sentences)
                for sentence, text in sentences[: 1 if captions == "first" else None]:
                    name = str(ref["ref_id"]) if captions == "first" else f"{ref['ref_id']}#{sentence}"
                    yield name, Reference(row, image, int(ref["ref_id"]), text, texts)

    def _refs(self) -> tuple[Path, list[Mapping[str, Any]]]:
        stem = f"{self.edition}/refs({self.by})"
        path = self.find_file(f"{stem}.json", f"{stem}.p", what="the expressions")
        if path.suffix == ".json":
            return path, self.json(path, kind=list)
        try:
            refs = read_plain_pickle(path.read_bytes())
        except (InputError, OSError) as error:
            raise self.wrong(
                f"{str(path)!r} cannot be read: {error} Get the published file again, or give its list as "
                f"{path.with_suffix('.json').name!r}.",
                obtain=True,
            ) from error
        if not isinstance(refs, list):
            raise self.wrong(f"{str(path)!r} holds a {type(refs).__name__}, but a list is published.")
        return path, refs
