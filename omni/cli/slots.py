"""Slots on the command line: ``--image a.png b.png --text "a cat"`` for whatever slots a model has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omni.errors import InputError

# For verbs that take any slot as an option: what click does not know is left to ``read_slots``.
ANY_SLOT = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["-h", "--help"]}


def read_slots(extra: Sequence[str], queries: Iterable[str] = ()) -> dict[str, list[str]]:
    """slot -> values.

    Args:
        extra: what is left of the command line: ``--slot value value ...`` or ``--slot=value``.
        queries: further ``slot=value`` strings.

    Raises:
        InputError: a value without a slot, or a slot without a value.
    """
    found: dict[str, list[str]] = {}
    slot = ""
    for word in extra:
        if word.startswith("--") and len(word) > 2:
            slot, equals, value = word[2:].partition("=")
            slot = slot.replace("-", "_")
            found.setdefault(slot, [])
            if equals:
                found[slot].append(value)
        elif word.startswith("-") and len(word) == 2 and not slot:
            raise InputError(f"Unknown option {word!r}. See --help.")
        elif not slot:
            raise InputError(f"{word!r} belongs to no slot; say which, as in --slot {word!r}.")
        else:
            found[slot].append(word)
    for text in queries:
        slot, equals, value = text.partition("=")
        if not equals or not slot:
            raise InputError(f"--query {text!r}: write it as slot=value.")
        found.setdefault(slot, []).append(value)
    for name, values in found.items():
        if not values:
            raise InputError(f"--{name} has no value (and is no option of this command; see --help).")
    return found


def expand(values: Mapping[str, Sequence[str]], modalities: Mapping[str, str]) -> dict[str, list[Any]]:
    """Values as ``encode`` takes them: folders become the files in them, ``@FILE`` the lines of a file of strings.

    Args:
        modalities: slot -> modality of the model; slots it does not have are left to the model to refuse.
    """
    from omni.data.loaders import strings_are_paths
    from omni.plugin.catalog import get_catalog

    catalog = get_catalog()
    result: dict[str, list[Any]] = {}
    for slot, items in values.items():
        spec = catalog.get("modality", modalities[slot]).spec if slot in modalities else None
        if spec is None:
            result[slot] = list(items)
        elif strings_are_paths(spec):
            result[slot] = [path for item in items for path in _files(Path(item), slot, spec.extensions)]
        else:
            result[slot] = [text for item in items for text in _lines(item, slot)]
    return result


def _files(path: Path, slot: str, extensions: Sequence[str]) -> list[str]:
    if not path.is_dir():
        return [str(path)]
    found = sorted(str(item) for item in path.rglob("*") if item.is_file() and item.suffix.lower() in extensions)
    if not found:
        raise InputError(f"Slot {slot!r}: no file in {str(path)!r} ends with one of {', '.join(extensions)}.")
    return found


def _lines(text: str, slot: str) -> list[str]:
    if not text.startswith("@"):
        return [text]
    path = Path(text[1:])
    if not path.is_file():
        raise InputError(f"Slot {slot!r}: no file {str(path)!r} (@ means a file with one value a line).")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def require_name(name: str, what: str) -> None:
    """Raise InputError where an option stands in the place of the first argument."""
    if name.startswith("-"):
        raise InputError(f"The {what} comes first, before {name!r}.")
