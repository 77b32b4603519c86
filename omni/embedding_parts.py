"""The folder of finished parts of an embedding job: what a stopped job goes on from."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from omni.errors import ConfigError, OmniError

FORMAT = 1
ABOUT = "job.json"
LISTS = "lists"  # the member of a part's file that holds ids, metadata and bad items as JSON
IGNORED = ("path",)  # of ``about``: told, not compared


@dataclass(kw_only=True)
class Part:
    """Consecutive rows of a group.

    Attributes:
        ids: N names.
        rows: slot -> (N, E) float32, NaN where the value is missing or was left out.
        present: slot -> how many values it has.
        meta: N dictionaries, or empty where nobody asked for them.
        bad: what was left out: position in the group, id, slot, reason.
    """

    ids: list[str]
    rows: dict[str, np.ndarray]
    present: dict[str, int] = field(default_factory=dict)
    meta: list[dict[str, Any]] = field(default_factory=list)
    bad: list[dict[str, Any]] = field(default_factory=list)


class PartFolder:
    """Parts on disk. A part's file is there as a whole or not at all.

    Args:
        path: made by ``open``.
        about: JSON facts on which every number of the job depends; parts of another job are refused.
    """

    def __init__(self, path: Path, *, about: Mapping[str, Any]) -> None:
        self.path = path
        self.about = {"format": FORMAT, **json.loads(json.dumps(about))}

    def open(self, *, restart: bool = False) -> bool:
        """Make the folder, or take up the one of the stopped job; True if there was one. One process does this.

        Raises:
            ConfigError: the folder holds the parts of another job.
            OmniError: it cannot be written.
        """
        try:
            if restart and (self.path / ABOUT).is_file():
                shutil.rmtree(self.path)
            if (self.path / ABOUT).is_file():
                self._compare(json.loads((self.path / ABOUT).read_text(encoding="utf-8")))
                for left in self.path.glob(".*.tmp"):
                    left.unlink()
                return True
            if self.path.exists() and (self.path.is_file() or any(self.path.iterdir())):
                raise ConfigError(f"{self.path} is in the way: it holds something that is no job. Move it.")
            self.path.mkdir(parents=True, exist_ok=True)
            self._write(ABOUT, json.dumps(self.about, indent=1).encode())
            return False
        except OSError as error:
            raise OmniError(f"{self.path} cannot be written: {error}") from error

    def _compare(self, found: dict[str, Any]) -> None:
        keys = [key for key in {**found, **self.about} if key not in IGNORED]
        other = [key for key in keys if found.get(key) != self.about.get(key)]
        if other:
            told = ", ".join(
                f"{key}: {_short(found.get(key))} there, {_short(self.about.get(key))} now" for key in other
            )
            raise ConfigError(
                f"{self.path} holds the parts of a job that is not this one ({told}). Give the settings of that job to "
                "go on with it, or --restart to throw its parts away."
            )

    def _file(self, group: str, number: int) -> Path:
        return self.path / f"{group}-{number:06d}.npz"

    def has(self, group: str, number: int) -> bool:
        """Whether a part is there; a damaged file is not."""
        path = self._file(group, number)
        return path.is_file() and zipfile.is_zipfile(path)

    def write(self, group: str, number: int, part: Part) -> None:
        """Keep a part.

        Raises:
            OmniError: it cannot be written.
        """
        import io

        lists = {"ids": part.ids, "present": part.present, "meta": part.meta, "bad": part.bad}
        packed = np.frombuffer(json.dumps(lists, ensure_ascii=False).encode(), np.uint8)
        content = io.BytesIO()
        np.savez(content, **{LISTS: packed}, **{f"slot_{slot}": rows for slot, rows in part.rows.items()})
        self._write(self._file(group, number).name, content.getvalue())

    def _write(self, name: str, content: bytes) -> None:
        temporary = self.path / f".{name}.{os.getpid()}.tmp"
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OmniError(f"{self.path / name} cannot be written: {error}") from error

    def read(self, group: str, number: int, *, slots: tuple[str, ...] | None = None) -> Part:
        """A part, with the rows of some slots only if ``slots`` says so.

        Raises:
            OmniError: it is missing or damaged.
        """
        path = self._file(group, number)
        try:
            with np.load(path, allow_pickle=False) as file:
                lists = json.loads(file[LISTS].tobytes())
                names = [name.removeprefix("slot_") for name in file.files if name != LISTS]
                rows = {name: file[f"slot_{name}"] for name in names if slots is None or name in slots}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            missing = not path.is_file()
            path.unlink(missing_ok=True)
            told = "is missing; all processes must see one folder" if missing else f"is damaged ({error})"
            raise OmniError(f"The part {path} {told}. Start the job again: it goes on with this part.") from error
        return Part(rows=rows, **lists)

    def end_group(self, group: str, *, parts: int) -> None:
        """Remember how many parts a group has that was read to its end."""
        self._write(f"{group}.json", json.dumps({"parts": parts}).encode())

    def parts_of(self, group: str) -> int | None:
        """How many parts a group has, or None if it was not read to its end yet."""
        path = self.path / f"{group}.json"
        return json.loads(path.read_text(encoding="utf-8"))["parts"] if path.is_file() else None

    def parts(self, groups: list[str], *, slots: tuple[str, ...] | None = None) -> Iterator[Part]:
        """All parts of some groups, in order."""
        for group in groups:
            count = self.parts_of(group)
            if count is None:
                raise OmniError(
                    f"{self.path} does not say how many parts the group {group} has; all processes must see one folder."
                )
            for number in range(count):
                yield self.read(group, number, slots=slots)

    def remove(self) -> None:
        """Throw the parts away."""
        shutil.rmtree(self.path, ignore_errors=True)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
