"""Samples of WebDataset shards, read in place: the format's own, the library's reader not.

The library streams: it reads on from where it is and cannot say where that was, so a stopped run cannot go on at the
exact sample, and workers share by whole shards. Here an archive's headers say where each sample lies; the rest follows
from SampleStream.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omni.data.fields import find_slots, slot_value
from omni.data.fingerprints import file_facts
from omni.data.shards import Shard, count_samples, find_shards, read_shard_terms
from omni.data.shuffling import mix, permutation
from omni.data.stream import SampleStream
from omni.data.terms import merge_terms
from omni.errors import ConfigError, InputError
from omni.plugin.catalog import get_catalog
from omni.types import Sample

OPEN_SHARDS = 64
PROBE = 100  # samples looked at for the names of fields
META_FIELD, CLASS_FIELD, CLASS = "json", "cls", "class"

Ticket = tuple[int, int]  # (shard, record)


class WebDatasetStream(SampleStream):
    """Samples of tar shards: files of one name up to the first dot are one sample, the rest of the name is the field.

    A "json" field is metadata (its "id" names the sample, which is otherwise "shard/key"), a "cls" field the target
    "class". An epoch goes through the shards in a new order, each process through its run of it: all of equal size to
    within one sample, also with fewer shards than processes.

    Args:
        shards: .tar files, a folder of them, a pattern (``train-{0000..0099}.tar``), or a list of these.
        slots: slot -> field, or fields of which the first present is taken ("jpg;png"). None = "slot.ending" fields of
            installed modalities, and endings that one installed modality alone reads.
        modalities: slot -> modality, for slots that are not called like theirs.
        targets: keys of the metadata that become ``Sample.targets``.
        length: nominal samples of an epoch, for schedules; None = as many as there are.
        shuffle, seed: of SampleStream. Any ``shuffle`` above 0 also shuffles the shards.

    Raises:
        InputError: no shard, or one that cannot be opened. A shard damaged further on is an error of its samples.
        ConfigError: no field fits a slot.
    """

    def __init__(
        self,
        shards: str | Path | Sequence[str | Path],
        *,
        slots: Mapping[str, str] | None = None,
        modalities: Mapping[str, str] | None = None,
        targets: Sequence[str] = (),
        length: int | None = None,
        shuffle: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(shuffle=shuffle, seed=seed)
        self.shards = find_shards(shards)
        self.counts = count_samples(self.shards)
        self.starts = [sum(self.counts[:index]) for index in range(len(self.counts))]
        self.total = sum(self.counts)
        folders = dict.fromkeys(path.parent for path in self.shards)
        self.terms = merge_terms(*(read_shard_terms(folder) for folder in folders))
        if not self.total:
            raise InputError(f"The shards {self._names()} hold no samples.")
        self.targets = tuple(targets)
        self._length = length
        self._opened: OrderedDict[int, Shard] = OrderedDict()
        fields = self._probe()
        given = {slot: tuple(field.lower().split(";")) for slot, field in (slots or {}).items()}
        self.fields = given or find_slots(fields, modalities, what=f"The shards {self._names()}")
        self.slots = tuple(self.fields)
        catalog = get_catalog()
        self._specs = {slot: catalog.get("modality", (modalities or {}).get(slot, slot)).spec for slot in self.fields}
        for slot, wanted in given.items():
            if not set(wanted) & set(fields):
                raise ConfigError(
                    f"The shards {self._names()} have no field {' or '.join(wanted)!r} for the slot {slot!r} in their "
                    f"first samples. Fields: {', '.join(fields)}."
                )

    def _names(self) -> str:
        names = [path.name for path in self.shards]
        return names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"

    def _probe(self) -> list[str]:
        """Fields of the first samples."""
        first = next(index for index, count in enumerate(self.counts) if count)
        shard = self._shard(first)
        if not shard.records:
            shard[0]  # says why
        return list(dict.fromkeys(field for _, fields in shard.records[:PROBE] for field in fields))

    @property
    def length(self) -> int:
        """As given, or the number of samples in all shards."""
        return self.total if self._length is None else self._length

    def part_length(self) -> int:
        """Exact."""
        return len(self._run(self.total))

    def tickets(self, epoch: int) -> Iterator[Ticket]:
        """(shard, record) pairs."""
        return self._buffered(self._in_order(epoch), epoch)

    def _in_order(self, epoch: int) -> Iterator[Ticket]:
        order = range(len(self.shards))
        if self.shuffle:
            order = permutation(len(self.shards), mix(self.seed or 0, "shards", epoch)).tolist()
        run, at = self._run(self.total), 0
        for shard in order:
            count = self.counts[shard]
            for record in range(max(run.start - at, 0), min(run.stop - at, count)):
                yield shard, record
            at += count
            if at >= run.stop:
                return

    def place(self, ticket: Ticket) -> tuple[str, int]:
        """("shard/key", position among the samples of all shards)."""
        shard, record = ticket
        return self._shard(shard).name(record), self.starts[shard] + record

    def cheap_length(self, ticket: Ticket, by: str) -> float:
        """Bytes of the file of the slot ``by``; 0 where it is missing."""
        if by not in self.fields:
            raise ConfigError(f"buckets by {by!r}: shards tell the bytes of a slot ({', '.join(self.fields)}).")
        shard, record = self._shard(ticket[0]), ticket[1]
        if record >= len(shard.records):
            return 0
        fields = shard[record][1]
        return next((fields[field].size for field in self.fields[by] if field in fields), 0)

    def read(self, ticket: Ticket) -> Sample:
        """The sample: bytes of its files, text as strings."""
        shard = self._shard(ticket[0])
        fields = shard[ticket[1]][1]
        wanted = {slot: next((name for name in names if name in fields), None) for slot, names in self.fields.items()}
        names = {name: None for name in (*wanted.values(), META_FIELD, CLASS_FIELD) if name is not None}
        names = [name for name in names if name in fields]
        content = dict(zip(names, shard.read([fields[name] for name in names]), strict=True))
        name = shard.name(ticket[1])
        meta = _json(content[META_FIELD], name) if META_FIELD in content else {}
        targets = {key: meta.pop(key) for key in self.targets if meta.get(key) is not None}
        if CLASS_FIELD in content:
            targets[CLASS] = _whole_number(content[CLASS_FIELD], name)
        values = {
            slot: slot_value(field, content[field], self._specs[slot], what=f"Sample {name!r}: Slot {slot!r}")
            for slot, field in wanted.items()
            if field is not None
        }
        return Sample(id=str(meta.pop("id", name)), values=values, meta=meta, targets=targets)

    def fingerprint(self) -> dict[str, Any]:
        """Names, sizes and samples of the shards too, in order."""
        facts = [f"{file_facts(path)}, {count} samples" for path, count in zip(self.shards, self.counts, strict=True)]
        return {**super().fingerprint(), "shards": facts}

    def _shard(self, index: int) -> Shard:
        """An open shard; the least recently used of too many is closed."""
        if index in self._opened:
            self._opened.move_to_end(index)
            return self._opened[index]
        shard = Shard(self.shards[index])
        if len(shard) != self.counts[index]:
            raise InputError(
                f"The shard {str(shard.path)!r} holds {len(shard)} samples, and {self.counts[index]} were counted "
                "before (or its index.json says so). Shards must not change under a run; a wrong index.json can be "
                "deleted."
            )
        self._opened[index] = shard
        if len(self._opened) > OPEN_SHARDS:
            self._opened.popitem(last=False)
        return shard

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": OrderedDict()}

    def __str__(self) -> str:
        return f"The shards {self._names()}"


def _json(content: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise InputError(f"Sample {name!r}: its json field is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"Sample {name!r}: its json field holds a {type(value).__name__}; it must be an object.")
    return value


def _whole_number(content: bytes, name: str) -> int:
    try:
        return int(content)
    except ValueError as error:
        raise InputError(f"Sample {name!r}: its cls field {content[:20]!r} is no whole number.") from error
