"""Did-you-mean, and the plugins that this project vouches for."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class KnownPlugin:
    """A row of known_plugins.toml: its distribution, one line, and kind -> names that it provides."""

    name: str
    distribution: str
    summary: str
    provides: Mapping[str, tuple[str, ...]]


@cache
def known_plugins() -> Mapping[str, KnownPlugin]:
    """The curated list, by plugin name."""
    text = Path(__file__).with_name("known_plugins.toml").read_text(encoding="utf-8")  # importlib.resources is slow
    return {
        name: KnownPlugin(
            name=name,
            distribution=row["distribution"],
            summary=row["summary"],
            provides={kind: tuple(names) for kind, names in row["provides"].items()},
        )
        for name, row in tomllib.loads(text).items()
    }


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that looks most like ``word``, or None if none does."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """``" Did you mean 'xray'?"`` or ""."""
    found = closest(word, candidates)
    return f" Did you mean {found!r}?" if found else ""
