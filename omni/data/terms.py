"""The terms under which data may be used, and what a model inherits of them.

A data set that has terms keeps them in an attribute ``terms``: a list of ``{"data": name, "license": SPDX expression,
"publish": bool, "why": sentence, "notice": what everyone must know}``, the last two where there is such a thing.
Training writes those of its data into the model folder (``info["terms"]``), the card shows them, and whatever publishes
a model asks ``require_publishable`` first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omni.errors import InputError, OmniError

KEY = "terms"
_INNER = ("dataset", "datasets", "source", "sources", "stream")  # where wrappers keep what they wrap
_MOST_DEPTH = 12


class TermsError(OmniError):
    """What was asked for is against the terms of the data."""


def terms_of(dataset: Any) -> list[dict[str, Any]]:
    """The terms of a data set and of those that it wraps or mixes, each once, in the order they are met."""
    found: list[dict[str, Any]] = []
    _collect(dataset, found, set(), _MOST_DEPTH)
    return found


def terms_of_model(source: str | Path) -> list[dict[str, Any]]:
    """The terms that a model folder, or the folder of a weights file, carries; [] where it says nothing.

    Raises:
        InputError: its config.json cannot be read.
    """
    path = Path(source)
    config = (path if path.is_dir() else path.parent) / "config.json"
    if not config.is_file():
        return []
    try:
        return list(json.loads(config.read_text(encoding="utf-8")).get("info", {}).get(KEY, ()))
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{config} cannot be read ({error}), so the terms of its weights are not known.") from error


def merge_terms(*lists: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All of them, each once."""
    found: list[dict[str, Any]] = []
    for terms in lists:
        found += [dict(item) for item in terms if dict(item) not in found]
    return found


def require_publishable(info: Mapping[str, Any], *, name: str = "model") -> None:
    """Refuse to publish a model that was trained on data whose terms forbid it.

    Args:
        info: the "info" of the model folder's config.json.
        name: of the model, for the message.

    Raises:
        TermsError: names the data, its licence and why.
    """
    barred = [item for item in info.get(KEY, ()) if not item.get("publish", True)]
    if barred:
        reasons = "; ".join(
            f"{item.get('data', 'data')} ({item.get('license', 'no licence named')})"
            + (f": {item['why']}" if item.get("why") else "")
            for item in barred
        )
        raise TermsError(
            f"{name!r} was trained on data whose terms do not allow publishing it: {reasons}. Keep it on this machine, "
            "or train it on other data."
        )


def _collect(value: Any, found: list[dict[str, Any]], seen: set[int], depth: int) -> None:
    plain = value is None or isinstance(value, (str, bytes, int, float, Mapping, list, tuple))
    if plain or id(value) in seen or depth < 0:
        return
    seen.add(id(value))
    own = getattr(value, KEY, None)
    if isinstance(own, Sequence) and not isinstance(own, (str, bytes)):
        found += [dict(item) for item in own if isinstance(item, Mapping) and dict(item) not in found]
    for name in _INNER:
        inner = getattr(value, name, None)
        for item in inner if isinstance(inner, (list, tuple)) else [inner]:
            _collect(item, found, seen, depth - 1)
