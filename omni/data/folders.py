"""Folders of files as data sets: one folder a class, or files that belong together by their names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from torch.utils.data import Dataset

from omni.data.fields import TEXT_ENDINGS, find_slots
from omni.data.loaders import strings_are_paths
from omni.errors import ConfigError, InputError
from omni.plugin.catalog import get_catalog
from omni.plugin.specs import ModalitySpec
from omni.types import Sample

LAYOUTS = ("classes", "pairs")
CLASS = "class"


class FolderDataset(Dataset):
    """Samples of a folder's files, in the order of their names. Hidden files are passed over.

    ``layout="classes"``: ``root/CLASS/.../file``; each file is a sample of one slot, with the target "class" (the
    number of its class) and ``meta["class"]`` (its name).

    ``layout="pairs"``: files of one name before their ending are one sample, either all in one tree (``a.png``,
    ``a.txt``; "slot.ending" as in shards works too: ``a.left.npy``) or in one folder a slot (``root/left/a.npy``,
    ``root/right/a.npy``); that is so where every folder in ``root`` is called like a slot or named in ``slots``. A slot
    without its file is missing.

    Args:
        root: the folder.
        layout: "classes" or "pairs".
        slots: slot -> folder or ending. None = by the names of folders, or by the endings that installed modalities
            read. For "classes", a list or mapping with the one slot that the files are.
        modalities: slot -> modality, for slots that are not called like theirs.
        classes: names in the order of their numbers; None = all folders, sorted. Give those of training to the data
            that is tested.

    Attributes:
        classes: names of the classes, by number.
        slots: names of the slots.

    Raises:
        InputError: no such folder, no file of a slot in it, or two files that would be one slot of one sample.
        ConfigError: the layout, a class or an ending that cannot be meant.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        layout: str = "classes",
        slots: Mapping[str, str] | Sequence[str] | None = None,
        modalities: Mapping[str, str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.root = Path(root)
        if layout not in LAYOUTS:
            raise ConfigError(f"folder: layout is {layout!r}; it must be 'classes' or 'pairs'.")
        if classes is not None and layout != "classes":
            raise ConfigError("folder: `classes` belongs to layout='classes'.")
        if not self.root.is_dir():
            raise InputError(f"No folder {str(root)!r}" + (": it is a file." if self.root.is_file() else "."))
        self.modalities = dict(modalities or {})
        self.classes = tuple(classes or ())
        self._samples = self._by_class(slots) if layout == "classes" else self._by_stem(slots)
        if not self._samples:
            raise InputError(f"The folder {str(root)!r} holds no file of the slots {', '.join(self.slots)}.")
        self._literal = {slot for slot in self.slots if not strings_are_paths(self._spec(slot))}

    def _spec(self, slot: str) -> ModalitySpec:
        return get_catalog().get("modality", self.modalities.get(slot, slot)).spec

    def _by_class(self, slots: Mapping[str, str] | Sequence[str] | None) -> list[tuple[str, dict[str, Path], str]]:
        found = _folders(self.root)
        unknown = [name for name in found if self.classes and name not in self.classes]
        if unknown:
            raise ConfigError(f"{self.root} has the class {unknown[0]!r}, which is not among the given `classes`.")
        if not found:
            raise InputError(f"The folder {str(self.root)!r} has no folders: layout='classes' wants one a class.")
        self.classes = self.classes or tuple(found)
        files = [(name, path, *_split(path, ())) for name in found for path in _files(self.root / name)]
        table = self._table(slots, [field for *_, field in files])
        if len(table) != 1:
            raise ConfigError(
                f"{self.root}: layout='classes' reads one slot, and the files are of {', '.join(table)}. Say which: "
                f"slots=[{next(iter(table), '')!r}]."
            )
        ((slot, endings),) = table.items()
        self.slots = (slot,)
        return [
            (path.relative_to(self.root).as_posix(), {slot: path}, name)
            for name, path, _, field in files
            if field in endings
        ]

    def _by_stem(self, slots: Mapping[str, str] | Sequence[str] | None) -> list[tuple[str, dict[str, Path], str]]:
        places = self._slot_folders(slots)
        if places:
            self.slots = tuple(places)
            sources = []
            for slot, folder in places.items():
                endings = tuple(ending.lstrip(".") for ending in self._spec(slot).extensions) or TEXT_ENDINGS
                files = [(path, *_split(path, ())) for path in _files(folder)]
                sources += [
                    (slot, path, (path.relative_to(folder).parent / stem).as_posix())
                    for path, stem, field in files
                    if field in endings
                ]
        else:
            prefixes = {*get_catalog().names("modality"), *self.modalities, *(slots or ())}
            if isinstance(slots, Mapping):
                prefixes |= {ending.partition(".")[0] for ending in slots.values() if "." in ending.lstrip(".")}
            files = [(path, *_split(path, prefixes)) for path in _files(self.root)]
            table = self._table(slots, [field for *_, field in files])
            self.slots = tuple(table)
            sources = [
                (slot, path, (path.relative_to(self.root).parent / stem).as_posix())
                for path, stem, field in files
                for slot, endings in table.items()
                if field in endings
            ]
        return self._grouped(sources)

    def _grouped(self, sources: list[tuple[str, Path, str]]) -> list[tuple[str, dict[str, Path], str]]:
        grouped: dict[str, dict[str, Path]] = {}
        for slot, path, name in sources:
            first = grouped.setdefault(name, {}).setdefault(slot, path)
            if first is not path:
                raise InputError(
                    f"{self.root}: {first.name} and {path.name} would both be the slot {slot!r} of the sample "
                    f"{name!r}. Remove one, or name one ending in `slots`."
                )
        return [(name, grouped[name], "") for name in sorted(grouped)]

    def _slot_folders(self, slots: Mapping[str, str] | Sequence[str] | None) -> dict[str, Path]:
        """slot -> its folder; empty where the files lie in one tree."""
        if isinstance(slots, Mapping):
            named = {slot: self.root / place for slot, place in slots.items()}
            folders = {slot: folder for slot, folder in named.items() if folder.is_dir()}
            if folders and len(folders) < len(named):
                missing = next(slot for slot in named if slot not in folders)
                raise InputError(f"{self.root} has no folder {slots[missing]!r} for the slot {missing!r}.")
            return folders
        found = _folders(self.root)
        known = set(slots) if slots is not None else {*get_catalog().names("modality"), *self.modalities}
        return {name: self.root / name for name in found} if found and known.issuperset(found) else {}

    def _table(self, slots: Mapping[str, str] | Sequence[str] | None, fields: list[str]) -> dict[str, tuple[str, ...]]:
        """slot -> endings."""
        if isinstance(slots, Mapping):
            return {slot: tuple(ending.lower().lstrip(".").split(";")) for slot, ending in slots.items()}
        what = f"The folder {str(self.root)!r}"
        return find_slots(dict.fromkeys(filter(None, fields)), self.modalities, what=what, only=slots)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.root} has {len(self)} samples, none with index {index}")
        name, files, kind = self._samples[index]
        values = {slot: _text(path) if slot in self._literal else path for slot, path in files.items()}
        labels = {"targets": {CLASS: self.classes.index(kind)}, "meta": {CLASS: kind}} if kind else {}
        return Sample(id=name, values=values, keys={slot: str(value) for slot, value in values.items()}, **labels)


def _folders(root: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder in the order of their names, hidden ones left out; links are followed."""
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _split(path: Path, prefixes: Collection[str]) -> tuple[str, str]:
    """(name, ending in lower case): "a.b", "png" of ``a.b.PNG``; "a", "left.npy" of ``a.left.npy`` if "left" is one of
    the prefixes."""
    stem, _, ending = path.name.rpartition(".")
    if not stem:
        return path.name, ""
    before, dot, prefix = stem.rpartition(".")
    if dot and before and prefix in prefixes:
        return before, f"{prefix}.{ending.lower()}"
    return stem, ending.lower()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
