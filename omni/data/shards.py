"""Shards: tar archives of a data set's samples, by file name, with the number of samples of each."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from omni.data.tar_index import DamagedTar, Member, read_members
from omni.data.terms import KEY as TERMS
from omni.errors import ConfigError, InputError
from omni.progress import show_progress

INDEX = "index.json"
KIND = "wids-shard-index-v1"  # the published form of such an index, so that other readers take it too
MANY = 64  # shards to count before it is worth a bar
_GROUP = re.compile(r"\{([^{}]+)\}")
_RANGE = re.compile(r"^(\d+)\.\.(\d+)$")

Record = tuple[str, dict[str, Member]]  # key, field -> where it lies


class Shard:
    """The samples of one archive: consecutive files whose names agree up to the first dot.

    ``dir/000.jpg`` and ``dir/000.left.npy`` are the fields "jpg" and "left.npy" of the sample "dir/000". A damaged
    archive has one record more than can be read: asked for, it says what is wrong. Hidden files and those whose names
    begin with two underscores are no samples.

    Args:
        path: the archive.

    Raises:
        InputError: there is no such file, it is compressed, or a sample has one field twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: DamagedTar | None = None
        try:
            members = read_members(path)
        except DamagedTar as error:
            self.damage, members = error, error.members
        self.records = list(_group(path, members))
        if self.damage is not None:
            del self.records[-1:]  # some of its files may be among those lost
        self._handle: int | None = None

    def __len__(self) -> int:
        return len(self.records) + (self.damage is not None)

    def __getitem__(self, index: int) -> Record:
        if index == len(self.records) and self.damage is not None:
            lost = InputError(f"{self.damage} The samples from there on are lost.")
            raise lost from self.damage
        return self.records[index]

    def name(self, index: int) -> str:
        """What a sample is called among those of all shards."""
        key = self.records[index][0] if index < len(self.records) else "damaged"
        return f"{self.path.stem}/{key}"

    def read(self, members: Sequence[Member]) -> list[bytes]:
        """The bytes of some files: one read where they lie close together.

        Raises:
            InputError: the archive has become shorter, or the disk fails.
        """
        if not members:
            return []
        start = min(member.offset for member in members)
        stop = max(member.offset + member.size for member in members)
        needed = sum(member.size for member in members)
        if stop - start > 2 * needed + 8192:
            return [self._pread(member.offset, member.size) for member in members]
        whole = self._pread(start, stop - start)
        return [whole[member.offset - start : member.offset - start + member.size] for member in members]

    def _pread(self, offset: int, size: int) -> bytes:
        try:
            if self._handle is None:
                self._handle = os.open(self.path, os.O_RDONLY)
            pieces, missing = [], size
            while missing:
                piece = os.pread(self._handle, missing, offset + size - missing)
                if not piece:
                    raise InputError(f"The shard {str(self.path)!r} has become shorter than it was when it was opened.")
                pieces.append(piece)
                missing -= len(piece)
        except OSError as error:
            raise InputError(f"The shard {str(self.path)!r} cannot be read: {error.strerror}.") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Give the file back; reading opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self.close()


def _group(path: Path, members: Sequence[Member]) -> Iterator[Record]:
    current, fields = None, {}
    for member in members:
        folder, slash, name = member.name.removeprefix("./").rpartition("/")
        stem, _, field = name.partition(".")
        if not stem or not field or name.startswith("__"):
            continue
        key = f"{folder}{slash}{stem}"
        if key != current:
            if current is not None:
                yield current, fields
            current, fields = key, {}
        field = field.lower()
        if field in fields:
            raise InputError(f"The shard {str(path)!r}: the sample {key!r} has the field {field!r} twice.")
        fields[field] = member
    if current is not None:
        yield current, fields


def find_shards(shards: str | Path | Sequence[str | Path]) -> list[Path]:
    """The archives that a name means: a .tar file, a folder of them, a pattern (``*``, ``{0000..0099}``, ``{a,b}``), or
    a list of these; each once, patterns and folders in the order of their names.

    Raises:
        InputError: nothing is found, or a name is an address of another machine.
    """
    given = [shards] if isinstance(shards, (str, Path)) else list(shards)
    found: dict[Path, None] = {}
    for item in given:
        for name in _braces(str(item)):
            found.update(dict.fromkeys(_matching(name)))
    if not found:
        raise InputError("No shards are named: give .tar files, a folder of them or a pattern.")
    return list(found)


def _matching(name: str) -> list[Path]:
    if "://" in name or name.startswith("pipe:"):
        raise InputError(f"The shard {name!r} is not a file: copy shards to a disk first (or mount their storage).")
    path = Path(name)
    if path.is_dir():
        matches = sorted(path.glob("*.tar"))
        if not matches:
            raise InputError(f"The folder {name!r} holds no .tar files.")
        return matches
    if path.is_file():
        return [path]
    anchor = Path(path.anchor) if path.anchor else Path()
    matches = sorted(anchor.glob(str(path.relative_to(path.anchor)))) if any(c in name for c in "*?[") else []
    if not matches:
        raise InputError(f"No shard {name!r}.")
    return matches


def _braces(pattern: str) -> Iterator[str]:
    """``a-{00..02}`` and ``{x,y}`` spelled out."""
    pieces = _GROUP.split(pattern)
    options = [[piece] if index % 2 == 0 else _options(piece) for index, piece in enumerate(pieces)]
    return ("".join(chosen) for chosen in product(*options))


def _options(inner: str) -> list[str]:
    match = _RANGE.match(inner)
    if match:
        first, last = match.groups()
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        return [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]
    return inner.split(",") if "," in inner else ["{" + inner + "}"]


def count_samples(shards: Sequence[Path]) -> list[int]:
    """Samples of each shard: from the index file beside it where one is true to the shard's size, otherwise counted by
    reading all headers."""
    known: dict[Path, dict[str, tuple[int, int]]] = {}
    counts: list[int | None] = []
    for path in shards:
        if path.parent not in known:
            known[path.parent] = read_shard_index(path.parent)
        count, size = known[path.parent].get(path.name, (None, None))
        counts.append(count if size == path.stat().st_size else None)
    unknown = [index for index, count in enumerate(counts) if count is None]
    with show_progress("counting shards", len(unknown), None if len(unknown) >= MANY else False) as advance:
        for index in unknown:
            counts[index] = len(Shard(shards[index]))
            advance(1)
    return [int(count or 0) for count in counts]


def read_shard_index(folder: Path) -> dict[str, tuple[int, int]]:
    """shard's file name -> (samples, bytes) of a folder's index file; empty where there is none.

    Raises:
        ConfigError: the file is malformed.
    """
    path = folder / INDEX
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("__kind__") != KIND:
            return {}
        rows = content["shardlist"]
        return {Path(row["url"]).name: (int(row["nsamples"]), int(row.get("filesize", -1))) for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"The shard index {str(path)!r} is malformed ({type(error).__name__}: {error}). Delete it; the shards are "
            "then counted by reading them."
        ) from error


def read_shard_terms(folder: Path) -> list[dict[str, Any]]:
    """The terms of the data (omni.data.terms) that a folder's index file keeps; [] where it keeps none.

    Raises:
        ConfigError: they are not a list of objects.
    """
    path = folder / INDEX
    if not read_shard_index(folder):  # none of ours, or malformed, which it says
        return []
    terms = json.loads(path.read_text(encoding="utf-8")).get(TERMS, [])
    if not isinstance(terms, list) or not all(isinstance(item, dict) for item in terms):
        raise ConfigError(f"The shard index {str(path)!r} is malformed: {TERMS!r} must be a list of objects.")
    return terms


def write_shard_index(folder: Path, counts: dict[str, int], *, terms: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Write the index of a folder's shards, whole or not at all.

    Args:
        folder: of the shards, which are complete.
        counts: shard's file name -> samples.
        terms: of the data in them; see omni.data.terms.
    """
    rows = [
        {"url": name, "nsamples": count, "filesize": (folder / name).stat().st_size}
        for name, count in sorted(counts.items())
    ]
    handle, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        kept = {TERMS: [dict(item) for item in terms]} if terms else {}
        json.dump({"__kind__": KIND, "wids_version": 1, "shardlist": rows, **kept}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(name, 0o644)
    os.replace(name, folder / INDEX)
    return folder / INDEX
