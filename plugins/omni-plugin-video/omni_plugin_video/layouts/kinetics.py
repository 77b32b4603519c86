"""Kinetics-400, -600 and -700: ten-second films of actions, one class each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni.data.layouts import PublishedLayout
from omni.types import Sample
from omni_plugin_video.layouts.films import CLASS, TEXT, VIDEO, class_numbers, listed, with_sound
from omni_plugin_video.sound import SILENT

FORMS = ("auto", "folders", "csv")
COLUMNS = ("youtube_id", "time_start", "time_end")
CALLED = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}


@dataclass(frozen=True)
class Clip:
    """One film.

    Attributes:
        file: its path.
        label: of its class; None where the test's labels are held out.
        meta: youtube_id, start and end in seconds, where the table or the file's name says them.
    """

    file: Path
    label: str | None
    meta: dict[str, str | float]


class Kinetics(PublishedLayout):
    """Three slots: ``video``, ``audio`` (the film's sound, missing where it has none) and ``text`` (the class's name).

    Args:
        root: the folder with one folder a split.
        split: "train", "val" or "test"; the folders and tables of val may also be called validate or validation.
        missing: of PublishedLayout. Films vanish: "skip" is the usual choice.
        form: "csv": by the tables of ``root`` or ``annotations``; "folders": SPLIT/CLASS/FILM; "auto": tables if there
            are any.
        classes: names by number; None = all labels of all splits that are there, sorted.
        silent: what a track of zeros is (see omni_plugin_video.sound.SoundTrack).

    Raises:
        InputError: no folder of the split, no table, or a malformed one.
        ConfigError: an option that cannot be meant.
    """

    name = "kinetics"

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        form: str = "auto",
        classes: Sequence[str] | None = None,
        silent: str = "missing",
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.silent = self.choice("silent", silent, SILENT)
        self.form = self.choice("form", form, FORMS)
        tables = {name: self._table(name) for name in self.splits}
        if self.form == "auto":
            self.form = "csv" if tables[split] else "folders"
        if self.form == "csv":
            path = tables[split] or self.find_file(f"annotations/{split}.csv", f"{split}.csv", what="the labels")
            clips = list(self._of_table(path))
            labels = {clip.label for _, clip in clips if clip.label is not None}
            others = {row["label"] for table in set(tables.values()) - {None, path} for row in self.table(table)
                      if row.get("label")}  # fmt: skip
        else:
            clips = list(self._of_folders())
            labels = {clip.label for _, clip in clips if clip.label is not None}
            others = {place.name for name in self.splits for place in self._class_folders(name)}
        given = None if classes is None else tuple(classes)
        self.classes = class_numbers(self, labels if given else labels | others, given)
        self._numbers = {label: number for number, label in enumerate(self.classes)}
        self.keep(clips)

    def sample(self, name: str, record: Clip) -> Sample:
        """A film of its class."""
        made = Sample(id=name, values={VIDEO: record.file}, meta=dict(record.meta))
        if record.label is not None:
            made.values[TEXT] = made.meta[CLASS] = record.label
            made.targets[CLASS] = self._numbers[record.label]
        return with_sound(made, silent=self.silent)

    def _table(self, split: str) -> Path | None:
        names = [f"{place}{start}{name}.csv" for name in CALLED[split] for place in ("annotations/", "")
                 for start in ("", "kinetics_")]  # fmt: skip
        return next((self.root / name for name in names if (self.root / name).is_file()), None)

    def _of_table(self, path: Path) -> Iterator[tuple[str, Clip]]:
        called = CALLED[self.split]
        folder = self.find_folder(*called, *(f"videos/{name}" for name in called), "videos", what="the films")
        films = listed(self, folder, deep=True)
        for line, row in enumerate(self.table(path, columns=COLUMNS), 2):
            if row.get("split") and row["split"] not in called:
                continue
            where = f"{path}, line {line}"
            if not row["youtube_id"]:
                raise self.wrong(f"{where}: no youtube_id.")
            start, end = (self.number(row[column], float, where=where) for column in COLUMNS[1:])
            stem = self.inside(f"{row['youtube_id']}_{int(start):06d}_{int(end):06d}").name
            meta: dict[str, str | float] = {"youtube_id": row["youtube_id"], "start": start, "end": end}
            yield stem, Clip(films.get(stem, folder / f"{stem}.mp4"), row.get("label"), meta)

    def _of_folders(self) -> Iterator[tuple[str, Clip]]:
        self.find_folder(*CALLED[self.split], what="a folder a class")
        for place in self._class_folders(self.split):
            for stem, file in sorted(listed(self, place).items()):
                yield f"{place.name}/{stem}", Clip(file, place.name, {})

    def _class_folders(self, split: str) -> list[Path]:
        folder = next((self.root / name for name in CALLED[split] if (self.root / name).is_dir()), None)
        inside = [] if folder is None else sorted(folder.iterdir())
        return [place for place in inside if place.is_dir() and not place.name.startswith(".")]
