"""What a verb reads from: a manifest, shards, or a data set of the catalog, by a name and ``name=value`` options."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omni.errors import ConfigError, InputError

MANIFESTS = (".jsonl", ".ndjson", ".json_lines", ".parquet", ".pq", ".csv", ".tsv")
SHARDS = ".tar"


@dataclass(kw_only=True)
class Source:
    """A data set that was named on the command line.

    Attributes:
        name: as it was named, for messages.
        dataset: of Samples, map-style or a stream.
        slots: slot -> modality, as far as it is known; None = only its samples tell.
        about: JSON facts by which a change of the data is noticed.
    """

    name: str
    dataset: Any
    slots: dict[str, str] | None
    about: dict[str, Any] = field(default_factory=dict)


def open_source(
    name: str,
    options: Sequence[str] = (),
    *,
    modalities: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    lenient: bool = False,
) -> Source:
    """Open a manifest, shards (a .tar file, a pattern, or a folder of them), or a data set of the catalog.

    Args:
        name: a path or a name.
        options: ``name=value`` settings of the data set; a value that is no JSON is a string.
        modalities: slot -> modality of a model: of a manifest only these columns are slots, and of a data set whose
            slots are not declared these are taken.
        lenient: open a manifest whatever its rows are; malformed ones are errors of their items.
        defaults: settings that are given where the data set takes them and the options do not name them.

    Raises:
        InputError: there is no such file, or no column called like a slot.
        ConfigError: an option that the data set does not take.
        UnknownComponentError: no data set of this name.
    """
    settings = read_options(options)
    path = Path(name)
    if path.suffix.lower() in MANIFESTS:
        return _manifest(path, settings, modalities, lenient)
    if path.suffix.lower() == SHARDS or (path.is_dir() and any(path.glob(f"*{SHARDS}"))):
        return _registered("webdataset", {"shards": name, **settings}, modalities, {}, title=name)
    if path.is_dir() and path.name == name and not _is_registered(name) or (path.is_dir() and "/" in name):
        raise InputError(
            f"The folder {name!r} holds no {SHARDS} shards. Of a folder of files: folder --option root={name} ..."
        )
    return _registered(name, settings, modalities, dict(defaults or {}), title=name)


def read_options(options: Sequence[str]) -> dict[str, Any]:
    """``["w=2", "split=test"]`` -> ``{"w": 2, "split": "test"}``.

    Raises:
        ConfigError: an option without ``=``.
    """
    settings = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"--option {text!r}: write it as name=value.")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def file_facts(path: Path) -> dict[str, Any]:
    """Name, size and date of a file."""
    found = path.stat()
    return {"name": path.name, "bytes": found.st_size, "changed": found.st_mtime_ns}


def _manifest(path: Path, settings: dict[str, Any], modalities: Mapping[str, str] | None, lenient: bool) -> Source:
    from omni.data.lenient import LenientManifest, lenient_rows
    from omni.data.manifest import open_rows

    if modalities is not None and "slots" not in settings:
        columns = (lenient_rows if lenient else open_rows)(path).columns
        found = [slot for slot in modalities if slot in columns]
        if not found:
            raise InputError(
                f"{path} has no column called like a slot of the model ({', '.join(modalities)}); its columns are "
                f"{', '.join(columns)}."
            )
        settings = {"slots": {slot: slot for slot in found}, "modalities": dict(modalities), **settings}
    given = {"path": str(path), **settings}
    return _registered(
        "manifest", given, modalities, {}, title=str(path), instead=LenientManifest if lenient else None
    )  # fmt: skip


def _registered(
    name: str,
    settings: dict[str, Any],
    modalities: Mapping[str, str] | None,
    defaults: dict[str, Any],
    *,
    title: str,
    instead: Any = None,
) -> Source:
    from omni.plugin.catalog import get_catalog
    from omni.registry import DATASETS, check_arguments

    kind = DATASETS.get(name)
    known = inspect.signature(kind).parameters
    if modalities is not None and "modalities" in known:  # slots that are not called like their modality
        defaults = {"modalities": dict(modalities), **defaults}
    settings = {**{key: value for key, value in defaults.items() if key in known}, **settings}
    check_arguments(kind, settings, what=f"The data set {name!r}")
    dataset = (instead or kind)(**settings)
    slots = _slots(dataset, get_catalog().get("dataset", name).spec.modalities, {**settings}, modalities)
    return Source(name=title, dataset=dataset, slots=slots, about=_about(name, settings, dataset))


def _slots(
    dataset: Any, declared: Sequence[tuple[str, str]], settings: Mapping[str, Any], modalities: Mapping[str, str] | None
) -> dict[str, str] | None:
    """slot -> modality, from what the data set's spec declares or the data set itself says."""
    from omni.data.groups import known_slots

    named = {**(modalities or {}), **(settings.get("modalities") or {})}
    if declared:
        return {slot: modality for slot, modality in declared}
    slots = known_slots(dataset)
    return None if slots is None else {slot: named.get(slot, slot) for slot in slots}


def _about(name: str, settings: Mapping[str, Any], dataset: Any) -> dict[str, Any]:
    files = [Path(value) for value in settings.values() if isinstance(value, str) and Path(value).is_file()]
    shards = getattr(dataset, "shards", ())
    files += [Path(shard) for shard in shards if isinstance(shard, (str, Path)) and Path(shard).is_file()]
    plain = {key: value for key, value in settings.items() if not (isinstance(value, str) and Path(value).exists())}
    return {
        "dataset": name,
        "settings": json.loads(json.dumps(plain, sort_keys=True, default=str)),
        "files": [file_facts(path) for path in dict.fromkeys(files)],
    }


def _is_registered(name: str) -> bool:
    from omni.plugin.catalog import get_catalog

    return name in get_catalog().names("dataset")
