"""VQA v2.0: questions on COCO pictures with ten answers each."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omni.data.layouts import PublishedLayout
from omni.types import Sample
from omni_plugin_image.layouts.vqa_answers import normalize_answer, soft_scores

PARTS = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test-dev2015"}
ANSWERED = ("train", "val")


class Question(NamedTuple):
    """One question; ``answers`` are those that people gave, as they typed them, and empty for the test splits."""

    question: str
    image: int
    kind: str
    answer_type: str
    answers: tuple[str, ...]


class VqaV2(PublishedLayout):
    """Two slots, ``image`` and ``text`` (the question), and the targets

    - "scores": (C,) float32, the score of every answer of the vocabulary (see ``soft_score``);
    - "class": the best of them, or absent where the vocabulary has none of the answers.

    ``meta`` has the ten answers as typed, their scores, the type of question and of answer.

    Args:
        root: the folder with the four kinds of JSON (or ``questions`` and ``annotations`` below it) and the COCO
            pictures of 2014 and 2015 (``train2014``, or ``images/train2014``).
        split: "train", "val", "test" or "test-dev"; the latter two were published without answers.
        missing: of PublishedLayout.
        classes: the vocabulary: a list of answers, or a text file with one a line. None = the answers that are
            the most frequent one of at least ``min_count`` questions of train, which must then be there too.
        min_count: see ``classes``; 9 gives the usual 3,129 of train and val together, about 2,400 of train alone. 0 =
            no vocabulary and no targets.

    Raises:
        InputError: a table or folder is missing, not as published, or answers and questions do not fit together.
        ConfigError: an option that cannot be meant.
    """

    name = "vqav2"
    splits = tuple(PARTS)

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        classes: Sequence[str] | str | Path | None = None,
        min_count: int = 9,
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        part = PARTS[split]
        pictures = "test2015" if split == "test-dev" else part
        self._folder = self.find_folder(pictures, f"images/{pictures}", what="pictures")
        self._prefix = f"COCO_{pictures}_"
        path = self._find_json(f"v2_OpenEnded_mscoco_{part}_questions.json", "questions")
        rows = self.json(path, keys=("questions",))["questions"]
        answers = self._annotations(part) if split in ANSWERED else {}
        records: list[tuple[str, Question]] = []
        with self.reading(path):
            for row in rows:
                image, number = int(row["image_id"]), int(row["question_id"])
                known = answers.pop(number, None) if answers else None
                if split in ANSWERED and (known is None or known.image != image):
                    raise self.wrong(f"the question {number} of {path} has no annotation for its picture {image}.")
                kind = ("", "", ()) if known is None else known[2:]
                records.append((str(number), Question(str(row["question"]), image, *kind)))
        if answers:
            raise self.wrong(f"{path} lacks the question {next(iter(answers))}, which was answered.")
        self.classes = self._vocabulary(classes, min_count, records)
        self._number = {answer: index for index, answer in enumerate(self.classes)}
        self.keep(records)

    def sample(self, name: str, record: Question) -> Sample:
        """A picture, a question, and the scores of the answers."""
        scores = soft_scores([normalize_answer(answer) for answer in record.answers])
        targets: dict[str, Any] = {}
        if self.classes and record.answers:
            scores_C = np.zeros(len(self.classes), np.float32)
            known = [(self._number[answer], score) for answer, score in scores.items() if answer in self._number]
            for index, score in known:
                scores_C[index] = score
            targets = {"scores": scores_C} | ({"class": max(known, key=lambda each: each[1])[0]} if known else {})
        return Sample(
            id=name,
            values={"image": self._folder / f"{self._prefix}{record.image:012d}.jpg", "text": record.question},
            targets=targets,
            meta={
                "question_id": int(name),
                "image_id": record.image,
                "question_type": record.kind,
                "answer_type": record.answer_type,
                "answers": list(record.answers),
                "scores": scores,
            },
        )

    def _find_json(self, file: str, folder: str) -> Path:
        return self.find_file(file, f"{folder}/{file}", what=folder)

    def _annotations(self, part: str) -> dict[int, Question]:
        """question id -> what people answered (without the question's text)."""
        path = self._find_json(f"v2_mscoco_{part}_annotations.json", "annotations")
        rows = self.json(path, keys=("annotations",))["annotations"]
        share = sys.intern  # few distinct strings, millions of uses
        with self.reading(path):
            return {
                int(row["question_id"]): Question(
                    "", int(row["image_id"]), share(row["question_type"]), share(row["answer_type"]),
                    tuple(share(answer["answer"]) for answer in row["answers"]),
                )
                for row in rows
            }  # fmt: skip

    def _vocabulary(
        self, classes: Sequence[str] | str | Path | None, min_count: int, records: list[tuple[str, Question]]
    ) -> tuple[str, ...]:
        if isinstance(classes, (str, Path)):
            with self.reading(Path(classes)):
                return tuple(filter(None, Path(classes).read_text(encoding="utf-8").splitlines()))
        if classes is not None or not min_count:
            return tuple(classes or ())
        trained = (
            [question for _, question in records]
            if self.split == "train"
            else self._annotations(PARTS["train"]).values()
        )
        best = (soft_scores([normalize_answer(answer) for answer in each.answers]) for each in trained if each.answers)
        counts = Counter(next(iter(scores)) for scores in best)
        return tuple(sorted(answer for answer, count in counts.items() if count >= min_count and answer))
