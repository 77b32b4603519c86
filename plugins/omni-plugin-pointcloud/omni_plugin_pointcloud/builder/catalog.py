"""Reads catalogues of Sweet Home 3D (.sh3f): a zip archive of models, icons and tables of names in many languages."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from omni.errors import InputError

_TABLE = re.compile(r"PluginFurnitureCatalog(?:_(\w+))?\.properties$")
_ROW = re.compile(r"(\w+?)#(\d+)\s*[=:]\s*(.*)$")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
_MOST_BYTES = 64 << 20
_MOST_UNTRANSLATED = 0.3  # where more of a language's names are the English ones, those are no translations


@dataclass(kw_only=True)
class Model:
    """One piece of furniture.

    Attributes:
        id: as "Scopia-bed1". category: its class. names: language -> name as written.
        size_cm: width, height, depth. rotation: (3, 3) that stands it upright.
        obj, icon: members of the catalogue. licence, creator: who must be named.
    """

    id: str
    catalog: Path
    category: str
    names: dict[str, str] = field(default_factory=dict)
    size_cm: tuple[float, float, float]
    rotation: np.ndarray
    obj: str
    icon: str
    licence: str
    creator: str


def read_catalog(path: Path) -> list[Model]:
    """The models of one catalogue, in its order.

    Raises:
        InputError: it is no catalogue, damaged, or names a model that is not in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            tables = {}
            for name in sorted(members):
                match = _TABLE.match(name)
                if match:
                    tables[match[1] or ""] = parse_properties(_member(archive, name, path))
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a catalogue ({error}); fetch the package again") from error
    if "" not in tables:
        raise InputError(f"{path} has no PluginFurnitureCatalog.properties; is it a catalogue of Sweet Home 3D?")
    general, rows = tables.pop("")
    models = [_model(path, number, row, general, members) for number, row in sorted(rows.items())]
    for language, (_, own) in sorted(tables.items()):
        found = {n: own[number]["name"] for n, number in enumerate(sorted(rows)) if own.get(number, {}).get("name")}
        same = sum(models[n].names["en"] == name for n, name in found.items())
        unsure = same > _MOST_UNTRANSLATED * max(1, len(found))
        for n, name in found.items():
            if not (unsure and name == models[n].names["en"]):
                models[n].names[language] = name
    return models


def _model(path: Path, number: int, row: dict[str, str], general: dict[str, str], members: set[str]) -> Model:
    try:
        obj, icon = row["model"].lstrip("/"), row["icon"].lstrip("/")
        turn = [float(value) for value in row.get("modelRotation", "1 0 0 0 1 0 0 0 1").split()]
        model = Model(
            id=f"{path.stem}-{Path(obj).stem}-{number}", catalog=path, category=row["category"],
            names={"en": row["name"]}, size_cm=(float(row["width"]), float(row["height"]), float(row["depth"])),
            rotation=np.array(turn).reshape(3, 3), obj=obj, icon=icon, licence=general.get("license", ""),
            creator=row.get("creator", ""),
        )  # fmt: skip
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: the model {number} is not described as published ({error!r})") from error
    for name in (obj, icon):
        if name not in members:
            raise InputError(f"{path}: the model {number} needs {name!r}, which is not in the catalogue")
    return model


def parse_properties(data: bytes) -> tuple[dict[str, str], dict[int, dict[str, str]]]:
    """A Java properties file: (key -> value, number -> key -> value of the keys that end with #number)."""
    general: dict[str, str] = {}
    rows: dict[int, dict[str, str]] = {}
    for line in re.sub(r"\\\r?\n[ \t]*", "", data.decode("latin-1")).splitlines():
        line = line.strip()
        if not line or line[0] in "#!":
            continue
        match = _ROW.match(line)
        if match:
            rows.setdefault(int(match[2]), {})[match[1]] = unescape(match[3])
        elif "=" in line:
            key, _, value = line.partition("=")
            general[key.strip()] = unescape(value.strip())
    return general, rows


def unescape(text: str) -> str:
    """Java's escapes; pairs of surrogates become one letter."""

    def letter(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _LETTERS.get(code, code)

    return _ESCAPE.sub(letter, text).encode("utf-16", "surrogatepass").decode("utf-16").strip()


def members_of(path: Path, names: list[str]) -> list[bytes]:
    """Contents of members, in this order.

    Raises:
        InputError: damaged, or larger than any model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [_member(archive, name, path) for name in names]
    except (zipfile.BadZipFile, OSError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}); fetch the package again") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    size = archive.getinfo(name).file_size
    if size > _MOST_BYTES:
        raise InputError(f"{path}: {name!r} has {size} bytes, more than {_MOST_BYTES}; the catalogue is refused")
    return archive.read(name)
