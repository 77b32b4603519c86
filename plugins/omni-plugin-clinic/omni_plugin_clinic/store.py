"""Reads an edition of simclinic: edition.json, tables, shards."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from omni.data.building.zip_shards import ShardFolder
from omni.errors import ConfigError, InputError
from omni.zoo import omni_home
from omni_plugin_clinic.latents import Latents

FORMAT = 1
EDITIONS = ("mini", "bench", "full")
HIDDEN_COLUMNS = 4
SPLITS = ("train", "val", "test")


def cache_folder() -> Path:
    """Where editions are built: $OMNI_HOME/simclinic, by default ~/.cache/omni/simclinic."""
    return omni_home() / "simclinic"


def edition_folder(edition: str, *, open_i: bool = False, root: str | os.PathLike[str] | None = None) -> Path:
    """The folder of an edition: ``root`` if given (or in it), inside the package for "mini", else in the cache.

    Raises:
        ConfigError: no such edition.
        InputError: it has not been built.
    """
    if edition not in EDITIONS:
        raise ConfigError(f"simclinic has no edition {edition!r}; editions: {', '.join(EDITIONS)}.")
    name = edition + ("-open-i" if open_i else "")
    if root is not None:
        folder = Path(root) if (Path(root) / "edition.json").is_file() else Path(root) / name
    elif name == "mini":
        folder = Path(__file__).parent / "data" / "mini"
    else:
        folder = cache_folder() / name
    if not (folder / "edition.json").is_file():
        raise InputError(
            f"simclinic, edition {edition!r}, is not at {folder} (no edition.json). "
            f"Build it: omni data build simclinic --edition {edition}"
            + (" --open-i" if open_i else "")
            + (f" --out {folder}" if root is not None else "")
        )
    return folder


class EditionStore:
    """One edition, read-only. Forked and spawned workers may share it.

    Raises:
        InputError: damaged, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards = ShardFolder(folder, remedy="build the edition again")
        if self.info.get("format") != FORMAT:
            raise InputError(
                f"{folder / 'edition.json'} is of format {self.info.get('format')!r}, this package reads {FORMAT}; "
                "build the edition again."
            )

    @cached_property
    def info(self) -> dict[str, Any]:
        """The contents of edition.json."""
        return json.loads(self._text("edition.json"))

    def cases(self, split: str) -> np.ndarray:
        """int64 (N, 9): c, f, e, l, shard, offset and size of the radiograph, offset and size of the ECG."""
        return self._table(f"cases-{split}").astype(np.int64)

    def latents(self, split: str) -> Latents:
        """Hidden states of a split's cases."""
        c, f, e, l = self.cases(split)[:, :HIDDEN_COLUMNS].T  # noqa: E741
        return Latents(c_N=c, f_N=f, e_N=e, l_N=l)

    def labs(self, split: str) -> np.ndarray:
        """float64 (N, A), NaN where nothing was measured."""
        return self._table(f"labs-{split}").astype(np.float64)

    def candidates(self, split: str) -> np.ndarray:
        """int64 (N, K) cases of the split."""
        return self._table(f"candidates-{split}").astype(np.int64)

    def facts(self, split: str) -> list[dict[str, Any]]:
        """Of each case: text, and what it was made with."""
        lines = self._text(f"facts-{split}.jsonl").splitlines()
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise InputError(f"{self.folder / f'facts-{split}.jsonl'} is damaged ({error}); build it again.") from error

    def bytes_of(self, split: str, shard: int, offset: int, size: int) -> bytes:
        """A file out of a shard."""
        return self._shards.read(f"{split}-{shard:03d}.zip", offset, size)

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder / name} cannot be read ({error}); build the edition again.") from error

    def _table(self, name: str) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read ({error}); build the edition again.") from error
