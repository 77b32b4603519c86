"""Reads Tux Paint's stamps (picture, names, recorded speech, sound effect) and KTuberling's spoken words."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

from omni.data.building.counter_rng import seed_of
from omni.errors import InputError
from omni_plugin_m3mini.builder.names import normalise

_SPEECH = re.compile(r"^(?P<stem>.+)_desc(?:_(?P<language>[a-z]{2,3}(?:_[A-Z]{2})?))?\.(?:ogg|wav)$")
_NAME = re.compile(r"^(?P<language>[A-Za-z_@]+)\.utf8=(?P<name>.*)$")
_LETTERS = "symbols"


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """One stamp.

    Attributes:
        id: path below the stamps' folder without the ending. category: its first part.
        picture: PNG or SVG file. names: language -> text ("en" is the file's first line).
        speech: language -> recording of that text. effect: recording of the thing's own sound, or None.
    """

    id: str
    picture: Path
    names: dict[str, str] = field(hash=False)
    speech: dict[str, Path] = field(hash=False)
    effect: Path | None = None

    @property
    def category(self) -> str:
        """The first folder: "animals", "food", ..."""
        return self.id.split("/")[0]

    @property
    def is_symbol(self) -> bool:
        """Letters, digits, hand signs and the like: not pictures of things."""
        return self.category == _LETTERS


def read_stamps(folder: Path) -> list[Stamp]:
    """Every stamp that has a picture and a text, sorted by id.

    Raises:
        InputError: the folder holds none.
    """
    speech: dict[str, dict[str, Path]] = {}
    pictures: dict[str, Path] = {}
    texts: dict[str, Path] = {}
    sounds: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        stem = relative.rsplit(".", 1)[0]
        spoken = _SPEECH.match(relative)
        if spoken:
            speech.setdefault(spoken["stem"], {})[spoken["language"] or "en"] = path
        elif path.suffix in (".png", ".svg") and (path.suffix == ".png" or stem not in pictures):
            pictures[stem] = path
        elif path.suffix == ".txt":
            texts[stem] = path
        elif path.suffix in (".ogg", ".wav"):
            sounds[stem] = path
    stamps = [
        Stamp(
            id=stem, picture=pictures[stem], names=read_names(texts[stem]), speech=speech.get(stem, {}),
            effect=sounds.get(stem),
        )
        for stem in sorted(pictures.keys() & texts.keys())
    ]  # fmt: skip
    if not stamps:
        raise InputError(f"{folder} holds no stamp (picture X.png or X.svg beside X.txt); is it tuxpaint's stamps?")
    return stamps


def read_names(path: Path) -> dict[str, str]:
    """language -> name of a stamp's text file; the first line is English, the others are "fr.utf8=Une grenouille."."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    names = {"en": " ".join(lines[0].split())} if lines and lines[0].strip() else {}
    for line in lines[1:]:
        found = _NAME.match(line.strip())
        if found and found["name"].strip():
            names[found["language"]] = " ".join(found["name"].split())
    return names


def bare_words(text: str) -> str:
    """A name without punctuation and case, single spaces: "Une pomme." and "une  Pomme" are one."""
    return " ".join(re.sub(r"[^\w\s]|_", " ", normalise(text)).split())


def read_soundtheme(path: Path) -> dict[str, Path]:
    """English key -> recording, of one KTuberling language (XX.soundtheme beside the folder XX).

    Raises:
        InputError: not a sound theme, or it names a file outside its folder.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: not a KTuberling sound theme ({error})") from error
    found = {}
    for element in root.iter("sound"):
        target = path.parent / element.attrib.get("file", "")
        if not target.resolve().is_relative_to(path.parent.resolve()):
            raise InputError(f"{path}: sound {element.attrib.get('name')!r} lies outside its folder; refused")
        if target.is_file():
            found[element.attrib["name"]] = target
    return found


def object_groups(stamps: list[Stamp]) -> list[int]:
    """A group number for each stamp: stamps with one English text, one recording, or one text in any language that
    both have recordings in, are one object.

    Groups, not stamps, are dealt to splits: else "frog" would be in train and "frog-1", with the same words, in test.
    """
    parent = list(range(len(stamps)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    first: dict[str, int] = {}
    for index, stamp in enumerate(stamps):
        spoken = {"en", *stamp.speech} & stamp.names.keys()
        marks = [f"{language}:{bare_words(stamp.names[language])}" for language in sorted(spoken)]
        marks += [hashlib.sha256(path.read_bytes()).hexdigest() for path in stamp.speech.values()]
        for mark in marks:
            if mark in first:
                parent[root(index)] = root(first[mark])
            else:
                first[mark] = index
    return [root(index) for index in range(len(stamps))]


def deal_groups(stamps: list[Stamp], groups: list[int], sizes: tuple[int, int, int]) -> list[int]:
    """Split number (0 train, 1 val, 2 test) of each stamp: whole groups, in a fixed pseudo-random order.

    ``sizes`` are shares (their sum need not be the number of stamps); val and test get exactly their rounded share if
    groups of one stamp allow, train the rest.
    """
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    order = sorted(members.values(), key=lambda group: seed_of("stamps", "split", stamps[group[0]].id))
    total = sum(sizes)
    wanted = [round(len(stamps) * size / total) for size in sizes]
    split = [0] * len(stamps)
    for number in (1, 2):
        left = wanted[number]
        for group in order:
            if len(group) <= left and split[group[0]] == 0:
                left -= len(group)
                for index in group:
                    split[index] = number
    return split
