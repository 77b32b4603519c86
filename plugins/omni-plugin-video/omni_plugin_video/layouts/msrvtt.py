"""MSR-VTT: 10,000 films of YouTube with twenty captions each, by its own split and by the one called 1k-A."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omni.data.layouts import Captioned, CaptionedLayout
from omni.types import Sample
from omni_plugin_video.layouts.films import listed, with_sound
from omni_plugin_video.sound import SILENT

TABLES = {
    "train": ("train_val_videodatainfo.json", "MSRVTT_data.json", "videodatainfo.json"),
    "val": ("train_val_videodatainfo.json", "MSRVTT_data.json", "videodatainfo.json"),
    "test": ("test_videodatainfo.json", "MSRVTT_data.json", "videodatainfo.json"),
    "train_9k": ("MSRVTT_data.json", "videodatainfo.json"),
    "test_1k": (),
}
LISTS = {"train_9k": "MSRVTT_train.9k.csv", "test_1k": "MSRVTT_JSFUSION_test.csv"}
CALLED = {"val": "validate"}
PLACES = ("", "annotation/", "annotations/", "msrvtt_data/", "train_val_annotation/", "test_annotation/")
FOLDERS = ("TrainValVideo", "TestVideo", "videos/all", "videos", "MSRVTT_Videos", "MSRVTT_videos", "video")
META = {"category": "category", "url": "url", "start time": "start", "end time": "end"}


class Msrvtt(CaptionedLayout):
    """Three slots: ``video``, ``audio`` (the film's sound, missing where it has none) and ``text``.

    Args:
        root: the folder with the tables and the films, each in one of the places that were published.
        split: "train", "val", "test" (6,513, 497 and 2,990 films); "train_9k" and "test_1k" (the split 1k-A).
        missing: of PublishedLayout.
        captions: of CaptionedLayout: each of the twenty is a sample, or the "first". Films of "test_1k" have the one
            that the split names.
        silent: what a track of zeros is (see omni_plugin_video.sound.SoundTrack).

    Raises:
        InputError: a table or the films are missing, or the table is not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "msrvtt"
    splits = ("train", "val", "test", "train_9k", "test_1k")
    slot = "video"

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        captions: str = "each",
        silent: str = "missing",
    ) -> None:
        super().__init__(root, split=split, missing=missing, captions=captions)
        self.silent = self.choice("silent", silent, SILENT)
        self.find_folder(*FOLDERS, what="the films")
        self._films: dict[str, Path] = {}
        for name in FOLDERS:
            if (self.root / name).is_dir():
                self._films |= {stem: path for stem, path in listed(self, self.root / name).items()
                                if stem not in self._films}  # fmt: skip
        self.keep_captions(self._of_test() if split == "test_1k" else self._of_json())

    def sample(self, name: str, record: Captioned) -> Sample:
        """A caption and its film."""
        return with_sound(super().sample(name, record), silent=self.silent)

    def _file(self, video: str) -> Path:
        return self._films.get(video) or self.inside(FOLDERS[0], f"{video}.mp4")

    def _place(self, names: tuple[str, ...], what: str) -> Path:
        return self.find_file(*(place + name for name in names for place in PLACES), what=what)

    def _of_test(self) -> Iterator[tuple[str, Path, list[str], Mapping[str, Any]]]:
        path = self._place((LISTS["test_1k"],), "the films of the split 1k-A with a caption each")
        for row in self.table(path, columns=("video_id", "sentence")):
            if not row["video_id"] or not row["sentence"]:
                raise self.wrong(f"{str(path)!r}: an empty field in {row}.")
            yield row["video_id"], self._file(row["video_id"]), [row["sentence"]], {"key": row.get("key")}

    def _of_json(self) -> Iterator[tuple[str, Path, list[str], Mapping[str, Any]]]:
        path = self._place(TABLES[self.split], "films and captions")
        table = self.json(path, keys=("videos", "sentences"))
        captions: dict[str, list[str]] = {}
        with self.reading(path):
            for sentence in table["sentences"]:
                captions.setdefault(sentence["video_id"], []).append(sentence["caption"])
            videos = {video["video_id"]: video for video in table["videos"]}
        wanted = self._wanted(videos, path)
        for name in wanted:
            meta = {ours: videos[name][theirs] for theirs, ours in META.items() if videos[name].get(theirs) is not None}
            yield name, self._file(name), captions.get(name, []), meta

    def _wanted(self, videos: Mapping[str, Mapping[str, Any]], path: Path) -> list[str]:
        """Films of the split, in the order of its table."""
        if self.split not in LISTS:
            return [name for name, video in videos.items() if video.get("split") == CALLED.get(self.split, self.split)]
        table = self._place((LISTS[self.split],), "the films of the split 1k-A for training")
        names = [row["video_id"] for row in self.table(table, columns=("video_id",)) if row["video_id"]]
        unknown = next((name for name in names if name not in videos), None)
        if unknown is not None:
            raise self.wrong(f"{str(table)!r} names {unknown!r}, which {str(path)!r} does not have.")
        return names
