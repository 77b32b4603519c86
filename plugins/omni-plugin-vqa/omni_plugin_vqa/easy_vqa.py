"""easy-VQA (Victor Zhou, 2019): questions about one coloured shape a picture; 13 answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from omni.data.building.counter_rng import CounterRng
from omni.data.building.zip_shards import ShardFolder
from omni.errors import ConfigError, InputError
from omni.types import Sample
from omni.zoo import omni_home

NAME, FORMAT = "easy_vqa", 1
SPLITS = ("train", "val", "test")
LICENSE = "MIT"
VAL_SHARE = 0.1
COLOURS = ("red", "green", "blue", "black", "gray", "teal", "brown", "yellow")
SHAPES = ("circle", "rectangle", "triangle")


def question_type(question: str, answer: str) -> str:
    """ "shape", "colour", or of yes-or-no questions "is there this shape", "is there this colour"."""
    if answer in COLOURS:
        return "colour"
    if answer in SHAPES:
        return "shape"
    return "is there this colour" if any(word in COLOURS for word in question.rstrip("?").split()) else (
        "is there this shape"
    )  # fmt: skip


class EasyVqa(Dataset):
    """One question about one picture; map-style, items are :class:`omni.types.Sample`.

    Slots: ``image`` (64 x 64 PNG), ``question`` and ``answer`` (text). ``targets["answer"]`` is the index of the answer
    in ``answers``. ``meta``: ``type`` (see ``question_type``), ``answer``, ``picture`` (number in the published part).

    The published parts are "train" and "test". "val" is a tenth of the pictures of the published training part, with
    all of their questions; "train" here is the rest.

    Args:
        split: "train", "val" or "test".
        root: the built folder; default $OMNI_HOME/easy_vqa.
        limit: so many questions only, 0 = all.

    Attributes:
        answers: the 13, in the published order.

    Raises:
        ConfigError: an unknown split. InputError: it has not been built, or is damaged.
    """

    def __init__(self, split: str = "train", *, root: str | os.PathLike[str] | None = None, limit: int = 0) -> None:
        if split not in SPLITS:
            raise ConfigError(f"{NAME}: split={split!r} is not one of {', '.join(SPLITS)}")
        self.split = split
        self.folder = Path(root) if root is not None else omni_home() / NAME
        info = self._read_info()
        self.answers = tuple(info["answers"])
        self.terms = [{"data": NAME, "license": LICENSE, "publish": True}]
        self._number = {answer: number for number, answer in enumerate(self.answers)}
        self._places = info["pictures"]["test" if split == "test" else "train"]
        self._shards = ShardFolder(self.folder, remedy=f"build it again: omni data build {NAME}")
        questions = info["questions"]["test" if split == "test" else "train"]
        if split != "test":
            held = held_out(len(self._places))
            questions = [row for row in questions if (row[2] in held) == (split == "val")]
        self._rows: list[list[Any]] = questions[:limit] if limit else questions

    def _read_info(self) -> dict[str, Any]:
        path, remedy = self.folder / "edition.json", f"build it with 'omni data build {NAME}'"
        if not path.is_file():
            raise InputError(f"{NAME} is not at {self.folder} (no edition.json); {remedy}")
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
        if (info.get("name"), info.get("format")) != (NAME, FORMAT):
            raise InputError(f"{path}: {info.get('name')!r} of format {info.get('format')!r}; {remedy}")
        return info

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        question, answer, picture = self._rows[index]
        part = "test" if self.split == "test" else "train"
        image = self._shards.read(*self._places[picture])
        return Sample(
            id=f"{self.split}-{index:05d}",
            values={"image": image, "question": question, "answer": answer},
            targets={"answer": self._number[answer]},
            meta={"type": question_type(question, answer), "answer": answer, "picture": picture},
            keys={"image": f"{part}-{picture}", "question": question, "answer": answer},
        )


def held_out(pictures: int) -> frozenset[int]:
    """The pictures of the published training part that are kept for validation; the same on every machine."""
    return frozenset(CounterRng(NAME, "val").shuffled(list(range(pictures)))[: round(VAL_SHARE * pictures)])
