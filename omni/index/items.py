"""Names and metadata of a segment's items: lists in memory, or lines of a mapped file that are read when asked for."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from omni.errors import InputError, WeightsError
from omni.index.columns import Columns


class Items(Protocol):
    """N items in order."""

    def __len__(self) -> int: ...

    def item(self, row: int) -> tuple[str, dict[str, Any]]:
        """Name and metadata of one."""

    @property
    def ids(self) -> list[str]:
        """All names."""

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """All metadata."""

    @property
    def columns(self) -> Columns:
        """By field, for filters."""


class MemoryItems:
    """Items that are lists."""

    def __init__(self, ids: Sequence[str], metadata: Sequence[Mapping[str, Any]]) -> None:
        self.ids = list(ids)
        self.metadata = [dict(item) for item in metadata]

    def __len__(self) -> int:
        return len(self.ids)

    def item(self, row: int) -> tuple[str, dict[str, Any]]:
        """Name and metadata of one."""
        return self.ids[row], self.metadata[row]

    @cached_property
    def columns(self) -> Columns:
        """By field, for filters."""
        return Columns(self.ids, self.metadata)


class FileItems:
    """Items in a file of JSON lines, mapped into memory; starts_N1 (N + 1,) says where each line starts."""

    def __init__(self, path: Path, starts_path: Path, *, count: int) -> None:
        self._path = path
        self._starts = np.load(starts_path, mmap_mode="r")
        size = path.stat().st_size
        if self._starts.shape != (count + 1,) or int(self._starts[-1]) != size:
            raise WeightsError(f"{path} is damaged: it does not hold {count} items.")
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""

    def __len__(self) -> int:
        return len(self._starts) - 1

    def item(self, row: int) -> tuple[str, dict[str, Any]]:
        """Name and metadata of one."""
        line = self._bytes[int(self._starts[row]) : int(self._starts[row + 1])]
        try:
            read = json.loads(line)
            return read["id"], read["metadata"]
        except (ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"{self._path} is damaged at item {row}: {error}") from error

    @cached_property
    def _all(self) -> tuple[list[str], list[dict[str, Any]]]:
        read = [self.item(row) for row in range(len(self))]
        return [name for name, _ in read], [metadata for _, metadata in read]

    @property
    def ids(self) -> list[str]:
        """All names."""
        return self._all[0]

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """All metadata."""
        return self._all[1]

    @cached_property
    def columns(self) -> Columns:
        """By field, for filters."""
        return Columns(self.ids, self.metadata)


def encode_items(ids: Sequence[str], metadata: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """The lines of the file.

    Raises:
        InputError: metadata that is not plain JSON.
    """
    lines = []
    for name, item in zip(ids, metadata, strict=True):
        try:
            text = json.dumps({"id": name, "metadata": item}, ensure_ascii=False, allow_nan=False)
            lines.append(text.encode("utf-8") + b"\n")
        except (TypeError, ValueError) as error:
            raise InputError(f"The metadata of {name!r} must be plain JSON values: {error}") from error
    return lines
