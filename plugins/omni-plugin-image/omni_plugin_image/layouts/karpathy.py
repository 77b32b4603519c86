"""Karpathy's splits of caption data sets: dataset_coco.json and dataset_flickr30k.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omni.data.layouts import PublishedLayout


def karpathy_images(
    layout: PublishedLayout, path: Path, *, splits: tuple[str, ...]
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """(the image's entry, its captions) of the images of some splits, in the order of the file.

    Raises:
        InputError: the file is missing, malformed or not as published.
    """
    images = layout.json(path, keys=("images",))["images"]
    with layout.reading(path):
        for image in images:
            if image["split"] in splits:
                yield image, [sentence["raw"].strip() for sentence in image["sentences"]]
