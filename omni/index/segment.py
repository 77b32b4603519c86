"""A segment: some items with their vectors, written once and never changed.

Its folder holds items.jsonl and starts.npy (where each line starts), and for slot number S of the index vectors-S.faiss
(a faiss IndexFlatIP) and, where they apply, items-S.npy (which item each vector is of; absent if every item has one),
moments-S.npy, and hnsw-S.faiss or ivfpq-S.faiss.
"""

from __future__ import annotations

import os
import shutil
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from omni.errors import WeightsError
from omni.index.ann import FLAT, Approximate, choose_kind
from omni.index.calibration import Moments
from omni.index.items import FileItems, Items, MemoryItems, encode_items
from omni.index.vectors import SlotVectors
from omni.progress import Progress

ITEMS, STARTS = "items.jsonl", "starts.npy"


@dataclass(kw_only=True)
class Segment:
    """Items and their vectors.

    Attributes:
        name: of its folder; unique.
        items: names and metadata.
        slots: slot -> vectors.
        entry: what the manifest says of it, once it is written.
    """

    name: str
    items: Items
    slots: dict[str, SlotVectors]
    entry: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def of(
        cls, ids: Sequence[str], metadata: Sequence[Mapping[str, Any]], vectors: Mapping[str, np.ndarray]
    ) -> Segment:
        """In memory; vectors: slot -> (N, E) float32, where a row of NaN = the item lacks the slot."""
        slots = {}
        for slot, vectors_NE in vectors.items():
            present = ~np.isnan(vectors_NE[:, 0]) if vectors_NE.shape[1] else np.ones(len(vectors_NE), bool)
            rows = None if present.all() else np.flatnonzero(present)
            held = np.ascontiguousarray(vectors_NE if rows is None else vectors_NE[rows])
            slots[slot] = SlotVectors.of(held, items_N=rows)
        return cls(name=uuid.uuid4().hex[:16], items=MemoryItems(ids, metadata), slots=slots)

    def vectors(self, slot: str, rows: np.ndarray | None = None) -> np.ndarray:
        """(N, E) float32 of a slot, of some items (all by default); NaN where an item lacks it."""
        held = self.slots[slot]
        if held.items_N is None:
            return held.array_NE if rows is None else held.array_NE[rows]
        full = np.full((len(self), held.flat.d), np.nan, np.float32)
        full[held.items_N] = held.array_NE
        return full if rows is None else full[rows]

    def moments(self, slot: str, deleted: np.ndarray | None, *, unit: bool) -> Moments:
        """Sums over the vectors of a slot that are not deleted."""
        held = self.slots[slot].unit if unit else self.slots[slot]
        if deleted is None:
            return held.moments()
        gone = deleted if held.items_N is None else deleted[held.items_N]
        if gone.mean() > 0.5:
            return Moments.of(held.array_NE[~gone])
        return held.moments() - Moments.of(held.array_NE[gone])

    def build(self, kind: str, *, progress: Progress = None) -> None:
        """Give each slot the structure of this kind (auto: by size)."""
        for held in self.slots.values():
            chosen = choose_kind(len(held), held.flat.d, kind).kind if len(held) else FLAT
            held.approximate = (
                None if chosen == FLAT else Approximate.build(chosen, held.flat, held.array_NE, progress=progress)
            )

    def write(self, parent: Path, slots: Sequence[str]) -> None:
        """Write it as parent/name, to the disk itself, and fill in ``entry``."""
        folder = parent / self.name
        if folder.exists():  # of an attempt that failed
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        lines = encode_items(self.items.ids, self.items.metadata)
        (folder / ITEMS).write_bytes(b"".join(lines))
        np.save(folder / STARTS, np.cumsum([0, *map(len, lines)], dtype=np.int64))
        kinds = {}
        for number, slot in enumerate(slots):
            held = self.slots[slot]
            faiss.write_index(held.flat, str(folder / f"vectors-{number}.faiss"))
            if held.items_N is not None:
                np.save(folder / f"items-{number}.npy", held.items_N.astype(np.int64))
            if len(held) > held.flat.d:  # else it takes less time to add them up again
                moments = held.moments()
                np.save(folder / f"moments-{number}.npy", np.vstack([moments.sum_E, moments.outer_EE]))
            if held.approximate is not None:
                kinds[slot] = held.approximate.kind
                held.approximate.write(folder / f"{held.approximate.kind}-{number}.faiss")
        files = {path.name: sync_file(path) for path in sorted(folder.iterdir())}
        sync_folder(folder)
        sync_folder(parent)
        self.entry = {"name": self.name, "count": len(self), "kinds": kinds, "files": files}

    @classmethod
    def open(cls, parent: Path, entry: Mapping[str, Any], slots: Sequence[str]) -> Segment:
        """Map a written segment into memory. Every file is opened here: it may then be removed from the folder.

        Raises:
            FileNotFoundError: a file is gone. WeightsError, ValueError, RuntimeError, OSError: damaged.
        """
        folder = parent / entry["name"]
        for name, about in entry["files"].items():
            size = (folder / name).stat().st_size
            if size != about["bytes"]:
                raise WeightsError(f"{folder / name} is damaged: {size} bytes, not {about['bytes']}.")
        items = FileItems(folder / ITEMS, folder / STARTS, count=entry["count"])
        opened = {slot: _open_slot(folder, entry, number, slot) for number, slot in enumerate(slots)}
        return cls(name=entry["name"], items=items, slots=opened, entry=dict(entry))


def _open_slot(folder: Path, entry: Mapping[str, Any], number: int, slot: str) -> SlotVectors:
    flat = read_flat(folder / f"vectors-{number}.faiss")
    names, kind = entry["files"], entry["kinds"].get(slot)
    items_N = moments = None
    if f"items-{number}.npy" in names:
        items_N = np.load(folder / f"items-{number}.npy", mmap_mode="r")
    if flat.ntotal != (entry["count"] if items_N is None else len(items_N)):
        raise WeightsError(f"{folder} is damaged: {flat.ntotal} vectors of {slot!r} for {entry['count']} items.")
    if f"moments-{number}.npy" in names:
        sums = np.load(folder / f"moments-{number}.npy", mmap_mode="r")
        moments = Moments(count=flat.ntotal, sum_E=sums[0], outer_EE=sums[1:])
    near = None if kind is None else Approximate.open(kind, folder / f"{kind}-{number}.faiss", flat)
    return SlotVectors(flat, items_N=items_N, approximate=near, moments=moments)


def read_flat(path: Path) -> Any:
    """A faiss flat index of inner products, mapped into memory. WeightsError: it is something else, or damaged."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is gone")
    try:
        flat = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise WeightsError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    if not isinstance(flat, faiss.IndexFlat) or flat.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise WeightsError(f"{path} is damaged: it holds a {type(flat).__name__}, not vectors for inner products.")
    return flat


def merge(
    segments: Sequence[Segment], deleted: Sequence[np.ndarray | None], slots: Sequence[str], width: int
) -> Segment:
    """One segment in memory of all items that are not deleted, in order."""
    ids: list[str] = []
    metadata: list[dict[str, Any]] = []
    kept = [None if gone is None else np.flatnonzero(~gone) for _, gone in zip(segments, deleted, strict=True)]
    for segment, rows in zip(segments, kept, strict=True):
        names, about = segment.items.ids, segment.items.metadata
        ids += names if rows is None else [names[row] for row in rows]
        metadata += about if rows is None else [about[row] for row in rows]
    empty = [np.zeros((0, width), np.float32)]
    parts = {
        slot: empty + [segment.vectors(slot, rows) for segment, rows in zip(segments, kept, strict=True)]
        for slot in slots
    }
    return Segment.of(ids, metadata, {slot: np.concatenate(part) for slot, part in parts.items()})


def sync_file(path: Path) -> dict[str, int]:
    """Have the file on the disk itself; its size and checksum."""
    check = 0
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            check = zlib.crc32(part, check)
        os.fsync(file.fileno())
        return {"bytes": os.fstat(file.fileno()).st_size, "crc32": check}


def sync_folder(folder: Path) -> None:
    """Have the folder's list of files on the disk itself, where the system can."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
