"""Which of a sample's files belongs to which slot, by names and endings; and a file's bytes as a slot's value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from omni.data.loaders import strings_are_paths
from omni.errors import ConfigError, InputError
from omni.plugin.catalog import get_catalog
from omni.plugin.specs import ModalitySpec

TEXT_ENDINGS = ("txt", "text")


def find_slots(
    fields: Iterable[str],
    modalities: Mapping[str, str] | None = None,
    *,
    what: str,
    only: Iterable[str] | None = None,
) -> dict[str, tuple[str, ...]]:
    """slot -> the fields that may hold it.

    "slot.ending" fields belong to the slot that they name, where it is an installed modality or a key of
    ``modalities``. A bare ending belongs to the slot called like the one installed modality that reads it.

    Args:
        fields: names after the first dot.
        modalities: slot -> modality, for slots that are not called like theirs.
        what: how messages call the data.
        only: the slots that count; None = all installed modalities and the keys of ``modalities``.

    Raises:
        ConfigError: no field belongs to a slot, or an ending belongs to several modalities.
    """
    catalog = get_catalog()
    specs = {entry.spec.name: entry.spec for entry in catalog.entries("modality")}
    if only is not None:
        specs = {slot: catalog.get("modality", (modalities or {}).get(slot, slot)).spec for slot in only}
    elif modalities:
        specs |= {slot: catalog.get("modality", name).spec for slot, name in modalities.items() if slot in specs}
    named = {*specs, *(modalities or {})} if only is None else set(specs)
    found: dict[str, list[str]] = {}
    for field in fields:
        slot, dot, _ = field.partition(".")
        if dot and slot not in named:
            continue
        if not dot:
            readers = [name for name, spec in specs.items() if _reads(spec, field)]
            if len(readers) > 1:
                raise ConfigError(
                    f"{what}: files that end with .{field} may be {' or '.join(readers)}. Say which is which: "
                    f"slots={{{readers[0]!r}: {field!r}}}."
                )
            if not readers:
                continue
            slot = readers[0]
        found.setdefault(slot, []).append(field)
    if not found:
        raise ConfigError(
            f"{what}: none of the fields {', '.join(fields) or '(none)'} is of an installed modality "
            f"({', '.join(specs)}). Say which is which: slots={{'slot': 'field'}}."
        )
    return {slot: tuple(names) for slot, names in found.items()}


def _reads(spec: ModalitySpec, ending: str) -> bool:
    return f".{ending}" in spec.extensions


def slot_value(field: str, content: bytes, spec: ModalitySpec, *, what: str) -> Any:
    """A file's content as a slot's value: a string for modalities that take strings, JSON parsed, otherwise the bytes.

    Raises:
        InputError: text that is not UTF-8, or malformed JSON.
    """
    ending = field.rpartition(".")[2]
    try:
        if ending == "json":
            return json.loads(content)
        if ending in TEXT_ENDINGS and not strings_are_paths(spec):
            return content.decode()
    except ValueError as error:
        raise InputError(f"{what}: the field {field!r} cannot be read: {error}") from error
    return content
