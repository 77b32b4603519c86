"""COCO captions: the releases of 2014 and 2017, and Karpathy's split of the former."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omni.data.layouts import CaptionedLayout
from omni_plugin_image.layouts.karpathy import karpathy_images

EDITIONS = ("2017", "2014", "karpathy")


class CocoCaptions(CaptionedLayout):
    """Two slots, ``image`` and ``text``; about five captions an image.

    Args:
        root: the folder with ``annotations`` and the folders of pictures (``train2017``, or ``images/train2017``).
        split: "train", "val" or, of the edition "karpathy", "test".
        missing, captions: of CaptionedLayout.
        edition: "2017" (118,287 / 5,000), "2014" (82,783 / 40,504) or "karpathy" (dataset_coco.json over the pictures
            of 2014; 113,287 / 5,000 / 5,000).
        restval: whether Karpathy's training split has the 30,504 pictures that his file calls "restval", as is usual.

    Raises:
        InputError: a table or folder is missing, or a table is not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "coco_captions"
    slot = "image"

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        captions: str = "each",
        edition: str = "2017",
        restval: bool = True,
    ) -> None:
        super().__init__(root, split=split, missing=missing, captions=captions)
        self.edition = self.choice("edition", str(edition), EDITIONS)
        if self.edition == "karpathy":
            self.keep_captions(self._karpathy(restval))
        else:
            self.choice("split", split, ("train", "val"))  # no captions of the test pictures were published
            self.keep_captions(self._published())

    def _folder(self, name: str) -> Path:
        return self.find_folder(name, f"images/{name}", what="pictures")

    def _published(self) -> Iterator[tuple[str, Path, list[str], Mapping[str, Any]]]:
        part = self.split + self.edition
        path = self.find_file(f"annotations/captions_{part}.json", f"captions_{part}.json", what="the captions")
        table = self.json(path, keys=("images", "annotations"))
        folder = self._folder(part)
        with self.reading(path):
            files = {image["id"]: self.inside(image["file_name"]).name for image in table["images"]}
            captions: dict[int, list[str]] = {image: [] for image in files}
            for row in table["annotations"]:
                captions[row["image_id"]].append(row["caption"].strip())
        for image, texts in captions.items():
            if texts:
                yield str(image), folder / files[image], texts, {"image_id": image}

    def _karpathy(self, restval: bool) -> Iterator[tuple[str, Path, list[str], Mapping[str, Any]]]:
        path = self.find_file("dataset_coco.json", "annotations/dataset_coco.json", what="Karpathy's split")
        splits = ("train", "restval") if self.split == "train" and restval else (self.split,)
        folders: dict[str, Path] = {}
        for image, texts in karpathy_images(self, path, splits=splits):
            with self.reading(path):
                name, file = image["filepath"], self.inside(image["filename"]).name
                meta = {"image_id": image["cocoid"]}
            if name not in folders:
                folders[name] = self._folder(self.inside(name).name)
            yield str(meta["image_id"]), folders[name] / file, texts, meta
