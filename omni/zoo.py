"""The model zoo: entries that plugins bring, filters over them, and the way from a name to a folder of weights."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omni.errors import MissingDependencyError, OmniError, UnknownComponentError, WeightsError
from omni.plugin.catalog import Entry, get_catalog
from omni.plugin.suggest import did_you_mean

CONFIG_NAME = "config.json"


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """Where a model is.

    Attributes:
        folder: that holds config.json and the weights.
        sha256: that the weights must have; "" where nobody says.
        name: of the zoo entry, or "".
    """

    folder: Path
    sha256: str = ""
    name: str = ""


def omni_home() -> Path:
    """Where omni keeps what it builds and downloads: $OMNI_HOME, by default ~/.cache/omni."""
    return Path(os.environ.get("OMNI_HOME") or "~/.cache/omni").expanduser()


def resolve_model(name_or_path: str | Path) -> FoundModel:
    """The folder of a model.

    Args:
        name_or_path: a model folder, or the name of a zoo entry. A string that is both is the folder only if it holds
            a path separator or no entry has that name.

    Raises:
        UnknownComponentError: neither; says what is near.
        WeightsError: a folder without a model, or an entry whose weights are not there.
    """
    text = os.fspath(name_or_path)
    catalog = get_catalog()
    if isinstance(name_or_path, str) and catalog.has("model", text):
        return resolve_entry(catalog.get("model", text))
    folder = Path(text).expanduser()
    if folder.is_dir():
        return FoundModel(folder=folder)
    if folder.is_file():
        raise WeightsError(f"{text!r} is a file; name the model's folder, the one that holds {CONFIG_NAME}.")
    if _is_remote(text):
        raise OmniError(f"{text!r}: this version loads models from folders and plugins, not from the network.")
    looks_like_path = isinstance(name_or_path, Path) or os.sep in text or text.startswith((".", "~"))
    if looks_like_path:
        raise WeightsError(f"No model folder {text!r}" + ("." if folder.is_absolute() else f" in {Path.cwd()}."))
    raise UnknownComponentError(f"{catalog.explain_unknown('model', text)} There is no folder of that name either.")


def resolve_entry(entry: Entry) -> FoundModel:
    """The folder of a zoo entry's weights.

    Raises:
        WeightsError: it has none, or they are not where it says.
        MissingDependencyError: the package that carries them is not installed.
    """
    spec = entry.spec
    if not spec.weights:
        how = spec.recipe or (f"omni train {spec.config}" if spec.config else "")
        raise WeightsError(f"The model {spec.name!r} comes as a recipe, without weights. Train it: {how}")
    if _is_remote(spec.weights):
        cached = omni_home() / "models" / spec.name
        if (cached / CONFIG_NAME).is_file():
            return FoundModel(folder=cached, sha256=spec.sha256, name=spec.name)
        raise WeightsError(
            f"The weights of {spec.name!r} are at {spec.weights}, and this version does not download. "
            f"Put the folder's files into {cached}; they are checked against the entry's sha256."
        )
    folder = _package_folder(spec.weights, entry)
    if not (folder / CONFIG_NAME).is_file():
        raise WeightsError(f"The model {spec.name!r} of {entry.distribution} should be in {folder}, but is not there.")
    return FoundModel(folder=folder, sha256=spec.sha256, name=spec.name)


def find_entries(
    pattern: str = "*", *, modality: str | Iterable[str] = (), task: str = "", weights: bool | None = None
) -> list[Entry]:
    """Zoo entries by name pattern (shell style), modalities (all of them) and task.

    Args:
        weights: True = only those with weights, False = only recipes.

    Raises:
        UnknownComponentError: a modality or task that no entry and no installed plugin has.
    """
    entries = list(get_catalog().entries("model"))
    wanted = {modality} if isinstance(modality, str) and modality else set(modality or ())
    known = {name for entry in entries for name in entry.spec.modalities} | set(get_catalog().names("modality"))
    for name in sorted(wanted - known):
        hint = did_you_mean(name, known)
        raise UnknownComponentError(f"No modality {name!r}. Known: {', '.join(sorted(known))}.{hint}")
    tasks = {name for entry in entries for name in entry.spec.tasks}
    if task and task not in tasks:
        raise UnknownComponentError(
            f"No model for the task {task!r}. Tasks: {', '.join(sorted(tasks)) or 'none'}.{did_you_mean(task, tasks)}"
        )
    return [
        entry
        for entry in entries
        if any(fnmatch.fnmatch(name, pattern) for name in (entry.spec.name, *entry.spec.aliases))
        and wanted <= set(entry.spec.modalities)
        and (not task or task in entry.spec.tasks)
        and (weights is None or bool(entry.spec.weights) == weights)
    ]


def list_models(pattern: str = "*", *, modality: str | Iterable[str] = (), task: str = "") -> list[str]:
    """Names of the zoo's models, filtered. See ``find_entries``."""
    return [entry.spec.name for entry in find_entries(pattern, modality=modality, task=task)]


def describe_entry(entry: Entry) -> dict[str, Any]:
    """An entry as JSON values, with who provides it."""
    facts = asdict(entry.spec)
    return {**facts, "plugin": entry.plugin, "distribution": entry.distribution, "version": entry.version}


def _is_remote(weights: str) -> bool:
    return weights.startswith("hf:") or "://" in weights


def _package_folder(weights: str, entry: Entry) -> Path:
    package, colon, inside = weights.partition(":")
    if not colon:
        return Path(weights).expanduser()
    if find_spec(package) is None:
        raise MissingDependencyError(
            f"The weights of {entry.spec.name!r} are in the Python package {package!r}, which is not installed."
        )
    return Path(str(resources.files(package))) / inside
