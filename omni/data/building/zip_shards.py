"""Deterministic uncompressed zip shards, and where each member's bytes lie in them."""

from __future__ import annotations

import mmap
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni.errors import InputError

MAX_BYTES = 2_000_000
_OVERHEAD = 128  # local header and directory entry of one short-named member
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Shard number, offset of the first data byte, number of bytes."""

    shard: int
    offset: int
    size: int


def write_shards(folder: Path, stem: str, members: list[tuple[str, bytes]]) -> list[Place]:
    """Write ``stem-000.zip``, ``stem-001.zip``, ... of at most 2 MB each, in order; returns each member's place."""
    groups: list[list[tuple[str, bytes]]] = [[]]
    filled = 0
    for name, data in members:
        need = len(data) + _OVERHEAD + 2 * len(name)
        if groups[-1] and filled + need > MAX_BYTES:
            groups.append([])
            filled = 0
        groups[-1].append((name, data))
        filled += need
    places: list[Place] = []
    for shard, group in enumerate(groups):
        for offset, size in write_shard(folder / f"{stem}-{shard:03d}.zip", group):
            places.append(Place(shard=shard, offset=offset, size=size))
    return places


def write_shard(path: Path, members: Sequence[tuple[str, bytes]]) -> list[tuple[int, int]]:
    """Write one shard whatever its size; returns (offset, size) of each member's bytes."""
    places = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
            offset = entry.header_offset + 30 + len(entry.filename.encode()) + len(entry.extra)
            places.append((offset, len(data)))
    return places


class ShardFolder:
    """Bytes of the members of a folder's shards. Shards are memory-mapped on first use, so forked and spawned workers
    may share it.

    Args:
        folder: of the shards.
        remedy: what an error message tells the user to do.
    """

    def __init__(self, folder: str | os.PathLike[str], *, remedy: str = "build it again") -> None:
        self.folder = Path(folder)
        self.remedy = remedy
        self._maps: dict[str, mmap.mmap] = {}

    def read(self, name: str, offset: int, size: int) -> bytes:
        """The bytes of one member.

        Raises:
            InputError: the shard is missing or shorter than that.
        """
        if name not in self._maps:
            try:
                with open(self.folder / name, "rb") as file:
                    self._maps[name] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise InputError(f"{self.folder / name}: cannot be read ({error}); {self.remedy}") from error
        data = self._maps[name][offset : offset + size]
        if len(data) != size:
            raise InputError(f"{self.folder / name}: ends before byte {offset + size}; {self.remedy}")
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "remedy": self.remedy, "_maps": {}}


def shard_places(path: Path) -> list[tuple[int, int]]:
    """(offset, size) of each member's bytes of a shard of ``write_shard``, in order.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [
                (entry.header_offset + 30 + len(entry.filename.encode()) + len(entry.extra), entry.file_size)
                for entry in archive.infolist()
            ]
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read ({error}); build it again") from error
