"""fluentclips: animated emoji, their names in many languages, and a sound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from omni.errors import ConfigError
from omni.types import Sample
from omni_plugin_clips.store import ClipStore, check_choice, check_index

SPLITS = ("train", "val", "test")
SOUNDS = ("spoken", "effect", "effect_or_spoken", "none")


class FluentClips(Dataset):
    """An animation, its name in one language, and a sound; map-style, items are :class:`omni.types.Sample`.

    Slots: ``video`` (an animated WebP's bytes, 256 x 256, 2 to 3 s), ``text`` (the name, or keywords), ``audio`` (Ogg
    Opus): the name spoken by espeak-ng in the text's language, or the real sound of the thing where Tux Paint has a
    stamp of that name. Where there is no such sound the slot is missing. ``targets``: ``clip`` and ``family`` (a woman,
    a man and a person running are one family), indices. The pairing of sounds with animations is made, not recorded.

    Split by family, 80 / 10 / 10: no emoji, and none of the same name, is in two splits.

    Args:
        split: "train", "val" or "test".
        languages: one item for each of these and each animation; None = the spoken ones. "all": every language that
            names all animations; those that are not spoken lack the slot ``audio``.
        sound: "spoken", "effect" (only animations that have one), "effect_or_spoken", or "none".
        text: "name", or "keywords": CLDR's keywords, separated by commas.
        root: the built folder; default $OMNI_HOME/fluentclips.

    Raises:
        ConfigError: an argument that there is not. InputError: it has not been built, or is damaged.
    """

    def __init__(
        self, split: str = "train", *, languages: Sequence[str] | str | None = None, sound: str = "spoken",
        text: str = "name", root: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        check_choice("fluentclips", "split", split, SPLITS)
        check_choice("fluentclips", "sound", sound, SOUNDS)
        check_choice("fluentclips", "text", text, ("name", "keywords"))
        self.split, self.sound, self.text = split, sound, text
        self.store = ClipStore("fluentclips", root)
        self.spoken: list[str] = self.store.info["languages"]
        clips = self.store.info["clips"]
        self.named = sorted(set.intersection(*(set(clip["names"]) for clip in clips)))
        self.languages = self._languages(languages)
        self.families = sorted({clip["family"] for clip in clips})
        self._speech = {(row["id"], row["language"]): row for row in self.store.info["speech"]}
        mine = [(number, clip) for number, clip in enumerate(clips) if clip["split"] == split]
        if sound == "effect":
            mine = [(number, clip) for number, clip in mine if clip["effect"] is not None]
        self._rows = [(number, clip, language) for number, clip in mine for language in self.languages]

    def _languages(self, wanted: Sequence[str] | str | None) -> list[str]:
        if wanted is None or wanted == "all":
            return list(self.spoken if wanted is None else self.named)
        chosen = [wanted] if isinstance(wanted, str) else list(wanted)
        for language in chosen:
            if language not in self.named:
                raise ConfigError(f"fluentclips has no names of all in {language!r}; it has {', '.join(self.named)}")
        return chosen

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        number, clip, language = self._rows[check_index(self, index)]
        name = clip["names"][language]
        text = name if self.text == "name" else ", ".join(clip["keywords"][language]) or name
        values: dict[str, Any] = {"video": self.store.read(clip["place"]), "text": text}
        keys = {"video": f"fluent-{clip['id']}", "text": text}
        kind, place, voice = self._sound(clip, language)
        if place is not None:
            values["audio"], keys["audio"] = self.store.read(place), f"{place[0]}-{place[1]}"
        return Sample(
            id=f"fluent-{clip['id']}-{language}",
            values=values,
            keys=keys,
            targets={"clip": number, "family": self.families.index(clip["family"])},
            meta={"emoji": clip["id"], "language": language, "name": name, "sound": kind, "voice": voice},
        )

    def _sound(self, clip: dict[str, Any], language: str) -> tuple[str, list[Any] | None, str]:
        """What it is, where it lies, in which voice."""
        if self.sound in ("effect", "effect_or_spoken") and clip["effect"] is not None:
            return "effect", clip["effect"], ""
        row = self._speech.get((clip["plain"], language))
        if self.sound in ("spoken", "effect_or_spoken") and row is not None:
            return "spoken", row["place"], row["voice"]
        return "none", None, ""

    def __repr__(self) -> str:
        return f"FluentClips({self.split!r}, sound={self.sound!r}, len={len(self)})"
