"""bbb: the shots of Big Buck Bunny, their sound, and one line of text each."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from omni.errors import ConfigError
from omni.types import Sample
from omni_plugin_clips.shots import KINDS, SPLITS, TABLE, read_shots, split_shots
from omni_plugin_clips.store import ClipStore, check_choice, check_index
from omni_plugin_video.io import Part
from omni_plugin_video.sound import SoundTrack


class BigBuckBunny(Dataset):
    """Shots of one film; map-style, items are :class:`omni.types.Sample`.

    Slots: ``video`` (a part of the film), ``audio`` (its sound; missing where the track holds only zeros), ``text``
    (what the pictures show, in English; written without the sound). ``targets`` hold ``shot``, its number in the table,
    and ``seconds``, start and end in the film. Windows of one shot share its text: they are each other's positives.

    Splits are blocks of time: the first 70 % of the scenes, the next 10 %, the last 20 %. It is one film in one style:
    a check of wiring, no evidence of generalisation.

    Args:
        split: "train", "val" or "test".
        window: cut shots into equal windows of at most so many seconds; None = whole shots.
        titles: also the title cards and credits.
        least: shorter shots, seconds, are left out.
        root: the built folder; default $OMNI_HOME/bbb.
        shots: another table of shots.

    Raises:
        ConfigError: an argument that there is not. InputError: it has not been built, or is damaged.
    """

    def __init__(
        self, split: str = "train", *, window: float | None = None, titles: bool = False, least: float = 0.5,
        root: str | os.PathLike[str] | None = None, shots: str | os.PathLike[str] = TABLE,
    ) -> None:  # fmt: skip
        check_choice("bbb", "split", split, SPLITS)
        if window is not None and not window > 0:
            raise ConfigError(f"bbb: window={window!r} must be a number of seconds above 0, or None")
        self.store = ClipStore("bbb", root)
        self.split, self.film = split, self.store.folder / "bbb.mp4"
        table = read_shots(shots)
        kinds = KINDS if titles else KINDS[:1]
        self._parts: list[tuple[Any, float, float]] = []
        for shot, block in zip(table, split_shots(table), strict=True):
            if block != split or shot.kind not in kinds or shot.end - shot.start < least:
                continue
            count = 1 if window is None else max(1, math.ceil((shot.end - shot.start) / window - 1e-6))
            edges = np.linspace(shot.start, shot.end, count + 1).round(3).tolist()
            self._parts += [(shot, *edges[place : place + 2]) for place in range(count)]

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: int) -> Sample:
        shot, start, end = self._parts[check_index(self, index)]
        key = f"bbb-{start:.3f}-{end:.3f}"
        return Sample(
            id=f"bbb-{shot.number:03d}-{start:.3f}",
            values={
                "video": Part(path=self.film, start=start, end=end),
                "audio": SoundTrack(self.film, start=start, end=end),
                "text": shot.text,
            },
            keys={"video": key, "audio": key, "text": shot.text},
            targets={"shot": shot.number, "seconds": [start, end]},
            meta={"kind": shot.kind, "split": self.split, "source": "Big Buck Bunny, (c) Blender Foundation"},
        )

    def __repr__(self) -> str:
        return f"BigBuckBunny({self.split!r}, len={len(self)})"
