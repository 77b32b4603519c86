"""digit3: a written digit, a spoken digit, the text of their sum mod 10. All pairs are independent."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni.errors import ConfigError, InputError
from omni.types import Sample
from omni_plugin_m3mini.digit_tables import NUM_DIGITS, draw_digits
from omni_plugin_m3mini.store import EditionStore, built_folder
from omni_plugin_m3mini.tables import SPLITS

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VIEWS = ("triples", "plain", "pictures")


class Digit3:
    """The sanity twin of m3mini with an exact XOR; map-style, items are :class:`omni.types.Sample`.

    Slots: ``image`` a real MNIST digit a (PNG bytes, 28 x 28); a real or synthetic spoken digit b, in ``mfcc``
    (float32 (T, 13), the Free Spoken Digit Dataset) or ``audio`` (Ogg Opus, espeak-ng); ``text`` the English word of
    (a + b) mod 10. The optimum of a pairwise InfoNCE is chance, 1/10; the triple determines the sum.

    Views:
        ``triples``: the task, 20,000 / 2,000 / 2,000 frozen rows.
        ``plain``: what each part is: a picture, a spoken digit and the word of the *same* digit (a first stage).
        ``pictures``: image only, the split's.

    Args:
        split: "train", "val" or "test"; pictures and clips are disjoint between them.
        speech: "fsdd" (human, slot ``mfcc``) or "espeak" (synthetic, slot ``audio``; voices are disjoint as well).
        root: the built folder; default $OMNI_HOME/digit3.
        view: see above.
        rows, seed: draw so many other triples of the split by the same rules (a multiple of 100).

    Raises:
        ConfigError: an argument that there is not. InputError: it has not been built, or is damaged.
    """

    def __init__(
        self, split: str = "train", *, speech: str = "fsdd", root: str | os.PathLike[str] | None = None,
        view: str = "triples", rows: int | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        self.store = EditionStore(built_folder("digit3", root))
        for what, value, allowed in (
            ("split", split, SPLITS),
            ("speech", speech, self.store.info["speech"]),
            ("view", view, VIEWS),
        ):
            if value not in allowed:
                raise ConfigError(f"digit3: {what}={value!r} is not one of {', '.join(allowed)}")
        if rows is not None and view != "triples":
            raise ConfigError(f"digit3: rows={rows} draws triples and is for view='triples', not {view!r}")
        self.split, self.speech, self.view = split, speech, view
        if view == "pictures":
            pictures = np.concatenate(self._pools("picture"))
            nothing = np.full(len(pictures), -1)
            self.table = np.stack([pictures, nothing, nothing], axis=1)
        elif view == "plain":
            self.table = self._plain_rows(seed)
        elif rows is None:
            self.table = self.store.table(f"triples-{speech}-{split}").astype(np.int64)
        else:
            pictures, clips = self._pools("picture"), self._pools("clip")
            self.table = draw_digits(seed, rows=rows, split=split, pictures_by_digit=pictures, clips_by_digit=clips)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"digit3 {self.view}/{self.split} has {len(self)} items, asked for {index}")
        index = int(index) % len(self)
        picture, clip, total = (int(value) for value in self.table[index])
        values: dict[str, Any] = {"image": self.store.picture_bytes(picture)}
        keys = {"image": f"picture-{picture}"}
        targets = {"written": int(self.digits("picture")[picture])}
        if clip >= 0:
            slot = "mfcc" if self.speech == "fsdd" else "audio"
            values[slot] = self._sound(clip)
            keys[slot] = f"{self.speech}-{clip}"
            values["text"] = keys["text"] = WORDS[total]
            targets |= {"spoken": int(self.digits("clip")[clip]), "sum": total}
        name = f"digit3-{self.speech}-{self.view}-{self.split}-{index:05d}"
        return Sample(id=name, values=values, meta=dict(targets), keys=keys, targets=targets)

    def digits(self, kind: str) -> np.ndarray:
        """int (N,): the digit of every picture ("picture") or clip of the chosen speech ("clip")."""
        return self._index[kind][:, 0]

    def _pools(self, kind: str) -> list[np.ndarray]:
        """Rows of this split for each digit."""
        index = self._index[kind]
        mine = index[:, 1] == SPLITS.index(self.split)
        return [np.flatnonzero(mine & (index[:, 0] == digit)) for digit in range(NUM_DIGITS)]

    @cached_property
    def _index(self) -> dict[str, np.ndarray]:
        return {
            "picture": self.store.table("digits-pictures").astype(np.int64),
            "clip": self.store.table(f"digits-{self.speech}").astype(np.int64),
        }

    @cached_property
    def _mfcc(self) -> tuple[np.ndarray, np.ndarray]:
        return self.store.table("mfcc"), self.store.table("mfcc-starts").astype(np.int64)

    def _sound(self, clip: int) -> Any:
        if self.speech == "espeak":
            return self.store.clip_bytes(clip)
        frames, starts = self._mfcc
        if starts[-1] != len(frames):
            raise InputError(
                f"{self.store.folder / 'mfcc.npy'}: {len(frames)} frames, expected {starts[-1]}; build again"
            )
        return np.array(frames[starts[clip] : starts[clip + 1]])

    def _plain_rows(self, seed: int) -> np.ndarray:
        """Every clip of the split with a picture of its own digit."""
        rng = CounterRng("digit3", "plain", seed, self.split)
        rows = []
        for digit, (pictures, clips) in enumerate(zip(self._pools("picture"), self._pools("clip"), strict=True)):
            chosen = pictures[rng.integers(len(pictures), (len(clips),))]
            rows.append(np.stack([chosen, clips, np.full(len(clips), digit)], axis=1))
        return np.concatenate(rows)

    def __repr__(self) -> str:
        return f"Digit3({self.split!r}, speech={self.speech!r}, view={self.view!r}, len={len(self)})"
