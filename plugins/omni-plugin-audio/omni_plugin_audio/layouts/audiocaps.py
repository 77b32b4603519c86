"""AudioCaps 1.0 and 2.0: captions of ten-second pieces of AudioSet's films."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omni.data.layouts import CaptionedLayout

COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3")
NAMES = ("{youtube_id}_{start_time}", "Y{youtube_id}_{start_time}", "{youtube_id}", "Y{youtube_id}", "{audiocap_id}")
# many tools write the start as AudioSet has it ("30.000") or in milliseconds ("30000")
STARTS = ("{:d}", "{:.3f}", "{:d}000", "{:.1f}")


class AudioCaps(CaptionedLayout):
    """Two slots, ``audio`` and ``text``. Clips of train have one caption, those of val and test five.

    Captions alone were published; the sounds are cut from the films by each user, who names the files. The files of
    ``audio/SPLIT``, ``SPLIT`` or ``audio`` are looked up by YouTube id and start, YouTube id, or caption id, each also
    with the letter Y in front, as AudioSet's tools write it: ``rqfQRErjfk8_170.wav``, ``YrqfQRErjfk8.flac``,
    ``58146.wav``.

    Args:
        root: the folder with train.csv, val.csv and test.csv (or in ``dataset`` or ``dataset2.0``, as in the authors'
            repository) and the sounds.
        split: "train", "val" or "test".
        missing: of PublishedLayout. Films vanish: "skip" is the usual choice, and its count belongs beside a result.
        captions: of CaptionedLayout.
        audio: the folder of the sounds, relative to the root; None = as above.

    Raises:
        InputError: a table or folder is missing, the table is not as published, or two files fit one clip.
        ConfigError: an option that cannot be meant.
    """

    name = "audiocaps"
    slot = "audio"

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        captions: str = "each",
        audio: str | None = None,
    ) -> None:
        super().__init__(root, split=split, missing=missing, captions=captions)
        places = (f"audio/{split}", split, "audio") if audio is None else (audio,)
        self._folder = self.find_folder(*places, what="the sounds")
        self._files = self._listed()
        self.keep_captions(self._things())

    def _listed(self) -> dict[str, str]:
        """Name without ending -> name, of the sounds in the folder."""
        found: dict[str, str] = {}
        for name in (entry.name for entry in self.listed(self._folder)):
            stem, dot, ending = name.rpartition(".")
            if f".{ending.lower()}" not in ENDINGS or not dot:
                continue
            if stem in found:
                both = f"{found[stem]!r} and {name!r}"
                raise self.wrong(f"{both} in {str(self._folder)!r} would be one clip. Remove one.")
            found[stem] = name
        return found

    def _things(self) -> Iterator[tuple[str, Path, list[str], Mapping[str, Any]]]:
        file = f"{self.split}.csv"
        path = self.find_file(file, f"dataset/{file}", f"dataset2.0/{file}", what="the captions")
        clips: dict[tuple[str, int], list[tuple[str, str]]] = {}
        for line, row in enumerate(self.table(path, columns=COLUMNS), 2):
            where = f"{path}, line {line}"
            video, caption, which = row["youtube_id"], row["caption"], row["audiocap_id"]
            if not video or not caption or not which:
                raise self.wrong(f"{where}: an empty field in {row}.")
            start = self.number(row["start_time"], where=where)
            clips.setdefault((self.inside(video).name, start), []).append((self.inside(which).name, caption.strip()))
        once = {video for video, count in Counter(video for video, _ in clips).items() if count == 1}
        for (video, start), rows in clips.items():
            file = self._file(video, start, [which for which, _ in rows], alone=video in once)
            meta = {"youtube_id": video, "start_time": start, "audiocap_ids": [which for which, _ in rows]}
            yield f"{video}_{start}", self._folder / file, [caption for _, caption in rows], meta

    def _file(self, video: str, start: int, captions: list[str], *, alone: bool) -> str:
        """The clip's file; a name with the YouTube id alone counts only where the split has one piece of that film."""
        wanted = [name for which in captions for name in _names(video, start, which, alone=alone)]
        return next((self._files[name] for name in wanted if name in self._files), f"{video}_{start}.wav")


def _names(video: str, start: int, caption: str, *, alone: bool) -> Iterator[str]:
    for pattern in NAMES:
        if "start_time" in pattern:
            for form in STARTS:
                yield pattern.format(youtube_id=video, start_time=form.format(start))
        elif alone or "audiocap_id" in pattern:
            yield pattern.format(youtube_id=video, audiocap_id=caption)

