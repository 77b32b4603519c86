"""composites: cut-outs of real pictures over frames of films; drawn when they are asked for, always the same."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from omni.data.building.counter_rng import CounterRng
from omni.data.building.zip_shards import ShardFolder
from omni.errors import ConfigError, InputError
from omni.types import Sample
from omni_plugin_detection.composites.categories import LANGUAGES, name_of
from omni_plugin_detection.composites.scene import Drawn, Scene, draw_scene, left_of, render
from omni_plugin_m3mini.store import built_folder

FORMAT = 1
GROUND_HEIGHT = 160
BLOCKS = ("train", "val", "test")  # of the films' time
SPLITS = {  # split -> block of the films, part of the things, number of scenes
    "train": ("train", "seen", 8000),
    "val": ("val", "seen", 500),
    "test": ("test", "seen", 1000),
    "unseen": ("test", "unseen", 500),
    "pairs": ("test", "seen", 500),
}
SLOTS = ("image", "text", "crop", "audio", "phrase", "caption")
OBJECTS = 1000  # ids of labels: kinds from 0, groups of things from here
_CACHE = 1024


class Composites(Dataset):
    """Pictures with one to four things; map-style, items are :class:`omni.types.Sample`.

    A scene is a pure function of split, seed and index: nothing but cut-outs and grounds is stored, and more scenes
    cost nothing. The things of "unseen" are in no other split; "pairs" holds two things that are together in no
    picture of another split, one left of the other; no frame of the films' test time is in train.

    Slots (those that are asked for): ``image`` (H, W, 3) uint8; labels of one of its things, drawn by scene: ``text``
    (name of its kind or its own, in one of the languages), ``crop`` (the cut-out on white), ``audio`` (its own sound;
    samples whose things have none lack it); ``phrase`` (name of one of its things; in "pairs" with "left of ...");
    ``caption`` ("a cat left of a drum"; samples without such a pair lack it).

    ``targets``: ``boxes`` (N, 4) float32 x0, y0, x1, y1 in pixels; ``labels`` (N, 2) the ids that are right for each
    box (kind; 1000 + group of things); ``picture_size`` (1, 2) height, width; ``text_id``, ``crop_id``, ``audio_id``
    the ids of the label slots; ``phrase_box`` (1, 4); ``masks`` (N, H, W) with ``masks=True``. ``meta``: things, names,
    ``left_of`` pairs, ``swapped`` (the caption with its things exchanged).

    Args:
        split: "train", "val", "test", "unseen" or "pairs".
        scenes: how many; None = as SPLITS says.
        side: of the pictures, at most 160 pixels.
        most: things in a picture.
        slots: which of SLOTS.
        kinds: share of the texts that name the kind and not the thing.
        languages: of the texts.
        masks: give ``targets["masks"]``.
        seed: of the scenes.
        root: the built folder; default $OMNI_HOME/composites.

    Raises:
        ConfigError: an argument that there is not. InputError: it has not been built, or is damaged.
    """

    def __init__(
        self, split: str = "train", *, scenes: int | None = None, side: int = 128, most: int = 4,
        slots: Sequence[str] = ("image", "text"), kinds: float = 0.5, languages: Sequence[str] = LANGUAGES,
        masks: bool = False, seed: int = 0, root: str | os.PathLike[str] | None = None,
    ) -> None:  # fmt: skip
        if split not in SPLITS:
            raise ConfigError(f"composites: split={split!r} is not one of {', '.join(SPLITS)}")
        strangers = [*(s for s in slots if s not in SLOTS), *(tag for tag in languages if tag not in LANGUAGES)]
        if strangers or not languages:
            raise ConfigError(f"composites: no {strangers or 'languages'}; slots {SLOTS}, languages {LANGUAGES}")
        if not 32 <= side <= GROUND_HEIGHT or not 1 <= most <= 8 or not 0 <= kinds <= 1:
            raise ConfigError("composites: side is 32 to 160 pixels, most 1 to 8 things, kinds a share from 0 to 1")
        self.split, self.side, self.most, self.kinds = split, side, most, kinds
        self.slots, self.languages, self.masks, self.seed = tuple(slots), tuple(languages), masks, seed
        block, part, count = SPLITS[split]
        self.scenes = count if scenes is None else scenes
        self.store = CompositeStore(root)
        self.things = self.store.things
        self.categories = tuple(sorted({thing["category"] for thing in self.things}))
        self.pool = [number for number, thing in enumerate(self.things) if thing["part"] == part]
        self._groups = [thing["group"] for thing in self.things]
        self._aspects = [thing["size"][1] / thing["size"][0] for thing in self.things]
        self._grounds = [n for n, row in enumerate(self.store.info["grounds"]) if row["block"] == block]

    def __len__(self) -> int:
        return self.scenes

    def scene(self, index: int) -> Scene:
        """The layout of a scene.

        Raises:
            IndexError: there is none of that number.
        """
        return self._scene(index)[0]

    def _scene(self, index: int) -> tuple[Scene, CounterRng]:
        if not 0 <= index < self.scenes:
            raise IndexError(f"{self!r} has no scene {index}")
        rng = CounterRng("composites", self.split, self.seed, index)
        scene = draw_scene(
            rng, side=self.side, things=self.pool, groups=self._groups, aspects=self._aspects, grounds=self._grounds,
            most=self.most, held=self.split == "pairs",
        )  # fmt: skip
        return scene, rng

    def draw(self, index: int) -> Drawn:
        """Picture, masks and boxes of a scene."""
        return self._draw(self.scene(index))

    def _draw(self, scene: Scene) -> Drawn:
        return render(scene, self.store.ground(scene.ground, self.side), self.store.cut_out, self.side)

    def __getitem__(self, index: int) -> Sample:
        index = index + self.scenes if index < 0 else index
        scene, rng = self._scene(index)
        drawn = self._draw(scene)
        things = [self.things[item.thing] for item in scene.things]
        chance = rng.uniform((8,))
        values: dict[str, Any] = {"image": drawn.pixels_HWC} if "image" in self.slots else {}
        targets: dict[str, Any] = {
            "boxes": drawn.boxes_N4,
            "labels": np.asarray([self.ids(item.thing) for item in scene.things]),
            "picture_size": np.asarray([drawn.pixels_HWC.shape[:2]], np.float32),
        }
        if self.masks:
            targets["masks"] = drawn.masks_NHW
        self._add_labels(scene, chance, values, targets)
        pairs = left_of(drawn.boxes_N4, self.side)
        meta: dict[str, Any] = {
            "things": [thing["id"] for thing in things], "names": [thing["name"] for thing in things],
            "left_of": pairs, "split": self.split, "made": True,
        }  # fmt: skip
        chosen = int(chance[5] * len(things))
        phrase = things[chosen]["name"]
        if pairs:
            first, second = pairs[int(chance[6] * len(pairs))]
            caption = f"{things[first]['name']} left of {things[second]['name']}"
            meta["swapped"] = f"{things[second]['name']} left of {things[first]['name']}"
            if "caption" in self.slots:
                values["caption"] = caption
            if self.split == "pairs":
                chosen, phrase = first, caption
        if "phrase" in self.slots:
            values["phrase"], targets["phrase_box"] = phrase, drawn.boxes_N4[chosen : chosen + 1]
        return Sample(id=f"composites-{self.split}-{self.seed}-{index:06d}", values=values, targets=targets, meta=meta)

    def ids(self, thing: int) -> tuple[int, int]:
        """(kind, 1000 + group): the ids of the labels that are right for a thing."""
        return self.categories.index(self.things[thing]["category"]), OBJECTS + self._groups[thing]

    def label_text(self, thing: int, *, kind: bool, language: str = "en") -> str:
        """What a thing's kind, or the thing, is called in a language (in English where it has no such name)."""
        row = self.things[thing]
        if kind:
            return name_of(row["category"], language)
        return row["name"] if language == "en" else row["names"].get(language, row["name"]).rstrip(".!")

    def _add_labels(self, scene: Scene, chance: np.ndarray, values: dict[str, Any], targets: dict[str, Any]) -> None:
        numbers = [item.thing for item in scene.things]
        if "text" in self.slots:
            thing, kind = numbers[int(chance[0] * len(numbers))], bool(chance[1] < self.kinds)
            language = self.languages[int(chance[2] * len(self.languages))]
            values["text"] = self.label_text(thing, kind=kind, language=language)
            targets["text_id"] = self.ids(thing)[0 if kind else 1]
        if "crop" in self.slots:
            thing = numbers[int(chance[3] * len(numbers))]
            values["crop"], targets["crop_id"] = self.store.on_white(thing), self.ids(thing)[1]
        sounding = [thing for thing in numbers if self.things[thing]["sound"]]
        if "audio" in self.slots and sounding:
            thing = sounding[int(chance[4] * len(sounding))]
            values["audio"], targets["audio_id"] = self.store.sound(thing), self.ids(thing)[1]

    def __repr__(self) -> str:
        return f"Composites({self.split!r}, scenes={self.scenes}, side={self.side})"


class CompositeStore:
    """The built folder: cut-outs, grounds and sounds; read-only, may be shared by forked and spawned workers.

    Raises:
        InputError: it has not been built, or is of another format.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.folder: Path = built_folder("composites", root)
        path = self.folder / "edition.json"
        remedy = "build it again: omni data build composites"
        try:
            self.info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
        if (self.info.get("name"), self.info.get("format")) != ("composites", FORMAT):
            raise InputError(f"{path}: not composites of format {FORMAT}; {remedy}")
        self.things: list[dict[str, Any]] = self.info["things"]
        self._shards = ShardFolder(self.folder, remedy=remedy)

    def cut_out(self, thing: int) -> np.ndarray:
        """(H, W, 4) uint8 RGBA."""
        return _picture(self._shards, tuple(self.things[thing]["place"]), "RGBA", 0)

    def ground(self, number: int, side: int) -> np.ndarray:
        """(side, W, 3) uint8 RGB."""
        return _picture(self._shards, tuple(self.info["grounds"][number]["place"]), "RGB", side)

    def on_white(self, thing: int, side: int = 112) -> np.ndarray:
        """(side, side, 3) uint8: the cut-out in the middle of a white ground."""
        pixels_HWC = self.cut_out(thing).astype(np.float32)
        alpha = pixels_HWC[..., 3:] / 255
        made = np.full((side, side, 3), 255, np.uint8)
        high, wide = pixels_HWC.shape[:2]
        top, left = (side - high) // 2, (side - wide) // 2
        flat = pixels_HWC[..., :3] * alpha + 255 * (1 - alpha)
        made[top : top + high, left : left + wide] = flat.round().astype(np.uint8)
        return made

    def sound(self, thing: int) -> bytes:
        """The Ogg file of a thing's own sound.

        Raises:
            InputError: it has none.
        """
        place = self.things[thing]["sound"]
        if not place:
            raise InputError(f"composites: {self.things[thing]['id']} has no sound of its own")
        return self._shards.read(*place)


@lru_cache(maxsize=_CACHE)
def _picture(shards: ShardFolder, place: tuple[str, int, int], mode: str, height: int) -> np.ndarray:
    from PIL import Image

    picture = Image.open(io.BytesIO(shards.read(*place))).convert(mode)
    if height and picture.height != height:
        wide = round(picture.width * height / picture.height)
        picture = picture.resize((wide, height), Image.Resampling.BOX if height < picture.height else 3)
    return np.asarray(picture)
