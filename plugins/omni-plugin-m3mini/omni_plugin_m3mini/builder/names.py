"""Names from CLDR, and which emoji become classes or further words of an edition."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from omni.data.building.archives import read_members
from omni.data.building.counter_rng import seed_of
from omni.errors import InputError

# Nested: an edition of w languages uses the first w. All have a CLDR set and a sound espeak-ng voice, and their sounds
# and spellings differ; languages whose espeak-ng front end reads the script poorly (zh yue ja th he my) are left out.
LANGUAGES = ("en", "ru", "el", "ko", "tr", "ka", "ta", "hi")
THINGS = ("Animals & Nature", "Food & Drink", "Objects", "Travel & Places", "Activities")
_SKIPPED = ("time",)  # 24 clock faces
_MAX_LETTERS = 16
BENCH_CLASSES, DEMO_CLASSES = 200, 50
_SELECTOR = "\ufe0f"


@dataclass(frozen=True, kw_only=True)
class Emoji:
    """One emoji: id (hexadecimal code points, as the pictures' file names), characters, category, names by language."""

    id: str
    text: str
    category: str
    subcategory: str
    names: dict[str, str] = field(hash=False)

    def is_plain(self) -> bool:
        """Whether every name is one or two short words of letters."""
        return all(is_plain(name) for name in self.names.values())

    def to_dict(self) -> dict:
        """JSON form."""
        return {"id": self.id, "emoji": self.text, "category": self.category, "names": self.names}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The classes of an edition, and in each language the further words that its clips say (no class's name)."""

    classes: list[Emoji]
    words: dict[str, list[str]]


def normalise(name: str) -> str:
    """Lower case, NFC, single spaces. The Turkish capital dotted I becomes a plain i, without a combining dot."""
    lower = unicodedata.normalize("NFC", name).replace("\u0130", "i").lower()
    return " ".join(unicodedata.normalize("NFC", lower).split())


def is_plain(name: str) -> bool:
    """Whether a name is one or two words of letters (and their marks), at most 16 characters."""
    words = name.split(" ")
    return (
        len(name) <= _MAX_LETTERS
        and len(words) <= 2
        and all(word and all(unicodedata.category(letter)[0] in "LM" for letter in word) for word in words)
    )


def read_names(cldr: Path, languages: tuple[str, ...] = LANGUAGES) -> dict[str, dict[str, str]]:
    """language -> emoji without variation selectors -> name, for everything that CLDR names."""
    wanted = {f"package/annotations/{language}/annotations.json": language for language in languages}
    names = {}
    for path, data in read_members(cldr, set(wanted)).items():
        rows = json.loads(data)["annotations"]["annotations"]
        names[wanted[path]] = {
            text.replace(_SELECTOR, ""): normalise(row["tts"][0]) for text, row in rows.items() if row.get("tts")
        }
    return names


def read_emoji(names: dict[str, dict[str, str]], pictures: Path) -> list[Emoji]:
    """Every emoji that has a picture in both arts and a name in every language, in a fixed pseudo-random order."""
    found = []
    for item in json.loads(read_members(pictures, {"package/emoji.json"})["package/emoji.json"]):
        text = "".join(chr(int(code, 16)) for code in item["unified"].split("-"))
        own = {language: names[language].get(text.replace(_SELECTOR, "")) for language in names}
        if item["has_img_google"] and item["has_img_twitter"] and all(own.values()):
            found.append(
                Emoji(
                    id=item["image"].removesuffix(".png"), text=text, category=item["category"],
                    subcategory=item["subcategory"], names=own,
                )
            )  # fmt: skip
    return sorted(found, key=lambda emoji: seed_of("m3mini", "order", emoji.id))


def shared_spellings(names: dict[str, dict[str, str]]) -> set[str]:
    """Names that two languages share, or two emoji of one language."""
    seen: set[str] = set()
    shared: set[str] = set()
    for table in names.values():
        for name in table.values():
            (shared if name in seen else seen).add(name)
    return shared


def choose(edition: str, emoji: list[Emoji], names: dict[str, dict[str, str]], *, count: int = BENCH_CLASSES) -> Choice:
    """The classes and the further words of an edition.

    demo and bench: things with plain names, no English word twice among the classes (no "dog" beside "dog face");
    demo = the first 50 classes of bench, with the same further words. full: classes of any kind, plain names
    first. human: as bench, ``count`` classes or as many as there are. In all of them no class has a name that is
    spelled alike in two of the languages of ``names``.
    """
    shared = shared_spellings(names)
    sound = [item for item in emoji if not shared & {item.names[language] for language in names}]
    if edition == "full":
        classes = sorted(sound, key=lambda item: not item.is_plain())
    else:
        classes = _bench_classes(sound, tuple(names), count)
        if edition != "human" and len(classes) < count:
            raise InputError(f"only {len(classes)} emoji are fit for classes, {count} are needed")
    taken = {name for item in classes for name in item.names.values()} | shared
    words = {}
    for language in names:
        free = {name for name in names[language].values() if is_plain(name)} - taken
        words[language] = sorted(free, key=lambda name, tag=language: seed_of("m3mini", "words", tag, name))
    return Choice(classes=classes[:DEMO_CLASSES] if edition == "demo" else classes, words=words)


def _bench_classes(emoji: list[Emoji], languages: tuple[str, ...], count: int) -> list[Emoji]:
    classes: list[Emoji] = []
    taken: set[str] = set()
    for item in emoji:
        words = set(item.names["en"].split())
        plain = all(is_plain(item.names[language]) for language in languages)
        if item.category in THINGS and item.subcategory not in _SKIPPED and plain and not words & taken:
            classes.append(item)
            taken |= words
    return classes[:count]
