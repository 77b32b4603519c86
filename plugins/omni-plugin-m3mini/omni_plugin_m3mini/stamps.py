"""stamps: pictures of things, their names in many languages, and people who say those names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from omni.errors import ConfigError
from omni.types import Sample
from omni_plugin_m3mini.store import KIND_CLASS, KIND_EFFECT, EditionStore, built_folder
from omni_plugin_m3mini.tables import SPLITS

VIEWS = ("speech", "names", "effects", "pictures")


class Stamps:
    """Tux Paint's stamps as plain aligned triples; map-style, items are :class:`omni.types.Sample`.

    Slots: ``image`` (PNG bytes, 128 x 128), ``text`` (the name in one language), ``audio`` (a person who says it, Ogg
    Opus), ``effect`` (the thing's own sound). ``targets`` hold ``object``, ``group`` (objects that are called the same;
    each other's positives) and ``language`` (-1: none).

    Views:
        ``speech``: one item for each object and language with a recording: image, text, audio.
        ``names``: one for each object and language with a name (77 languages): image, text.
        ``effects``: one for each object with its own sound: image, English text, effect.
        ``pictures``: image only.

    Args:
        split: "train", "val" or "test" (540 / 68 / 68 objects); objects that are called the same are never in two.
        languages: only these; None = all that the view has.
        root: the built folder; default $OMNI_HOME/stamps.
        view: see above.

    Raises:
        ConfigError: an argument that there is not. InputError: it has not been built, or is damaged.
    """

    def __init__(
        self, split: str = "train", *, languages: Sequence[str] | str | None = None,
        root: str | os.PathLike[str] | None = None, view: str = "speech",
    ) -> None:  # fmt: skip
        self.store = EditionStore(built_folder("stamps", root))
        for what, value, allowed in (("split", split, SPLITS), ("view", view, VIEWS)):
            if value not in allowed:
                raise ConfigError(f"stamps: {what}={value!r} is not one of {', '.join(allowed)}")
        self.split, self.view = split, view
        self.objects: list[dict[str, Any]] = self.store.info["classes"]
        if isinstance(languages, str):
            languages = [languages]
        known = self.name_languages if view == "names" else self.store.info["languages"]
        for language in languages or ():
            if language not in known:
                raise ConfigError(f"stamps: view {view!r} has no language {language!r}; it has {', '.join(known)}")
        self.languages = list(known if languages is None else languages)
        self._rows = self._view_rows()

    @cached_property
    def name_languages(self) -> list[str]:
        """Every language that some object has a name in, sorted."""
        return sorted({language for item in self.objects for language in item["names"]})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"stamps {self.view}/{self.split} has {len(self)} items, asked for {index}")
        number, language, clip = self._rows[int(index)]
        item = self.objects[number]
        values: dict[str, Any] = {"image": self.store.picture_bytes(number)}
        keys = {"image": f"stamp-{number}"}
        if language:
            values["text"] = keys["text"] = item["names"][language]
        if clip >= 0:
            slot = "effect" if self.view == "effects" else "audio"
            values[slot], keys[slot] = self.store.clip_bytes(clip), f"clip-{clip}"
        known = self.store.info["languages"]
        return Sample(
            id="-".join(filter(None, ("stamps", self.view, item["id"].replace("/", "."), language))),
            values=values,
            meta={"object": item["id"], "category": item["category"], "language": language, "split": item["split"]},
            keys=keys,
            targets={
                "object": number,
                "group": item["group"],
                "language": known.index(language) if language in known else -1,
            },
        )

    def _view_rows(self) -> list[tuple[int, str, int]]:
        """(object, language or "", clip or -1)."""
        mine = [number for number, item in enumerate(self.objects) if item["split"] == self.split]
        if self.view == "pictures":
            return [(number, "", -1) for number in mine]
        if self.view == "names":
            return [
                (number, language, -1)
                for number in mine for language in self.languages if language in self.objects[number]["names"]
            ]  # fmt: skip
        column = self.store.clip_column
        kind = KIND_EFFECT if self.view == "effects" else KIND_CLASS
        clips = np.flatnonzero((column("kind") == kind) & (column("split") == SPLITS.index(self.split)))
        rows = []
        for clip in clips.tolist():
            language = "en" if kind == KIND_EFFECT else self.store.info["languages"][column("language")[clip]]
            number = int(column("word")[clip])
            if kind == KIND_EFFECT or language in self.languages:
                rows.append((number, language if language in self.objects[number]["names"] else "", clip))
        return rows

    def __repr__(self) -> str:
        return f"Stamps({self.split!r}, view={self.view!r}, len={len(self)})"
