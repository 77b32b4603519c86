"""ESC-50: 2,000 environmental sounds of five seconds, 50 classes, five folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omni.data.layouts import PublishedLayout
from omni.errors import ConfigError
from omni.types import Sample

FOLDS = (1, 2, 3, 4, 5)
SUBSETS = ("esc50", "esc10")
COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file", "take")


class Esc50(PublishedLayout):
    """One slot ``audio``, and the target "class": the published number, or 0 ... 9 in the same order for ESC-10.

    Args:
        root: the folder with ``audio`` and ``meta``.
        split: "train" is all folds but ``fold``, "test" is ``fold``, "all" is all. The published protocol tests each
            fold in turn and averages; clips of one recording are in one fold.
        missing: of PublishedLayout.
        fold: 1 ... 5.
        subset: "esc50", or "esc10": its ten classes with the licence CC BY.

    Raises:
        InputError: the table or the folder is missing, or the table is not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "esc50"
    splits = ("train", "test", "all")

    def __init__(
        self, root: str | Path, *, split: str = "train", missing: str = "raise", fold: int = 5, subset: str = "esc50"
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.fold = self.choice("fold", fold, FOLDS)
        self.subset = self.choice("subset", subset, SUBSETS)
        path = self.find_file("meta/esc50.csv", what="folds and classes")
        self._folder = self.find_folder("audio", what="the clips")
        names: dict[int, str] = {}
        rows = []
        for line, row in enumerate(self.table(path, columns=COLUMNS), 2):
            where = f"{path}, line {line}"
            number = self.number(row["target"], where=where)
            row["fold"] = self.number(row["fold"], where=where)
            if row["fold"] not in FOLDS:
                raise self.wrong(f"{where}: there is no fold {row['fold']}.")
            if subset == "esc10" and (row["esc10"] or "").lower() != "true":
                continue
            if names.setdefault(number, row["category"]) != row["category"]:
                both = f"{row['category']!r} here and {names[number]!r} above"
                raise self.wrong(f"{where}: the class {number} is {both}.")
            rows.append((self.inside(row["filename"]).name, row | {"target": number}))
        order = {number: index for index, number in enumerate(sorted(names))}
        self.classes = tuple(names[number] for number in order)
        if subset == "esc50" and any(number != index for number, index in order.items()):
            raise ConfigError(f"esc50: {path} has the classes {sorted(names)}, not 0, 1, 2, ... without a gap.")
        self.keep(
            (name, row | {"class": order[row["target"]]})
            for name, row in rows
            if split == "all" or (row["fold"] == fold) == (split == "test")
        )

    def sample(self, name: str, record: dict[str, Any]) -> Sample:
        """A clip and its class."""
        return Sample(
            id=name,
            values={"audio": self._folder / name},
            targets={"class": record["class"]},
            meta={
                "class": record["category"],
                "fold": record["fold"],
                "esc10": (record["esc10"] or "").lower() == "true",
                "src_file": record["src_file"],
                "take": record["take"],
            },
        )
