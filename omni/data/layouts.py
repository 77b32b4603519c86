"""Published layouts: data sets whose folders are read exactly as they were published.

``PublishedLayout`` is the base, and ``CaptionedLayout`` that of things with captions. One layout is a subclass in the
plugin of its main modality::

    class Esc50(PublishedLayout):
        name = "esc50"                                  # of its DatasetSpec: messages say how it is obtained
        splits = ("train", "test")

        def __init__(self, root, *, split="train", missing="raise", fold=5):
            super().__init__(root, split=split, missing=missing)
            table = self.table(self.find_file("meta/esc50.csv"), columns=("filename", "fold", "target"))
            self.keep((row["filename"], row) for row in table)      # (id, record) pairs, checked and counted

        def sample(self, name, record):                 # a record as a Sample: called on reading, so it stays cheap
            return Sample(id=name, values={"audio": self.inside("audio", record["filename"])}, targets={...})

``find_file`` and ``find_folder`` take several possible places, ``listed`` lists a folder; ``table`` reads CSV and TSV
(also .gz, also without a header line), ``json`` and ``lines`` the rest, ``inside`` joins a published name to the root
and refuses one that leaves it, ``number`` reads a field as a number, ``choice`` checks an option, ``reading`` makes
errors of what is not as published, ``wrong`` makes one that names the layout.

Media files that a record lists and that are not there are an error when the sample is read, or left out and counted in
``skipped`` with ``missing="skip"``.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from torch.utils.data import Dataset

from omni.data.datasets import content_key
from omni.data.manifest import TABLES, JsonLines, TableRows
from omni.errors import ConfigError, InputError, OmniError
from omni.plugin.catalog import get_catalog
from omni.plugin.suggest import did_you_mean
from omni.types import Sample

POLICIES = ("raise", "skip")
CAPTION_CHOICES = ("each", "first")
CONTAINERS = {dict: "an object", list: "a list"}


class PublishedLayout(Dataset):
    """A published data set, read from its folder; nothing is downloaded, unpacked or written.

    A subclass names ``name`` and ``splits``, and in ``barred`` why models trained on it are not to be published, if so.
    It reads its tables in ``__init__`` and calls ``keep`` last; it overrides ``sample``, and ``media`` where a sample
    needs files that are not among its values. Media are not opened here.

    Args:
        root: the folder as it was published.
        split: one of ``splits``.
        missing: what about a sample whose media file is not there: "raise" when it is read, or "skip" it at
            construction.

    Attributes:
        skipped: how many samples were left out because a file of theirs is missing.
        classes: names of the classes by number, for layouts that have classes.
        terms: the licence that its DatasetSpec names, which trained models inherit (omni.data.terms).

    Raises:
        InputError: there is no such folder, or a table in it is missing or malformed.
        ConfigError: an unknown split or policy.
    """

    name: ClassVar[str] = ""
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    classes: tuple[str, ...] = ()
    barred: ClassVar[str] = ""

    def __init__(self, root: str | Path, *, split: str = "train", missing: str = "raise") -> None:
        self.root = Path(root)
        self.split = self.choice("split", split, self.splits)
        self.missing = self.choice("missing", missing, POLICIES)
        self.skipped = 0
        licence = _said(self.name, "license")
        why = {"why": self.barred} if self.barred else {}
        terms = {"data": self.name, "license": licence, "publish": not why, **why}
        self.terms = [terms] if licence or why else []
        self._kept: list[tuple[str, Any]] = []
        if not os.path.isdir(root):
            what = "is a file, and the folder of the data set is wanted" if os.path.isfile(root) else "is no folder"
            raise self.wrong(f"{str(root)!r} {what}.", obtain=True)

    # What a subclass says.

    def sample(self, name: str, record: Any) -> Sample:
        """The sample of one record. Keys of its values are added where it gives none."""
        raise NotImplementedError

    def media(self, sample: Sample) -> Iterable[Path]:
        """Files that must be there for the sample: those among its values."""
        return [value for value in sample.values.values() if isinstance(value, Path)]

    def keep(self, records: Iterable[tuple[str, Any]]) -> None:
        """Take (id, record) pairs as the data set.

        Raises:
            InputError: two records have one id, or none is left.
        """
        found = list(records)
        total = len(found)
        seen: set[str] = set()
        for name, _ in found:
            if name in seen:
                raise self.wrong(f"two samples of the split {self.split!r} are called {name!r}; names must differ.")
            seen.add(name)
        if self.missing == "skip":
            found = [(name, record) for name, record in found if not self._absent(self.sample(name, record))]
        self._kept, self.skipped = found, total - len(found)
        if not found:
            why = f"all {total} samples lack their files" if total else "its tables list no sample"
            raise self.wrong(f"the split {self.split!r} of {str(self.root)!r} is empty: {why}.", obtain=True)

    # The data set.

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} ({self.split}) has {len(self)} samples, none with index {index}")
        name, record = self._kept[index]
        sample = self.sample(name, record)
        absent = self._absent(sample)
        if absent:
            raise self.wrong(
                f"the sample {name!r} needs {str(absent)!r}, which is not there. missing='skip' leaves such samples "
                "out and counts them.",
                obtain=True,
            )
        if not sample.keys:
            found = {slot: content_key(value) for slot, value in sample.values.items()}
            sample.keys = {slot: key for slot, key in found.items() if key is not None}
        return sample

    @property
    def ids(self) -> list[str]:
        """Names of the samples, in order."""
        return [name for name, _ in self._kept]

    def _absent(self, sample: Sample) -> Path | None:
        return next((path for path in self.media(sample) if not os.path.isfile(path)), None)

    # Helpers.

    def wrong(self, message: str, *, obtain: bool = False) -> InputError:
        """An error that names the layout and, with ``obtain``, says how the data set is obtained."""
        where = _said(self.name, "obtained").rstrip(".") if obtain else ""
        return InputError(f"{self.name}: {message}" + (f" How to get it: {where}." if where else ""))

    def choice(self, option: str, value: Any, known: Sequence[Any]) -> Any:
        """``value`` if it is one of ``known``; else ConfigError."""
        if value in known:
            return value
        shown = ", ".join(repr(each) for each in known)
        hint = did_you_mean(str(value), [str(each) for each in known])
        raise ConfigError(f"{self.name}: {option} is {value!r}; it must be one of {shown}.{hint}")

    def find_file(self, *names: str, what: str = "") -> Path:
        """The first of the named files (relative to the root) that is there.

        Args:
            names: possible places.
            what: what the file is, for the message.

        Raises:
            InputError: none is there; names them all.
        """
        return self._find(names, what, "file", os.path.isfile)

    def find_folder(self, *names: str, what: str = "") -> Path:
        """The first of the named folders (relative to the root) that is there; see ``find_file``."""
        return self._find(names, what, "folder", os.path.isdir)

    def _find(self, names: Sequence[str], what: str, kind: str, test: Any) -> Path:
        for name in names:
            if test(self.root / name):
                return self.root / name
        wanted = " or ".join(repr(name) for name in names)
        raise self.wrong(
            f"no {kind} {wanted} in {str(self.root)!r}" + (f" ({what})" if what else "") + ". Give as root the folder "
            "that holds it.",
            obtain=True,
        )

    def listed(self, folder: Path) -> list[os.DirEntry[str]]:
        """The entries of a folder in the order of their names, hidden ones left out.

        Raises:
            InputError: it cannot be listed.
        """
        with self.reading(folder), os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)

    def inside(self, *parts: str) -> Path:
        """``root / parts``, for names that come from tables.

        Raises:
            InputError: the name is empty, absolute, or leaves the folder.
        """
        joined = PurePosixPath(*parts)
        if not parts[-1] or joined.is_absolute() or ".." in joined.parts or "\0" in str(joined):
            raise self.wrong(f"a table names the file {parts[-1]!r}, which is not inside {str(self.root)!r}.")
        return self.root / joined

    def table(
        self,
        path: Path,
        *,
        columns: Iterable[str] = (),
        header: Sequence[str] | None = None,
        delimiter: str | None = None,
        quoted: bool = True,
    ) -> TableRows:
        """Rows of a CSV or TSV file, also gzipped: dictionaries column -> string, or None for an empty field.

        Args:
            path: the file; ``.gz`` is read as it is.
            columns: those that must be there.
            header: names of the columns of a file without a header line.
            delimiter: None = by the ending (comma for .csv, tab for .tsv).
            quoted: fields may stand in double quotes. False takes quotes as they are.

        Raises:
            InputError: the file cannot be read, is malformed, or lacks a column; names file and line.
        """
        path = Path(path)
        ending = Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()
        try:
            rows = TableRows(path, delimiter or TABLES.get(ending, ","), header=header, quoted=quoted)
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise self.wrong(f"{str(path)!r} cannot be read as a table: {_why(error)}.", obtain=True) from error
        lacking = [column for column in columns if column not in rows.columns]
        if lacking:
            raise self.wrong(
                f"{str(path)!r} has no column {lacking[0]!r}; its columns are {', '.join(rows.columns)}. Is it another "
                "version of the data set?"
            )
        return rows

    def json(self, path: Path, *, kind: type = dict, keys: Iterable[str] = ()) -> Any:
        """A JSON file (also .gz) that holds an object or, with ``kind=list``, a list.

        Args:
            path: the file.
            kind: dict or list.
            keys: those that the object must have.

        Raises:
            InputError: it cannot be read, is malformed, holds something else or lacks a key.
        """
        try:
            with gzip.open(path, "rb") if Path(path).suffix == ".gz" else open(path, "rb") as file:
                value = json.load(file)
        except (OSError, EOFError, ValueError, RecursionError) as error:
            raise self.wrong(f"{str(path)!r} cannot be read as JSON: {_why(error)}.", obtain=True) from error
        if not isinstance(value, kind):
            raise self.wrong(f"{str(path)!r} holds a {type(value).__name__}, but {CONTAINERS[kind]} is published.")
        lacking = [key for key in keys if key not in value]
        if lacking:
            raise self.wrong(f"{str(path)!r} has no key {lacking[0]!r}. Is it another file of the data set?")
        return value

    def lines(self, path: Path) -> JsonLines:
        """Rows of a JSON lines file.

        Raises:
            InputError: it cannot be read, or a line is no JSON object; names file and line.
        """
        try:
            return JsonLines(Path(path))
        except OSError as error:
            raise self.wrong(f"{str(path)!r} cannot be read: {_why(error)}.", obtain=True) from error

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Where a file is opened or its content taken apart: what cannot be read, a key that is not there or a value
        of another type is an InputError that names the file."""
        try:
            yield
        except OmniError:
            raise
        except OSError as error:
            raise self.wrong(f"{str(path)!r} cannot be read: {_why(error)}.", obtain=True) from error
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise self.wrong(
                f"{str(path)!r} is not as published: {type(error).__name__}: {error}. Is it another file of the data "
                "set?"
            ) from error

    def number(self, value: Any, kind: type = int, *, where: str) -> Any:
        """A field of a table as ``kind`` (int or float).

        Raises:
            InputError: it is no such number; names ``where``.
        """
        try:
            return kind(value)
        except (TypeError, ValueError) as error:
            wanted = "a whole number" if kind is int else "a number"
            raise self.wrong(f"{where}: {value!r} is not {wanted}.") from error


@dataclass(frozen=True)
class Captioned:
    """One thing with its captions.

    Attributes:
        number: of the thing, counted through the split.
        file: its media file.
        captions: all that it has, at least one.
        chosen: which of them is this sample's text.
        meta: what else is known.
    """

    number: int
    file: Path
    captions: tuple[str, ...]
    chosen: int
    meta: Mapping[str, Any]


class CaptionedLayout(PublishedLayout):
    """Things with one or several captions each: two slots, ``slot`` and ``text_slot``.

    A subclass calls ``keep_captions`` in place of ``keep``.

    Args:
        root, split, missing: of PublishedLayout.
        captions: "each" caption is a sample of its own (called "ID#0", "ID#1", ...), or only the "first" of each thing
            (called "ID"). ``targets[slot]`` is the thing's number, so that a retrieval metric with ``label`` takes all
            captions of one thing as right; ``meta["captions"]`` has all of them.
    """

    slot: ClassVar[str] = ""
    text_slot: ClassVar[str] = "text"

    def __init__(
        self, root: str | Path, *, split: str = "train", missing: str = "raise", captions: str = "each"
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.captions = self.choice("captions", captions, CAPTION_CHOICES)

    def keep_captions(self, things: Iterable[tuple[str, Path, Sequence[str], Mapping[str, Any]]]) -> None:
        """Take (id, file, captions, meta) as the data set.

        Raises:
            InputError: something without a caption, two of one id, or none at all.
        """
        records: list[tuple[str, Any]] = []
        for number, (name, file, texts, meta) in enumerate(things):
            texts = tuple(texts)
            if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
                raise self.wrong(f"{name!r} has no caption, or an empty one: {list(texts)}.")
            if self.captions == "first":
                records.append((name, Captioned(number, file, texts, 0, meta)))
                continue
            records += [(f"{name}#{which}", Captioned(number, file, texts, which, meta)) for which in range(len(texts))]
        self.keep(records)

    def sample(self, name: str, record: Captioned) -> Sample:
        """One caption and its thing."""
        return Sample(
            id=name,
            values={self.slot: record.file, self.text_slot: record.captions[record.chosen]},
            targets={self.slot: record.number},
            meta={**record.meta, "captions": list(record.captions)},
        )


def _said(name: str, what: str) -> str:
    """A field of a data set's DatasetSpec; empty where its plugin is switched off."""
    try:
        return getattr(get_catalog().get("dataset", name).spec, what)
    except OmniError:
        return ""


def _why(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if not isinstance(error, csv.Error) else f"malformed: {error}"
