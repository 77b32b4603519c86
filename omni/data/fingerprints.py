"""What data a checkpoint was taken on, as JSON values, and how two of these differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omni.errors import ConfigError


def dataset_facts(dataset: Any) -> dict[str, Any]:
    """Class, number of samples where it has one, and name and size of the file it reads from where that is one.

    A data set with a method ``fingerprint()`` says for itself.
    """
    own = getattr(dataset, "fingerprint", None)
    if callable(own):
        return dict(own())
    facts: dict[str, Any] = {"type": type(dataset).__name__}
    try:
        facts["samples"] = len(dataset)
    except TypeError:
        pass
    path = getattr(dataset, "path", None)
    if isinstance(path, Path) and path.is_file():
        facts["file"] = file_facts(path)
    return facts


def file_facts(path: Path) -> str:
    """Name (without its folder, which may have moved) and size."""
    return f"{path.name}, {path.stat().st_size} bytes"


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], *, what: str) -> None:
    """Refuse to go on with other data.

    Args:
        before, now: of the checkpoint and of what there is.
        what: how the message begins.

    Raises:
        ConfigError: they differ; names the first difference.
    """
    found = first_difference(before, now)
    if found is not None:
        raise ConfigError(
            f"{what}: {found}. The order of the samples depends on it, so going on would repeat some and leave out "
            "others. Put the data and settings back as they were, or start anew; load_from takes the weights."
        )


def first_difference(before: Any, now: Any, place: str = "") -> str | None:
    """Where two fingerprints differ first, in words; None = nowhere."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*before, *now]):
            found = first_difference(before.get(key), now.get(key), f"{place}.{key}" if place else str(key))
            if found is not None:
                return found
        return None
    if _is_list(before) and _is_list(now):
        for number, (old, new) in enumerate(zip(before, now, strict=False)):
            found = first_difference(old, new, f"{place}[{number}]")
            if found is not None:
                return found
        return None if len(before) == len(now) else f"{place} were {len(before)} and are {len(now)} now"
    return None if before == now else f"{place} was {before!r} and is {now!r} now"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
