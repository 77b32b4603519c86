"""Reads an edition folder: edition.json, index tables (.npy) and shards (uncompressed zip archives)."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from omni.data.building.zip_shards import ShardFolder
from omni.errors import InputError

EDITIONS = ("demo", "bench", "full", "human")
FORMAT = 1
CLIP_COLUMNS = ("language", "kind", "word", "split", "voice", "rate", "milliseconds", "shard", "offset", "size")
PICTURE_COLUMNS = ("class", "art", "shard", "offset", "size")
KIND_CLASS, KIND_OTHER, KIND_EFFECT = 0, 1, 2


def cache_folder(name: str = "m3mini") -> Path:
    """Where what is built is kept: $OMNI_HOME/NAME, by default ~/.cache/omni/NAME."""
    home = os.environ.get("OMNI_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "omni") / name


def built_folder(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a built data set: ``root``, or the cache; raises InputError when it has not been built."""
    folder = Path(root) if root is not None else cache_folder(name)
    if not (folder / "edition.json").is_file():
        raise InputError(
            f"{name} is not at {folder} (no edition.json); build it with 'omni data build {name}"
            + ("'" if root is None else f" --out {folder}'")
        )
    return folder


def edition_folder(edition: str, root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of an edition: under ``root`` if given, inside the package for "demo", else in the cache.

    Raises:
        InputError: no such edition, or it has not been built.
    """
    if edition not in EDITIONS:
        raise InputError(f"m3mini has no edition {edition!r}; editions: {', '.join(EDITIONS)}")
    if root is not None:
        root = Path(root)
        folder = root if (root / "edition.json").is_file() else root / edition
    elif edition == "demo":
        folder = Path(__file__).parent / "data" / "demo"
    else:
        folder = cache_folder() / edition
    if not (folder / "edition.json").is_file():
        raise InputError(
            f"m3mini edition {edition!r} is not at {folder} (no edition.json); build it with "
            f"'python tools/build_m3mini.py --edition {edition} --out {folder}'"
        )
    return folder


class EditionStore:
    """One edition, read-only. Forked and spawned workers may share it."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._shards = ShardFolder(self.folder, remedy="build the edition again")
        if self.info.get("format") != FORMAT:
            raise InputError(
                f"{self.folder / 'edition.json'}: format {self.info.get('format')!r}, this package reads {FORMAT}; "
                "build the edition again with tools/build_m3mini.py"
            )

    @cached_property
    def info(self) -> dict[str, Any]:
        """The contents of edition.json."""
        path = self.folder / "edition.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); build the edition again") from error

    def table(self, name: str) -> np.ndarray:
        """An index table (N, columns), by the name of its file without ".npy"."""
        path = self.folder / f"{name}.npy"
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read ({error}); build the edition again") from error

    @cached_property
    def clips(self) -> np.ndarray:
        """int (N, len(CLIP_COLUMNS))."""
        return self.table("clips").astype(np.int64)

    @cached_property
    def pictures(self) -> np.ndarray:
        """int (N, len(PICTURE_COLUMNS)), sorted by class, then art."""
        return self.table("pictures").astype(np.int64)

    def clip_column(self, name: str) -> np.ndarray:
        """One column of the clip table."""
        return self.clips[:, CLIP_COLUMNS.index(name)]

    def picture_column(self, name: str) -> np.ndarray:
        """One column of the picture table."""
        return self.pictures[:, PICTURE_COLUMNS.index(name)]

    def clip_bytes(self, clip: int) -> bytes:
        """The Ogg Opus file (16 kHz, mono) of one clip."""
        shard, offset, size = (int(value) for value in self.clips[clip, -3:])
        return self._shards.read(f"speech-{shard:03d}.zip", offset, size)

    def picture_bytes(self, picture: int) -> bytes:
        """The PNG file of one picture."""
        shard, offset, size = (int(value) for value in self.pictures[picture, -3:])
        return self._shards.read(f"pictures-{shard:03d}.zip", offset, size)
