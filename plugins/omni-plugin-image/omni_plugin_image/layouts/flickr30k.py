"""Flickr30k: 31,783 pictures with five captions each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omni.data.layouts import CaptionedLayout
from omni_plugin_image.layouts.karpathy import karpathy_images

EDITIONS = ("karpathy", "token")


class Flickr30k(CaptionedLayout):
    """Two slots, ``image`` and ``text``.

    Args:
        root: the folder with the tables and ``flickr30k-images`` (or ``flickr30k_images``, ``images``).
        split: "train", "val", "test" or "all".
        missing, captions: of CaptionedLayout.
        edition: "karpathy" reads dataset_flickr30k.json (29,000 / 1,014 / 1,000). "token" reads the captions as they
            were published, results_20130124.token, which are tokenised and have no splits: split="all", or train.txt,
            val.txt and test.txt of Flickr30k Entities beside them, a picture's number a line.

    Raises:
        InputError: a table or folder is missing, or a table is not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "flickr30k"
    splits = ("train", "val", "test", "all")
    slot = "image"

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        captions: str = "each",
        edition: str = "karpathy",
    ) -> None:
        super().__init__(root, split=split, missing=missing, captions=captions)
        self.edition = self.choice("edition", edition, EDITIONS)
        self._folder = self.find_folder("flickr30k-images", "flickr30k_images", "images", what="the pictures")
        self.keep_captions(self._karpathy() if edition == "karpathy" else self._token())

    def _karpathy(self) -> Iterator[tuple[str, Path, list[str], Mapping[str, Any]]]:
        path = self.find_file("dataset_flickr30k.json", what="Karpathy's split; or edition='token'")
        splits = ("train", "val", "test") if self.split == "all" else (self.split,)
        for image, texts in karpathy_images(self, path, splits=splits):
            with self.reading(path):
                file = self.inside(image["filename"]).name
            yield Path(file).stem, self._folder / file, texts, {"split": image["split"]}

    def _token(self) -> Iterator[tuple[str, Path, list[str], Mapping[str, Any]]]:
        path = self.find_file("results_20130124.token", what="the captions as published")
        chosen = None if self.split == "all" else self._listed()
        captions: dict[str, list[str]] = {}
        for number, row in enumerate(self.table(path, header=("file", "caption"), delimiter="\t", quoted=False), 1):
            file, mark, which = (row["file"] or "").partition("#")
            if not mark or not which.isdigit() or not row["caption"]:
                raise self.wrong(f"{path}, line {number}: {row} is not 'NUMBER.jpg#0<tab>caption'.")
            captions.setdefault(file, []).append(row["caption"].strip())
        if chosen is not None:
            unknown = sorted(chosen - {Path(file).stem for file in captions})
            if unknown:
                raise self.wrong(f"{self.split}.txt lists {unknown[0]!r}, of which {path} has no caption.")
        for file, texts in captions.items():
            name = Path(self.inside(file).name).stem
            if chosen is None or name in chosen:
                yield name, self._folder / file, texts, {}

    def _listed(self) -> set[str]:
        path = self.find_file(
            f"{self.split}.txt", what="the split of Flickr30k Entities; without it, split='all' or edition='karpathy'"
        )
        with self.reading(path):
            return {Path(line).stem for line in path.read_text(encoding="utf-8").split()}
