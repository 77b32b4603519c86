"""VGGSound: ten-second films of which the sound is of one of 309 kinds and its source is seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omni.data.layouts import PublishedLayout
from omni.types import Sample
from omni_plugin_video.layouts.films import CLASS, TEXT, VIDEO, class_numbers, listed, with_sound
from omni_plugin_video.sound import SILENT

TABLE = "vggsound.csv"
COLUMNS = ("youtube_id", "start", "label", "split")
FOLDERS = ("videos", "video", "vggsound/video", "vggsound")


class VggSound(PublishedLayout):
    """Three slots: ``video``, ``audio`` (the film's sound, missing where it has none) and ``text`` (the class's name).

    Args:
        root: the folder with vggsound.csv and the films, ID_START.mp4 (START with six digits), in one folder or in one
            a split.
        split: "train" or "test".
        missing: of PublishedLayout. Films vanish: "skip" is the usual choice.
        classes: names by number; None = all labels of the table, sorted.
        silent: what a track of zeros is (see omni_plugin_video.sound.SoundTrack).

    Raises:
        InputError: the table or the films are missing, or the table is malformed.
        ConfigError: an option that cannot be meant.
    """

    name = "vggsound"
    splits = ("train", "test")

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        classes: Sequence[str] | None = None,
        silent: str = "missing",
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.silent = self.choice("silent", silent, SILENT)
        places = [f"{place}/{split}" for place in FOLDERS] + [split, *FOLDERS]
        self._folder = self.find_folder(*places, what="the films")
        rows = list(self._rows())
        given = None if classes is None else tuple(classes)
        self.classes = class_numbers(self, {row["label"] for row in rows}, given)
        self._numbers = {label: number for number, label in enumerate(self.classes)}
        films = listed(self, self._folder)
        self.keep((row["stem"], {**row, "file": films.get(row["stem"], self._folder / f"{row['stem']}.mp4")})
                  for row in rows if row["split"] == split)  # fmt: skip

    def sample(self, name: str, record: dict[str, Any]) -> Sample:
        """A film of its class."""
        label = record["label"]
        made = Sample(
            id=name,
            values={VIDEO: record["file"], TEXT: label},
            targets={CLASS: self._numbers[label]},
            meta={CLASS: label, "youtube_id": record["youtube_id"], "start": record["start"]},
        )
        return with_sound(made, silent=self.silent)

    def _rows(self) -> Iterator[dict[str, Any]]:
        path = self.find_file(TABLE, f"data/{TABLE}", what="the labels")
        for line, row in enumerate(self.table(path, header=COLUMNS), 1):
            where = f"{path}, line {line}"
            lacking = next((column for column in COLUMNS if not row[column]), None)
            if lacking or row["split"] not in self.splits:
                raise self.wrong(f"{where}: no {lacking}." if lacking else f"{where}: the split is {row['split']!r}.")
            start = self.number(row["start"], where=where)
            yield {**row, "start": start, "stem": self.inside(f"{row['youtube_id']}_{start:06d}").name}
