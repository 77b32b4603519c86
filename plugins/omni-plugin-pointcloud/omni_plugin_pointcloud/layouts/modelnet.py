"""ModelNet10 and ModelNet40: CAD models in 10 and 40 classes (Wu et al. 2015)."""

from __future__ import annotations

import os
from pathlib import Path

from omni.data.layouts import PublishedLayout
from omni.types import Sample

FOLDERS = ("ModelNet40", "ModelNet10")


class ModelNet(PublishedLayout):
    """Slots ``pointcloud`` (an OFF file, z up) and ``text`` (the class in words).

    ``targets["class"]`` is the number in ``classes``, the names of the folders in alphabetical order.

    Args:
        root: the folder with a folder for each class, or the one above it that holds ModelNet40 or ModelNet10.
        split: "train" or "test", as the folders say.
        missing: of PublishedLayout.

    Raises:
        InputError: it is not as published: no class, or a class without its "train" and "test".
    """

    name = "modelnet"
    splits = ("train", "test")

    def __init__(self, root: str | Path, *, split: str = "train", missing: str = "raise") -> None:
        super().__init__(root, split=split, missing=missing)
        inner = [name for name in FOLDERS if os.path.isdir(self.root / name)]
        if len(inner) > 1:
            raise self.wrong(f"{str(self.root)!r} holds {' and '.join(inner)}; give one of them as root.")
        base = self.root / inner[0] if inner else self.root
        found = [entry.name for entry in self.listed(base) if entry.is_dir() and not entry.name.startswith("__")]
        kept = [name for name in found if any(os.path.isdir(base / name / part) for part in self.splits)]
        if not kept:
            raise self.wrong(
                f"no folder of {str(base)!r} has a 'train' or 'test' in it, as chair/train. Unpack the archive and "
                "give the folder that holds the classes.",
                obtain=True,
            )
        self.classes = tuple(kept)
        records = []
        for number, kind in enumerate(kept):
            folder = base / kind / split
            if not os.path.isdir(folder):
                raise self.wrong(f"the class {kind!r} has no folder {split!r} in {str(base)!r}.", obtain=True)
            files = [entry.name for entry in self.listed(folder) if entry.name.lower().endswith(".off")]
            if not files:
                raise self.wrong(f"{str(folder)!r} holds no OFF file.", obtain=True)
            records += [(f"{kind}/{Path(file).stem}", (number, folder / file)) for file in files]
        self.keep(records)

    def sample(self, name: str, record: tuple[int, Path]) -> Sample:
        """A model and its class in words."""
        number, path = record
        words = self.classes[number].replace("_", " ")
        return Sample(
            id=name,
            values={"pointcloud": path, "text": words},
            keys={"pointcloud": f"{self.name}/{name}", "text": words},
            targets={"class": number},
            meta={"class": self.classes[number]},
        )
