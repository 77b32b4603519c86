"""mix: made scenes in which a thing moves over a film and its sound moves with it."""

from __future__ import annotations

import os
from typing import Any

from torch.utils.data import Dataset

from omni.data.building.counter_rng import seed_of
from omni.errors import ConfigError
from omni.types import Sample
from omni_plugin_clips.scene import GROUNDS, MOTIONS, WHENS, Scene
from omni_plugin_clips.store import ClipStore, check_choice, check_index
from omni_plugin_video.sound import SoundTrack

SPLITS = ("train", "val", "test", "unseen")
SOUNDS = ("as_made", "only_with", "missing")


class Mix(Dataset):
    """Scenes of three seconds; map-style, items are :class:`omni.types.Sample`.

    Slots: ``video`` (an MP4 file's bytes, 96 x 96, 8 frames a second), ``audio`` (its stereo track; 15 % of the files
    have none, and those samples lack the slot), ``text`` (what, where, when). ``targets``: ``thing``, ``group`` (things
    that are called alike), ``motion``, ``when`` (-1: no track), ``ground``, indices into ``dataset.things``, MOTIONS,
    WHENS and GROUNDS of omni_plugin_clips.scene; ``boxes`` (24, 4), x0 y0 x1 y1 in pixels in each frame; ``sounds``,
    from when to when it is heard, seconds (NaN: no track).

    The things of val and test are those of train in other scenes, over other parts of the films; those of "unseen" are
    in no other split. Within val, test and unseen no two scenes have equal labels, so every text has one right scene.

    Args:
        split: "train", "val", "test" or "unseen".
        sound: "as_made"; "only_with": scenes with a track only; "missing": nobody has the slot ``audio``.
        drop_sound: share of the scenes with a track whose slot is left out, drawn by scene and ``seed``.
        seed: of ``drop_sound``.
        root: the built folder; default $OMNI_HOME/mix.

    Raises:
        ConfigError: an argument that there is not. InputError: it has not been built, or is damaged.
    """

    def __init__(
        self, split: str = "train", *, sound: str = "as_made", drop_sound: float = 0.0, seed: int = 0,
        root: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        check_choice("mix", "split", split, SPLITS)
        check_choice("mix", "sound", sound, SOUNDS)
        if not 0 <= drop_sound <= 1:
            raise ConfigError(f"mix: drop_sound={drop_sound!r} is a share from 0 to 1")
        self.split, self.sound, self.drop_sound, self.seed = split, sound, drop_sound, seed
        self.store = ClipStore("mix", root)
        self.things: list[dict[str, Any]] = self.store.info["things"]
        rows = [(number, row) for number, row in enumerate(self.store.info["scenes"]) if row["split"] == split]
        self._rows = [(n, row) for n, row in rows if sound != "only_with" or row["when"] is not None]

    def __len__(self) -> int:
        return len(self._rows)

    def scene(self, index: int) -> Scene:
        """The labels of a scene."""
        row = self._rows[check_index(self, index)][1]
        return Scene(**{**{key: row[key] for key in Scene.__dataclass_fields__}, "words": tuple(row["words"])})

    def __getitem__(self, index: int) -> Sample:
        index = check_index(self, index)
        number, row = self._rows[index]
        scene, thing = self.scene(index), self.things[row["thing"]]
        data = self.store.read(row["place"])
        name = f"mix-{number:05d}"
        values: dict[str, Any] = {"video": data, "text": scene.text(thing["name"])}
        keys = {"video": name, "text": values["text"]}
        if scene.when is not None and self.sound != "missing" and not self._dropped(number):
            values["audio"], keys["audio"] = SoundTrack(data), name
        span = scene.seconds()
        return Sample(
            id=name,
            values=values,
            keys=keys,
            targets={
                "thing": scene.thing,
                "group": thing["group"],
                "motion": MOTIONS.index(scene.motion),
                "when": -1 if scene.when is None else WHENS.index(scene.when),
                "ground": GROUNDS.index(scene.ground),
                "boxes": scene.boxes(*thing["size"]),
                "sounds": [float("nan")] * 2 if span is None else list(span),
            },
            meta={"thing": thing["name"], "track": scene.when is not None, "split": self.split, "made": True},
        )

    def _dropped(self, number: int) -> bool:
        return seed_of("mix", "drop", self.seed, number) < self.drop_sound * 2**64

    def __repr__(self) -> str:
        return f"Mix({self.split!r}, sound={self.sound!r}, len={len(self)})"
