"""Deterministic uncompressed zip shards, and where each member's bytes lie in them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

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
        with zipfile.ZipFile(folder / f"{stem}-{shard:03d}.zip", "w", zipfile.ZIP_STORED) as archive:
            for name, data in group:
                entry = zipfile.ZipInfo(name, date_time=_EPOCH)
                entry.create_system = 3
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data)
                offset = entry.header_offset + 30 + len(entry.filename.encode()) + len(entry.extra)
                places.append(Place(shard=shard, offset=offset, size=len(data)))
    return places
