"""What a long job does about an item that cannot be read: stop, or leave it out, count it and list it in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from omni.errors import ConfigError, InputError

POLICIES = ("raise", "skip")
SHOWN = 3  # reasons in a summary


@dataclass(frozen=True, kw_only=True)
class BadItem:
    """One item that was left out.

    Attributes:
        position: in the data set, or in the stream; None where neither is known.
        id: of the sample.
        slot: whose value cannot be read; None where the sample itself cannot be.
        reason: the error's message, in full.
    """

    position: int | None
    id: str
    slot: str | None
    reason: str


@dataclass
class Guarded:
    """What ``OnBad.guard`` gives: ``bad`` is the item if it was left out, None if all went well."""

    bad: BadItem | None = None


class OnBad:
    """The policy for bad items, their count, and their list as JSON lines.

    ``with on_bad.guard(sample.id, index) as outcome: ...`` runs the reading of one item. Under "raise" its InputError
    goes on; under "skip" it ends there, is recorded, and ``outcome.bad`` holds it. Only InputError is an item's fault:
    every other error goes on under both policies. The others keep their ids and positions, whatever is left out.

    An item that comes again (another epoch, a job that went on after a kill) counts in ``times`` and not again in
    ``count``, and its line is not repeated.

    Args:
        policy: "raise" or "skip".
        file: where the list goes, a JSON object a line with the keys position, id, slot, reason; the file is made with
            the first bad item. None = count only.
        resume: go on with the file of the job's earlier run (a line cut short by a kill is dropped); otherwise an old
            file is removed.

    Attributes:
        count: distinct samples (or values of their slots) left out, those of the resumed file included.
        times: how often a sample was left out since this object was made.

    Raises:
        ConfigError: another policy.
    """

    def __init__(self, policy: str = "raise", file: str | Path | None = None, *, resume: bool = False) -> None:
        if policy not in POLICIES:
            raise ConfigError(f"on_bad is {policy!r}: it must be 'raise' (stop) or 'skip' (leave out, count and list).")
        self.policy = policy
        self.file = None if file is None else Path(file)
        self.count = self.times = 0
        self._seen: set[tuple[int | None, str, str | None]] = set()
        self._first: list[BadItem] = []
        if self.file is not None and resume:
            self._read()
        elif self.file is not None and self.skips:
            self.file.unlink(missing_ok=True)

    @property
    def skips(self) -> bool:
        """Whether bad items are left out."""
        return self.policy == "skip"

    @contextmanager
    def guard(self, sample_id: str, index: int | None = None, *, slot: str | None = None) -> Iterator[Guarded]:
        """Run the reading of one item.

        Args:
            sample_id: for the list.
            index: its position.
            slot: what is read; None = as the error itself says.
        """
        outcome = Guarded()
        try:
            yield outcome
        except InputError as error:
            if not self.skips:
                raise
            outcome.bad = self.record(error, sample_id=sample_id, index=index, slot=slot)

    def record(
        self, error: Exception | str, *, sample_id: str, index: int | None = None, slot: str | None = None
    ) -> BadItem:
        """Count and list one bad item, whatever the policy; returns it."""
        item = bad_item(error, sample_id=sample_id, index=index, slot=slot)
        self.add(item)
        return item

    def add(self, item: BadItem) -> None:
        """Count and list an item that another process found."""
        self.times += 1
        if self._count(item) and self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            line = json.dumps(asdict(item), ensure_ascii=False) + "\n"
            handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, line.encode())  # one write: lines of several processes do not mix
            finally:
                os.close(handle)

    def _count(self, item: BadItem) -> bool:
        key = (item.position, item.id, item.slot)
        if key in self._seen:
            return False
        self._seen.add(key)
        self.count += 1
        if len(self._first) < SHOWN:
            self._first.append(item)
        return True

    def _read(self) -> None:
        """Take up the list of an earlier run; a last line without its end is cut off."""
        if self.file is None or not self.file.is_file():
            return
        content = self.file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with self.file.open("r+b") as file:
                file.truncate(len(whole))
        for line in whole.decode().splitlines():
            self._count(BadItem(**json.loads(line)))

    def summary(self) -> str:
        """One or a few lines for people; empty when nothing was left out."""
        if not self.count:
            return ""
        lines = [f"{self.count} bad item{'s' if self.count > 1 else ''} left out" + self._where()]
        lines += [f"  {item.id}: {item.reason}" for item in self._first]
        if self.count > len(self._first):
            lines.append(f"  and {self.count - len(self._first)} more")
        return "\n".join(lines)

    def _where(self) -> str:
        return f", listed in {self.file}:" if self.file is not None else ":"


def bad_item(error: Exception | str, *, sample_id: str, index: int | None = None, slot: str | None = None) -> BadItem:
    """The record of an error; the slot is the error's own (``InputError.slot``) unless it is given."""
    found = slot if slot is not None else getattr(error, "slot", None)
    return BadItem(position=index, id=sample_id, slot=found, reason=str(error))
