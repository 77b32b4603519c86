"""An index's folder: segments that never change, and one manifest that is replaced as a whole.

index.json names the segments and, for each, the file that says which of its items are deleted. A change first writes
new files under new names, to the disk itself, then replaces index.json by one rename. So a folder is always in the
state before a change or after it, whenever the writer dies; files that no manifest names are removed by the next
writer. Readers map all files when they open a manifest and so keep what they see; one writer at a time, by writer.lock.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from omni.errors import InputError, OmniError, WeightsError
from omni.index.items import MemoryItems
from omni.index.segment import Segment, read_flat, sync_file, sync_folder
from omni.index.vectors import SlotVectors

MANIFEST, SEGMENTS, LOCK = "index.json", "segments", "writer.lock"
FORMAT = 2
OLD_FILES = ("vectors.faiss", "items.jsonl")  # of format 1
ATTEMPTS = 20  # to open what a writer is replacing
_DELETED = re.compile(r"deleted-[0-9a-f]{16}\.npy")
_TEMPORARY = re.compile(r"\.index\.[0-9a-f]{16}\.tmp")


class Store:
    """One folder.

    Args:
        folder: of the index.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock: FileLock | None = None

    @property
    def writing(self) -> bool:
        """True while this object holds the writer's lock."""
        return self._lock is not None

    def exists(self) -> bool:
        """True if an index is there."""
        return (self.folder / MANIFEST).is_file()

    def check_free(self) -> None:
        """Raise InputError if something that is no index is there."""
        if self.folder.is_file():
            raise InputError(f"{str(self.folder)!r} is a file; name a folder for the index.")
        if self.exists() or not self.folder.exists():
            return
        foreign = [path.name for path in self.folder.iterdir() if not _is_ours(path.name)]
        if foreign:
            raise InputError(
                f"{str(self.folder)!r} holds something that is no index ({foreign[0]}); name another folder."
            )

    def lock(self) -> None:
        """Become the one writer.

        Raises:
            OmniError: another one is at work. InputError: the folder cannot be written.
        """
        if self.writing:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / LOCK)
            lock.acquire(timeout=0)
        except Timeout:
            raise OmniError(
                f"Another process is writing the index in {str(self.folder)!r}; readers may open it, but only one may "
                "write at a time. Try again when it has finished."
            ) from None
        except OSError as error:
            raise InputError(f"The index cannot be written to {str(self.folder)!r}: {error}") from error
        self._lock = lock

    def unlock(self) -> None:
        """Let others write."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def read(self) -> dict[str, Any]:
        """The manifest.

        Raises:
            InputError: no index is there, or one of a later omni. WeightsError: damaged.
        """
        if not self.exists():
            raise InputError(f"{str(self.folder)!r} is no index: it has no {MANIFEST}.")
        try:
            about = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            version = int(about["format"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"The index in {str(self.folder)!r} is damaged: {error}") from error
        if version > FORMAT:
            raise InputError(
                f"The index in {str(self.folder)!r} has format {version}, written by omni {about.get('omni')}; this "
                f"version reads up to format {FORMAT}. Use a newer omni, or make the index again."
            )
        return about

    def open(
        self, held: Mapping[str, Segment] | None = None
    ) -> tuple[dict[str, Any], list[Segment], list[np.ndarray | None]]:
        """The manifest, its segments, and for each which items are deleted: one consistent state.

        Args:
            held: segments that are open already, by name.

        Raises:
            InputError, WeightsError: as ``read``.
        """
        for attempt in range(ATTEMPTS):
            about = self.read()
            try:
                _check_keys(about)
                if about["format"] == 1:
                    return about, [self._open_old(about)], [None]
                return about, *self._open_segments(about, held or {})
            except FileNotFoundError as error:
                if attempt + 1 == ATTEMPTS or self.read() == about:
                    raise self._damaged(error) from error
            except (WeightsError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
                raise self._damaged(error) from error
        raise AssertionError("unreachable")

    def _damaged(self, error: Exception) -> WeightsError:
        told = str(error) if isinstance(error, WeightsError) else f"{type(error).__name__}: {error}"
        return WeightsError(f"The index in {str(self.folder)!r} is damaged: {told}")

    def _open_segments(
        self, about: Mapping[str, Any], held: Mapping[str, Segment]
    ) -> tuple[list[Segment], list[np.ndarray | None]]:
        segments, deleted = [], []
        for entry in about["segments"]:
            segment = held.get(entry["name"])
            segments.append(segment or Segment.open(self.folder / SEGMENTS, entry, about["slots"]))
            mask = None
            if entry["deleted"] is not None:
                mask = np.zeros(entry["count"], bool)
                mask[np.load(self.folder / entry["deleted"])] = True
            deleted.append(mask)
        return segments, deleted

    def _open_old(self, about: Mapping[str, Any]) -> Segment:
        """An index of format 1: one slot, one file each of vectors and items."""
        flat = read_flat(self.folder / OLD_FILES[0])
        lines = (self.folder / OLD_FILES[1]).read_text(encoding="utf-8").split("\n")
        read = [json.loads(line) for line in lines if line]
        if not flat.ntotal == len(read) == about["count"] or flat.d != about["width"]:
            raise WeightsError(
                f"{flat.ntotal} vectors of width {flat.d}, {len(read)} items, and {about['count']} of width "
                f"{about['width']} expected."
            )
        items = MemoryItems([item["id"] for item in read], [item["metadata"] for item in read])
        return Segment(name=uuid.uuid4().hex[:16], items=items, slots={about["slot"]: SlotVectors(flat)})

    def commit(
        self,
        about: Mapping[str, Any],
        segments: Sequence[Segment],
        deleted: Sequence[np.ndarray | None],
        slots: Sequence[str],
    ) -> dict[str, Any]:
        """Make this the folder's state; the manifest that was written. It is the old state until the last step.

        Raises:
            InputError: it cannot be written; the folder is as it was.
        """
        assert self.writing
        try:
            before = {entry["name"]: entry for entry in self._entries()}
            entries = []
            for segment, mask in zip(segments, deleted, strict=True):
                if segment.entry is None or segment.name not in before:
                    segment.write(self.folder / SEGMENTS, slots)
                assert segment.entry is not None
                known = before.get(segment.name, {}).get("deleted")
                entries.append({**segment.entry, "deleted": self._write_deleted(mask, known)})
            made = {**about, "format": FORMAT, "state": uuid.uuid4().hex, "segments": entries}
            self._replace_manifest(made)
        except OSError as error:
            raise InputError(f"The index cannot be written to {str(self.folder)!r}: {error}") from error
        self.collect(made)
        return made

    def _entries(self) -> list[dict[str, Any]]:
        return self.read().get("segments", []) if self.exists() else []

    def _write_deleted(self, mask: np.ndarray | None, known: str | None) -> str | None:
        if mask is None:
            return None
        rows = np.flatnonzero(mask)
        if known is not None and np.array_equal(np.load(self.folder / known), rows):
            return known
        name = f"deleted-{uuid.uuid4().hex[:16]}.npy"
        np.save(self.folder / name, rows)
        sync_file(self.folder / name)
        return name

    def _replace_manifest(self, about: Mapping[str, Any]) -> None:
        temporary = self.folder / f".index.{uuid.uuid4().hex[:16]}.tmp"
        try:
            temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")
            sync_file(temporary)
            sync_folder(self.folder)  # the names of new files before the name of the manifest
            os.replace(temporary, self.folder / MANIFEST)
            sync_folder(self.folder)
        finally:
            temporary.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the folder of an index that was never completed, if only what a writer made is in it."""
        if self.folder.is_dir() and all(_is_ours(path.name) for path in self.folder.iterdir()):
            shutil.rmtree(self.folder, ignore_errors=True)

    def collect(self, about: Mapping[str, Any]) -> None:
        """Remove what the manifest does not name: leftovers of a writer that died, and of older states."""
        segments = {entry["name"] for entry in about.get("segments", ())}
        files = {entry["deleted"] for entry in about.get("segments", ())}
        old = OLD_FILES if about["format"] >= FORMAT else ()
        for path in self.folder.iterdir():
            if (_DELETED.fullmatch(path.name) and path.name not in files) or _TEMPORARY.fullmatch(path.name):
                _remove(path)
            elif path.name in old:
                _remove(path)
        if (self.folder / SEGMENTS).is_dir():
            for path in (self.folder / SEGMENTS).iterdir():
                if path.name not in segments:
                    shutil.rmtree(path, ignore_errors=True)

    def verify(self) -> list[str]:
        """Every file of the index whose content is not what was written, by its checksum; empty = all is well."""
        wrong = []
        for entry in self._entries():
            for name, about in entry["files"].items():
                path = self.folder / SEGMENTS / entry["name"] / name
                if not path.is_file() or sync_file(path) != about:
                    wrong.append(str(path))
        return wrong


def _check_keys(about: Mapping[str, Any]) -> None:
    wanted = {"width", "unit", "trained_groups", "missing", "model", "probe"}
    wanted |= {"slot", "count"} if about["format"] == 1 else {"slots", "segments", "state", "kind"}
    missing = sorted(wanted - set(about))
    if missing:
        raise WeightsError(f"{MANIFEST} lacks {', '.join(missing)}")


def _is_ours(name: str) -> bool:
    """True for what a writer leaves that died before the first manifest."""
    return name in (SEGMENTS, LOCK) or bool(_DELETED.fullmatch(name) or _TEMPORARY.fullmatch(name))


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # a system that keeps mapped files; the next writer tries again
