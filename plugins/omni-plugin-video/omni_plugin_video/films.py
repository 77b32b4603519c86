"""A manifest whose video files feed two slots, pictures and sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from omni.data.datasets import ManifestDataset
from omni.errors import ConfigError, InputError
from omni.types import Sample
from omni_plugin_video.sound import SILENT, split


class FilmManifest(ManifestDataset):
    """A ManifestDataset with a column of video files that fills a video slot and an audio slot.

    A file without a sound track has no audio slot in its sample, one without pictures no video slot.

    Args:
        path: the manifest.
        column: of the video files.
        video, audio: names of the two slots.
        start_column, end_column: seconds that bound the part of the file, for both slots; None = the whole file.
        silent: what a track of zeros is, "missing" or "error" (see omni_plugin_video.sound.sound_of).
        slots: further slots -> columns.
        modalities, root, id_column, targets: of ManifestDataset.

    Raises:
        InputError: the manifest is missing or malformed, or two rows have one id.
        ConfigError: a column that the manifest does not have; a slot that is named twice.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        column: str = "video",
        video: str = "video",
        audio: str = "audio",
        start_column: str | None = None,
        end_column: str | None = None,
        silent: str = "missing",
        slots: Mapping[str, str] | None = None,
        modalities: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        id_column: str | None = None,
        targets: Sequence[str] = (),
    ) -> None:
        others = dict(slots or {})
        if video == audio or {video, audio} & set(others):
            raise ConfigError(f"The slots {video!r} and {audio!r} of the films must differ from each other and others.")
        if silent not in SILENT:
            raise ConfigError(f"silent is one of {', '.join(SILENT)}, not {silent!r}.")
        self.video, self.audio, self.silent = video, audio, silent
        self.start_column, self.end_column = start_column, end_column
        super().__init__(
            path,
            slots={video: column, **others},
            modalities={video: "video", **(modalities or {})},
            root=root,
            id_column=id_column,
            targets=targets,
        )
        for name in (start_column, end_column):
            if name is not None:
                self._require(name)

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        path = sample.values.pop(self.video, None)
        sample.keys.pop(self.video, None)
        if path is None:
            return sample
        start, end = (self._seconds(sample, name) for name in (self.start_column, self.end_column))
        try:
            found = split(path, video=self.video, audio=self.audio, start=start, end=end, silent=self.silent)
        except InputError as error:
            raise InputError(f"Sample {sample.id!r}: {error}") from error
        sample.values.update(found)
        sample.keys.update({slot: f"{path}#{slot}#{start}#{end}" for slot in found})
        return sample

    def _seconds(self, sample: Sample, column: str | None) -> float | None:
        value = None if column is None else sample.meta.get(column)
        if value is None or value == "":
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InputError(f"Sample {sample.id!r}: the column {column!r} holds {value!r}, no seconds.") from None
