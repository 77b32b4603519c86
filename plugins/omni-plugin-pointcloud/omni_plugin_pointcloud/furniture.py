"""furniture3d: point clouds of furniture, their icons, names in many languages, and the names spoken."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from omni.data.building.zip_shards import ShardFolder
from omni.errors import ConfigError, InputError, MissingDependencyError
from omni.types import Sample
from omni.zoo import omni_home

NAME, FORMAT = "furniture3d", 1
SPLITS = ("train", "test")
TEXTS = ("name", "class", "class_and_name")
SHAPES = ("occupancy", "distance", "surface")
LICENSE = "CC0-1.0 AND CC-BY-3.0"


def _solids() -> Any:
    try:
        from omni_plugin_three_d import solids
    except ImportError as error:
        raise MissingDependencyError(f"shapes of {NAME} need {error.name}; pip install omni-plugin-three-d") from error
    return solids


class Furniture3d(Dataset):
    """A piece of furniture in one language; map-style, items are :class:`omni.types.Sample`.

    Slots: ``pointcloud`` (2,048 points of the model's surface, in its own unit, mostly cm, y up), ``image`` (its icon,
    PNG), ``text`` (its name), ``audio`` (the name spoken by espeak-ng, Ogg Opus; missing in languages that are not
    spoken). ``targets``:
    ``class`` (index into ``classes``, English names of the rooms and kinds), ``model``, ``name`` (the same for models
    that are called alike in English) and ``language``.

    Split by name: no test model is called like a training model, in any spoken language; voices differ too.

    Args:
        split: "train" (four fifths) or "test".
        languages: one item for each of these and each model that has a name in it; None = the spoken ones, "all".
        text: "name", "class", or "class_and_name": "kitchen: fridge", always with the English class.
        root: the built folder; default $OMNI_HOME/furniture3d.
        shape: targets for heads that make shapes (omni-plugin-three-d), all in shape space, the same each time:
            "occupancy" or "distance": ``points`` (P, 3) about the border of the model's solid and in the whole cube,
            and 1 inside, or the signed distance, at each; "surface": the cloud. ``meta["frame"]`` then leads to the
            model's own unit.
        shape_points: P.

    Attributes:
        classes: their names.

    Raises:
        ConfigError: an argument that there is not. InputError: it has not been built, or is damaged.
    """

    def __init__(
        self, split: str = "train", *, languages: Sequence[str] | str | None = None, text: str = "name",
        root: str | os.PathLike[str] | None = None, shape: Sequence[str] | str = (), shape_points: int = 4096,
    ) -> None:  # fmt: skip
        self.shape = (shape,) if isinstance(shape, str) else tuple(shape)
        if not set(self.shape) <= set(SHAPES) or shape_points < 1:
            raise ConfigError(
                f"{NAME}: shape={list(self.shape)} are some of {', '.join(SHAPES)}; shape_points={shape_points} above 0"
            )
        self.shape_points = int(shape_points)
        self._shapes: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        for what, value, known in (("split", split, SPLITS), ("text", text, TEXTS)):
            if value not in known:
                raise ConfigError(f"{NAME}: {what}={value!r} is not one of {', '.join(known)}")
        self.split, self.text = split, text
        self.folder = Path(root) if root is not None else omni_home() / NAME
        self.info = self._read_info()
        if self.shape and "solid" not in self.info["models"][0]:
            raise InputError(f"{self.folder} was built without solids; build it again: omni data build {NAME}")
        self.terms = [{"data": NAME, "license": LICENSE, "publish": True}]
        self.classes = tuple(name.lower() for name in self.info["classes"])
        self.languages = self._chosen(languages)
        models = self.info["models"]
        names = sorted({model["names"]["en"] for model in models})
        self._name = {name: number for number, name in enumerate(names)}
        self._said = {(row["language"], row["text"], row["split"]): row for row in self.info["speech"]}
        self._shards = ShardFolder(self.folder, remedy=f"build it again: omni data build {NAME}")
        self._rows = [
            (number, language)
            for number, model in enumerate(models) if model["split"] == split
            for language in self.languages if language in model["names"]
        ]  # fmt: skip

    def _read_info(self) -> dict[str, Any]:
        path, remedy = self.folder / "edition.json", f"build it with 'omni data build {NAME}'"
        if not path.is_file():
            raise InputError(f"{NAME} is not at {self.folder} (no edition.json); {remedy}")
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
        if (info.get("name"), info.get("format")) != (NAME, FORMAT):
            raise InputError(f"{path}: {info.get('name')!r} of format {info.get('format')!r}; {remedy}")
        return info

    def _chosen(self, wanted: Sequence[str] | str | None) -> list[str]:
        if wanted is None or wanted == "all":
            spoken = self.info["spoken"] or ["en"]
            return list(spoken if wanted is None else self.info["languages"])
        chosen = [wanted] if isinstance(wanted, str) else list(wanted)
        for language in chosen:
            if language not in self.info["languages"]:
                raise ConfigError(f"{NAME} has no names in {language!r}; it has {', '.join(self.info['languages'])}")
        return chosen

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self!r} has {len(self)} items, none with index {index}")
        number, language = self._rows[int(index)]
        model = self.info["models"][number]
        name, kind = model["names"][language], self.classes[model["class"]]
        text = {"name": name, "class": kind, "class_and_name": f"{kind}: {name}"}[self.text]
        points = np.load(io.BytesIO(self._read(model["cloud"])), allow_pickle=False)
        values: dict[str, Any] = {"pointcloud": points, "image": self._read(model["icon"]), "text": text}
        keys = {"pointcloud": f"cloud-{model['id']}", "image": f"icon-{model['id']}", "text": text}
        said = self._said.get((language, name, self.split))
        if said is not None:
            values["audio"], keys["audio"] = self._read(said["place"]), f"speech-{said['place'][0]}-{said['place'][1]}"
        targets, known = self._shape(model, points) if self.shape else ({}, {})
        return Sample(
            id=f"{model['id']}-{language}",
            values=values,
            keys=keys,
            targets={
                "class": model["class"], "model": number, "name": self._name[model["names"]["en"]],
                "language": self.info["languages"].index(language), **targets,
            },
            meta={
                "name": name, "language": language, "class": kind, "size_cm": model["size_cm"],
                "voice": "" if said is None else said["voice"], "creator": model["creator"],
                "licence": model["licence"], **known,
            },
        )  # fmt: skip

    def solid(self, number: int) -> tuple[Any, np.ndarray]:
        """The frame and the (G, G, G) bool voxels of a model, by its number in ``targets["model"]``.

        Raises:
            InputError: built without solids, or damaged. MissingDependencyError: omni-plugin-three-d is not installed.
        """
        place = self.info["models"][number].get("solid")
        if place is None:
            raise InputError(f"{self.folder} was built without solids; build it again: omni data build {NAME}")
        return _solids().read_framed(self._read(place))

    def _shape(self, model: dict[str, Any], points: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
        """Targets, and what else is known of the shape; kept in memory, since they are the same each time."""
        if model["id"] in self._shapes:
            return self._shapes[model["id"]]
        solids = _solids()
        frame, solid = solids.read_framed(self._read(model["solid"]))
        found: dict[str, Any] = {}
        if "surface" in self.shape:
            found["surface"] = frame.into(points).astype(np.float32)
        if "occupancy" in self.shape or "distance" in self.shape:
            distance = "distance" in self.shape
            queries = solids.query_points(solid, self.shape_points, seed=model["id"], distance=distance)
            found["points"] = queries.points_P3
            known = {"occupancy": queries.occupancy_P, "distance": queries.distance_P}
            found |= {name: known[name] for name in self.shape if name in known}
        self._shapes[model["id"]] = found, {"frame": frame.to_list()}
        return self._shapes[model["id"]]

    def _read(self, place: list[Any]) -> bytes:
        return self._shards.read(place[0], place[1], place[2])

    def __repr__(self) -> str:
        return f"Furniture3d({self.split!r}, languages={self.languages}, text={self.text!r}, len={len(self)})"
