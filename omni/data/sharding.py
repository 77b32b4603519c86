"""Writes a data set as WebDataset shards: tar archives that are the same bytes whenever they are written."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from omni.data.bad_items import OnBad
from omni.data.groups import Group, Unreadable, group_of
from omni.data.members import as_file
from omni.data.shards import INDEX, write_shard_index
from omni.data.tar_index import BLOCK
from omni.data.terms import terms_of
from omni.errors import ConfigError, InputError, MissingSlotError, OmniError
from omni.plugin.catalog import get_catalog
from omni.plugin.specs import ModalitySpec
from omni.progress import Progress, show_progress
from omni.types import Sample

STATE = "shards.part.json"
KEY_DIGITS = 9
Files = list[tuple[str, bytes]]


@dataclass(kw_only=True)
class ShardsWritten:
    """What ``write_shards`` did.

    Attributes:
        folder: of the shards and their index.json.
        shards: file name -> samples.
        bytes: of all shards.
        slots: slot -> values.
        bad: what was left out: its count, its list's file, a summary.
        went_on: whether it took up shards of a job that was stopped.
    """

    folder: Path
    shards: dict[str, int]
    bytes: int
    slots: dict[str, int]
    bad: OnBad
    went_on: bool = False

    @property
    def samples(self) -> int:
        """In all shards."""
        return sum(self.shards.values())


@dataclass(kw_only=True)
class _State:
    """How far a job is: written after each shard."""

    about: dict[str, Any]
    done: int = 0
    shards: dict[str, int] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    bad: list[dict[str, Any]] = field(default_factory=list)


def write_shards(
    dataset: Any,
    folder: str | Path,
    slots: Mapping[str, str],
    *,
    name: str = "shard",
    shard_bytes: int = 512 * 2**20,
    shard_samples: int = 10_000,
    on_bad: str = "raise",
    about: Mapping[str, Any] | None = None,
    restart: bool = False,
    progress: Progress = None,
) -> ShardsWritten:
    """Write ``folder/NAME-000000.tar`` ... and index.json.

    The files of a sample are ``POSITION.SLOT.ENDING`` for each slot it has, unchanged where it is a file or bytes, and
    ``POSITION.json`` with its id, metadata and targets. A shard is there as a whole or not at all; a job that was
    stopped goes on with the next one; index.json says that all are there.

    Args:
        dataset: map-style or a stream.
        slots: slot -> modality, of those to write.
        name: the shards' names begin with it.
        shard_bytes, shard_samples: a shard ends before it would have more than one of these; one sample it always has.
        on_bad: "raise" or "skip": samples of which a value's file cannot be read. Nothing is decoded.
        about: JSON facts of the data; a stopped job of other data is refused.
        restart: write over whatever shards the folder holds.

    Raises:
        InputError: a value that cannot be read or made a file. ConfigError: the folder holds other shards.
    """
    if shard_bytes < 1 or shard_samples < 1:
        raise ConfigError("shard_bytes and shard_samples must be at least 1.")
    folder, catalog = Path(folder), get_catalog()
    specs = {slot: catalog.get("modality", modality).spec for slot, modality in slots.items()}
    facts = {"slots": dict(slots), "name": name, "bytes": shard_bytes, "samples": shard_samples, "data": about or {}}
    state, went_on = _open(folder, json.loads(json.dumps(facts, default=str)), restart)
    group = group_of(dataset, list(slots))
    with show_progress("shard", group.nominal or 0, progress) as advance, _Writer(folder, state, name) as writer:
        advance(state.done)
        for entry in _files_of(group, specs, state.done, OnBad(on_bad)):
            if writer.full(entry, shard_bytes, shard_samples):
                writer.close()
            writer.add(entry)
            advance(1)
        writer.close()
    if not state.shards:
        raise InputError("There is not one sample to write.")
    listed = OnBad("skip", folder / "bad.jsonl")
    for item in state.bad:
        listed.record(item["reason"], sample_id=item["id"], index=item["position"], slot=item["slot"])
    write_shard_index(folder, state.shards, terms=terms_of(dataset))
    (folder / STATE).unlink()
    size = sum((folder / file).stat().st_size for file in state.shards)
    return ShardsWritten(
        folder=folder, shards=state.shards, bytes=size, slots=state.slots, bad=listed, went_on=went_on
    )  # fmt: skip


def _open(folder: Path, about: dict[str, Any], restart: bool) -> tuple[_State, bool]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept, shards = folder / STATE, sorted(folder.glob("*.tar"))
        if restart:
            for path in (*shards, kept, folder / INDEX):
                path.unlink(missing_ok=True)
        elif kept.is_file():
            state = _State(**json.loads(kept.read_text(encoding="utf-8")))
            if state.about != about:
                other = ", ".join(key for key in about if state.about.get(key) != about[key])
                raise ConfigError(
                    f"{folder} holds the shards of a job that is not this one (other: {other}). Give the settings of "
                    "that job to go on with it, or --restart to throw its shards away."
                )
            return state, True
        elif shards:
            raise ConfigError(
                f"{folder} holds shards already ({shards[0].name}, ...). Name another folder, or --restart."
            )
        for left in folder.glob(".*.tmp"):
            left.unlink()
    except OSError as error:
        raise OmniError(f"{folder} cannot be written: {error}") from error
    return _State(about=about), False


def _keep(folder: Path, state: _State) -> None:
    temporary = folder / f".{STATE}.tmp"
    temporary.write_text(json.dumps(state.__dict__), encoding="utf-8")
    os.replace(temporary, folder / STATE)


@dataclass(kw_only=True)
class _Entry:
    """The files of one sample, or what is bad about it."""

    files: Files = field(default_factory=list)
    slots: Sequence[str] = ()
    bad: dict[str, Any] | None = None


def _files_of(group: Group, specs: Mapping[str, ModalitySpec], start: int, on_bad: OnBad) -> Iterator[_Entry]:
    """Each sample's files, or what is bad about it."""
    for position, ticket in enumerate(islice(group.tickets(0), start, None), start):
        entry, made = group.read(ticket), None
        with on_bad.guard(entry.id, position) as outcome:
            if isinstance(entry, Unreadable):
                raise entry.error
            made = _sample_files(entry, specs, position)
        if made is not None:
            yield made
        elif outcome.bad is not None:
            yield _Entry(bad=dict(outcome.bad.__dict__))


def _sample_files(sample: Sample, specs: Mapping[str, ModalitySpec], position: int) -> _Entry:
    key, files, has = f"{position:0{KEY_DIGITS}d}", [], []
    for slot, spec in specs.items():
        if sample.values.get(slot) is None:
            continue
        try:
            ending, content = as_file(sample.values[slot], spec, what=f"Sample {sample.id!r}: Slot {slot!r}")
        except MissingSlotError:
            continue
        except InputError as error:
            error.slot = slot
            raise
        files.append((f"{key}.{slot}.{ending}", content))
        has.append(slot)
    return _Entry(files=[*files, (f"{key}.json", _facts(sample))], slots=has)


def _facts(sample: Sample) -> bytes:
    """id, metadata and targets as one JSON object; metadata called like a target or "id" gets "meta_" before it."""
    taken = {"id", *sample.targets}
    meta = {f"meta_{key}" if key in taken else key: value for key, value in sample.meta.items()}
    facts = {"id": sample.id, **meta, **{key: _plain(value) for key, value in sample.targets.items()}}
    try:
        return json.dumps(facts, ensure_ascii=False, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"Sample {sample.id!r}: its metadata or targets are no plain values: {error}") from error


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy and torch as Python's; anything else as its text."""
    return (
        value.tolist() if hasattr(value, "tolist") else value if isinstance(value, (int, float, bool)) else str(value)
    )


class _Writer:
    """Writes one shard after another: archives without owners, dates and anything else that differs between runs."""

    def __init__(self, folder: Path, state: _State, name: str) -> None:
        self.folder, self.state, self.name = folder, state, name
        self.archive: tarfile.TarFile | None = None
        self.file: Any = None
        self._begin()

    def _begin(self) -> None:
        self.seen = self.samples = self.size = 0
        self.slots: dict[str, int] = {}
        self.bad: list[dict[str, Any]] = []

    def full(self, entry: _Entry, most_bytes: int, most_samples: int) -> bool:
        """Whether the shard ends before this sample."""
        size = sum(_room(content) for _, content in entry.files)
        return bool(self.samples and entry.files) and (self.size + size > most_bytes or self.samples == most_samples)

    def add(self, entry: _Entry) -> None:
        """A sample's files, or a bad sample."""
        self.seen += 1
        if entry.bad is not None:
            self.bad.append(entry.bad)
            return
        try:
            if self.archive is None:
                self.file = self._temporary.open("wb")
                self.archive = tarfile.open(fileobj=self.file, mode="w", format=tarfile.USTAR_FORMAT)
            for name, content in entry.files:
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o644
                self.archive.addfile(member, BytesIO(content))
                self.size += _room(content)
        except (OSError, ValueError) as error:
            raise OmniError(f"{self._temporary} cannot be written: {error}") from error
        self.samples += 1
        for slot in entry.slots:
            self.slots[slot] = self.slots.get(slot, 0) + 1

    def close(self) -> None:
        """Put the shard in its place and remember how far the job is."""
        state = self.state
        try:
            if self.archive is not None:
                self.archive.close()
                self.file.flush()
                os.fsync(self.file.fileno())
                self.file.close()
                file = f"{self.name}-{len(state.shards):06d}.tar"
                os.replace(self._temporary, self.folder / file)
                state.shards[file] = self.samples
            for slot, count in self.slots.items():
                state.slots[slot] = state.slots.get(slot, 0) + count
            state.bad += self.bad
            state.done += self.seen
            _keep(self.folder, state)
        except OSError as error:
            raise OmniError(f"{self.folder} cannot be written: {error}") from error
        self.archive = None
        self._begin()

    @property
    def _temporary(self) -> Path:
        return self.folder / f".{self.name}.tmp"

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: Any) -> None:
        if self.archive is not None:  # the last shard is not whole: it is written anew by the next run
            self.file.close()
            self._temporary.unlink(missing_ok=True)


def _room(content: bytes) -> int:
    """Bytes that a file takes in an archive: a header, and its content in whole blocks."""
    return BLOCK + -(-len(content) // BLOCK) * BLOCK
