"""Reads a built folder: edition.json and shards of media."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from omni.data.building.zip_shards import ShardFolder
from omni.errors import ConfigError, InputError
from omni_plugin_m3mini.store import built_folder

FORMAT = 1


class ClipStore:
    """A built data set, read-only; forked and spawned workers may share it.

    Args:
        name: of the data set.
        root: its folder; None = the cache ($OMNI_HOME/NAME).

    Attributes:
        folder: where it lies. info: the contents of edition.json.

    Raises:
        InputError: it has not been built, or edition.json is damaged or of another format.
    """

    def __init__(self, name: str, root: str | os.PathLike[str] | None = None) -> None:
        self.folder: Path = built_folder(name, root)
        remedy = f"build it again: omni data build {name}"
        self._shards = ShardFolder(self.folder, remedy=remedy)
        path = self.folder / "edition.json"
        try:
            self.info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
        found = self.info.get("name"), self.info.get("format")
        if found != (name, FORMAT):
            raise InputError(f"{path}: {found[0]!r} of format {found[1]!r}, not {name!r} of {FORMAT}; {remedy}")

    def read(self, place: list[Any]) -> bytes:
        """The bytes at (shard file, offset, size).

        Raises:
            InputError: the shard is missing or cut off.
        """
        return self._shards.read(place[0], place[1], place[2])


def check_choice(dataset: str, what: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Raise a ConfigError that names what is allowed, unless ``value`` is among it."""
    if value not in allowed:
        raise ConfigError(f"{dataset}: {what}={value!r} is not one of {', '.join(map(str, allowed))}")


def check_index(dataset: Any, index: int) -> int:
    """The index from 0; raises IndexError outside of the data set."""
    if not -len(dataset) <= index < len(dataset):
        raise IndexError(f"{dataset!r} has {len(dataset)} items, none with index {index}")
    return int(index) % len(dataset)
