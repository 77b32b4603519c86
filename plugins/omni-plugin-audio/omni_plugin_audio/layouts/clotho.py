"""Clotho v2: 5,929 sounds of 15 to 30 s with five captions each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omni.data.layouts import CaptionedLayout

PARTS = {"train": "development", "val": "validation", "test": "evaluation"}
CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))


class Clotho(CaptionedLayout):
    """Two slots, ``audio`` and ``text``.

    Args:
        root: the folder with the tables (clotho_captions_development.csv ..., or in ``clotho_csv_files``) and the
            folders ``development``, ``validation`` and ``evaluation`` (or in ``clotho_audio_files``).
        split: "train" is development (3,839 sounds), "val" validation (1,045), "test" evaluation (1,045).
        missing, captions: of CaptionedLayout.

    Raises:
        InputError: a table or folder is missing, or the table is not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "clotho"
    slot = "audio"

    def __init__(
        self, root: str | Path, *, split: str = "train", missing: str = "raise", captions: str = "each"
    ) -> None:
        super().__init__(root, split=split, missing=missing, captions=captions)
        self._folder = self.find_folder(PARTS[split], f"clotho_audio_files/{PARTS[split]}", what="the clips")
        self.keep_captions(self._things())

    def _things(self) -> Iterator[tuple[str, Path, list[str], Mapping[str, Any]]]:
        file = f"clotho_captions_{PARTS[self.split]}.csv"
        path = self.find_file(file, f"clotho_csv_files/{file}", what="the captions")
        for line, row in enumerate(self.table(path, columns=("file_name", *CAPTIONS)), 2):
            if not row["file_name"]:
                raise self.wrong(f"{path}, line {line}: no file name.")
            name = self.inside(row["file_name"]).name
            yield name, self._folder / name, [(row[column] or "").strip() for column in CAPTIONS], {}
