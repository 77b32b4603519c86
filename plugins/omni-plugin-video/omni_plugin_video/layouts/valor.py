"""VALOR-1M and VALOR-32K: captions that speak of what is seen and heard in ten-second films of AudioSet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omni.data.layouts import Captioned, CaptionedLayout
from omni.types import Sample
from omni_plugin_video.layouts.films import AUDIO, TEXT, VIDEO, listed, with_sound
from omni_plugin_video.pictures import FrameFolder
from omni_plugin_video.sound import SILENT

PLACES = ("", "annotations/", "annotation/", "VALOR-32K-annotations/", "VALOR-1M-annotations/")
FILMS = ("videos", "video", "raw_videos", "VALOR-32K-videos", "VALOR-1M-videos")
SOUNDS = "audio_22050hz"
FRAMES = re.compile(r"frames_fps(\d+(?:\.\d+)?)")
PIECE = re.compile(r"(.+)_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)")


class Valor(CaptionedLayout):
    """Three slots: ``video``, ``audio`` (missing where the film has no sound) and ``text``.

    The media are films called by their ids, or what the authors' code makes of them: a folder of pictures a film in
    ``frames_fpsRATE`` and, where it has sound, a file in ``audio_22050hz``.

    Args:
        root: the folder with desc_train.json, desc_val.json and desc_test.json (VALOR-32K) or desc.json (VALOR-1M:
            train alone), and the media.
        split: "train", "val" or "test".
        missing: of PublishedLayout. Films vanish: "skip" is the usual choice.
        captions: of CaptionedLayout.
        silent: what a track of zeros is (see omni_plugin_video.sound.SoundTrack).

    Raises:
        InputError: the table or the media are missing, or the table is not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "valor"
    slot = VIDEO

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
        self.rate: float | None = None
        frames = sorted(place for place in self.root.iterdir() if FRAMES.fullmatch(place.name) and place.is_dir())
        if frames:
            self._folder = frames[0]
            self.rate = float(FRAMES.fullmatch(frames[0].name)[1])  # type: ignore[index]
            self._films: dict[str, Path] = {}
        else:
            self._folder = self.find_folder(*FILMS, what="the films, or frames_fps1 with a folder of pictures a film")
            self._films = listed(self, self._folder)
        self.keep_captions(self._things())

    def sample(self, name: str, record: Captioned) -> Sample:
        """A caption and its film."""
        made = super().sample(name, record)
        if self.rate is None:
            return with_sound(made, silent=self.silent)
        folder, text = record.file.parent, made.values[TEXT]
        made.values = {VIDEO: FrameFolder(path=folder, fps=self.rate), TEXT: text}
        made.keys = {VIDEO: str(folder), TEXT: text}
        sound = self.root / SOUNDS / f"{folder.name}.wav"
        if sound.is_file():
            made.values[AUDIO], made.keys[AUDIO] = sound, str(sound)
        return made

    def media(self, sample: Sample) -> list[Path]:
        """The film, or the first of its pictures."""
        film = sample.values[VIDEO]
        return [film.path / FrameFolder.FIRST if isinstance(film, FrameFolder) else film]

    def _things(self) -> Iterator[tuple[str, Path, list[str], Mapping[str, Any]]]:
        names = [f"desc_{self.split}.json", *(["desc.json"] if self.split == "train" else [])]
        path = self.find_file(*(place + name for name in names for place in PLACES), what="films and captions")
        with self.reading(path):
            for row in self.json(path, kind=list):
                name, told = row["video_id"], row["desc"]
                piece = PIECE.fullmatch(name)
                meta = {"youtube_id": piece[1], "start": float(piece[2]), "end": float(piece[3])} if piece else {}
                yield name, self._file(name), [told] if isinstance(told, str) else list(told), meta

    def _file(self, name: str) -> Path:
        inside = self.inside(self._folder.relative_to(self.root).as_posix(), name)
        if self.rate is not None:
            return inside / FrameFolder.FIRST
        return self._films.get(name, inside.with_name(f"{name}.mp4"))
