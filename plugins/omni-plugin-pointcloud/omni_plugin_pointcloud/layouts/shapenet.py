"""ShapeNetCore: 51,300 models in 55 classes of WordNet (Chang et al. 2015)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni.data.layouts import PublishedLayout
from omni.types import Sample

TAXONOMY = "taxonomy.json"
SPLIT_TABLES = ("all.csv", "split.csv")
COLUMNS = ("id", "synsetId", "subSynsetId", "modelId", "split")
MODELS = ("models/model_normalized.obj", "model.obj")  # version 2; version 1
TEXTS = ("first", "all")
_SYNSET = re.compile(r"\d{8}$")


@dataclass(frozen=True)
class Model:
    """One model: its synset and the narrower one, its file."""

    synset: str
    narrow: str
    model: str
    path: Path


class ShapeNet(PublishedLayout):
    """Slots ``pointcloud`` (an OBJ file, y up) and ``text`` (what the taxonomy calls it).

    ``targets["class"]`` is the number in ``classes``: the first words of the synsets that have a folder, in the order
    of their numbers. ``meta`` has the synsets and all their words.

    Args:
        root: the folder with ``taxonomy.json`` and a folder a synset: version 2 (SYNSET/MODEL/models/
            model_normalized.obj) or 1 (SYNSET/MODEL/model.obj). The split table (``all.csv`` or ``split.csv``) lies
            beside them.
        split: "train", "val" or "test" by the table, whose models that are not there count as missing files; "all":
            every model that there is, without a table.
        missing: of PublishedLayout; 51,300 folders never hold all of the table's models, so "skip" is usual.
        text: "first" word of the narrowest synset, or "all", separated by commas.

    Raises:
        InputError: the taxonomy or the table is missing or malformed, or there is no synset's folder.
    """

    name = "shapenet"
    splits = ("train", "val", "test", "all")

    def __init__(
        self, root: str | Path, *, split: str = "train", missing: str = "raise", text: str = "first"
    ) -> None:  # fmt: skip
        super().__init__(root, split=split, missing=missing)
        self.text = self.choice("text", text, TEXTS)
        self._words = self._taxonomy()
        synsets = [entry.name for entry in self.listed(self.root) if entry.is_dir() and _SYNSET.match(entry.name)]
        if not synsets:
            raise self.wrong(f"no folder in {str(self.root)!r} is called like a synset, as 02691156.", obtain=True)
        for synset in synsets:
            if synset not in self._words:
                raise self.wrong(f"the folder {synset!r} is not in {TAXONOMY!r}. Is it of another version?")
        self._number = {synset: number for number, synset in enumerate(synsets)}
        self.classes = tuple(self._words[synset][0] for synset in synsets)
        models = self._on_disk(synsets) if split == "all" else self._in_table(split)
        self.keep((f"{model.synset}/{model.model}", model) for model in models)

    def _taxonomy(self) -> dict[str, list[str]]:
        """Synset -> its words."""
        path = self.find_file(TAXONOMY, what="the names of the synsets; it comes with version 1 and fits version 2 too")
        rows = self.json(path, kind=list)
        with self.reading(path):
            found = {row["synsetId"]: [word.strip() for word in row["name"].split(",")] for row in rows}
            if not all(words[0] for words in found.values()):
                raise ValueError("a synset without a name")
        return found

    def _in_table(self, split: str) -> Iterator[Model]:
        path = self.find_file(*SPLIT_TABLES, what="which model is in which split; split='all' needs none")
        for number, row in enumerate(self.table(path, columns=COLUMNS), 1):
            where = f"{path}, row {number}"
            if row["split"] not in self.splits[:3]:
                raise self.wrong(f"{where}: there is no split {row['split']!r}.")
            synset, narrow = ((row[column] or "").zfill(8) for column in ("synsetId", "subSynsetId"))
            if synset not in self._number:  # a synset that was not unpacked
                if self.missing == "raise":
                    raise self.wrong(
                        f"{where}: there is no folder {synset!r}. missing='skip' leaves its models out.", obtain=True
                    )
                continue
            if row["split"] == split:
                base = self.inside(synset, row["modelId"] or "")
                yield Model(synset, narrow if narrow in self._words else synset, base.name, _model_file(base))

    def _on_disk(self, synsets: list[str]) -> Iterator[Model]:
        for synset in synsets:
            for entry in self.listed(self.root / synset):
                if entry.is_dir():
                    yield Model(synset, synset, entry.name, _model_file(Path(entry.path)))

    def sample(self, name: str, record: Model) -> Sample:
        """A model and what it is called."""
        words = self._words[record.narrow]
        text = words[0] if self.text == "first" else ", ".join(words)
        values: dict[str, Any] = {"pointcloud": record.path, "text": text}
        return Sample(
            id=name,
            values=values,
            keys={"pointcloud": f"{self.name}/{name}", "text": text},
            targets={"class": self._number[record.synset]},
            meta={
                "class": self._words[record.synset][0], "synset": record.synset, "narrow_synset": record.narrow,
                "words": words,
            },
        )  # fmt: skip


def _model_file(folder: Path) -> Path:
    """Where the model is, whichever version it is of; version 2's place where it is neither."""
    return next((folder / name for name in MODELS if os.path.isfile(folder / name)), folder / MODELS[0])
