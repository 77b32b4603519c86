"""Where plugins come from: built-in modules, entry points of installed distributions, single files."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

from omni.errors import PluginError
from omni.plugin.status import BUILTIN_DISTRIBUTION
from omni.plugin.suggest import known_plugins

GROUP = "omni"
FILES_VARIABLE = "OMNI_PLUGIN_FILES"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A plugin that was found and not yet imported.

    Attributes:
        rank: 0 built-in, 1 the distribution that known_plugins.toml names for this plugin, 2 any other. Where two claim
            one name the lower rank stays; among equals none does.
        load: imports it and returns the plugin object.
        by_hand: a one-file plugin or one registered in process. Since the user named it, OMNI_PLUGINS need not; it may
            import torch, since it has nowhere else to put its classes.
    """

    name: str
    distribution: str
    version: str
    source: str
    rank: int
    load: Callable[[], Any]
    by_hand: bool = False


@dataclass(frozen=True, kw_only=True)
class Switches:
    """The environment's say in what is loaded.

    Attributes:
        allowed: OMNI_PLUGINS, names of plugins or distributions; None = all; empty = only built-ins.
        disabled: OMNI_DISABLE_PLUGINS; may name built-ins too.
        strict: OMNI_STRICT_PLUGINS=1: the first plugin that is not right raises.
        trace: OMNI_TRACE_PLUGINS=1: each step goes to stderr.
    """

    allowed: frozenset[str] | None = None
    disabled: frozenset[str] = frozenset()
    strict: bool = False
    trace: bool = False

    @classmethod
    def from_environment(cls) -> Switches:
        """Read the four variables."""
        allowed = os.environ.get("OMNI_PLUGINS")
        return cls(
            allowed=None if allowed is None else _names(allowed),
            disabled=_names(os.environ.get("OMNI_DISABLE_PLUGINS", "")),
            strict=_is_on("OMNI_STRICT_PLUGINS"),
            trace=_is_on("OMNI_TRACE_PLUGINS"),
        )

    def verdict(self, candidate: Candidate) -> str:
        """Why the candidate must not be loaded; "" if it may."""
        names = {candidate.name, normalized(candidate.distribution)}
        if names & self.disabled:
            return "switched off by OMNI_DISABLE_PLUGINS"
        named = candidate.rank == 0 or candidate.by_hand
        if self.allowed is not None and not named and not names & self.allowed:
            return "not listed in OMNI_PLUGINS"
        return ""

    def unknown_names(self, candidates: Iterable[Candidate]) -> list[str]:
        """Names in the two lists that belong to nothing installed (a typing error would otherwise go unseen)."""
        found = {name for item in candidates for name in (item.name, normalized(item.distribution))}
        return sorted(((self.allowed or frozenset()) | self.disabled) - found)


def _names(text: str) -> frozenset[str]:
    parts = (part.strip() for part in text.split(","))
    return frozenset(normalized(part) if "-" in part else part for part in parts if part)


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


def normalized(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def builtin_candidates() -> list[Candidate]:
    """The built-in plugins, in the order of omni.builtin."""
    from omni import __version__
    from omni.builtin import BUILTIN_PLUGINS

    return [
        Candidate(
            name=module.rpartition(".")[2],
            distribution=BUILTIN_DISTRIBUTION,
            version=__version__,
            source=module,
            rank=0,
            load=lambda module=module: import_module(module),  # type: ignore[misc]
        )
        for module in BUILTIN_PLUGINS
    ]


def entry_point_candidates() -> list[Candidate]:
    """Plugins of installed distributions, sorted by (distribution, name).

    Repeated entries of one distribution count once (an editable install can list its own twice), and of a distribution
    that is on the path twice only the first is seen, as in an import. One unreadable entry_points.txt stays one
    distribution's trouble.
    """
    found: dict[tuple[str, str, str], Candidate] = {}
    seen: set[str] = set()
    for owner in metadata.distributions():
        try:
            text = owner.read_text("entry_points.txt") or ""
        except (OSError, UnicodeDecodeError):  # damaged metadata of some distribution, hardly one of ours
            continue
        if f"[{GROUP}]" not in text:
            continue
        distribution = owner.metadata["Name"] or "unknown distribution"
        if normalized(distribution) in seen:
            continue
        seen.add(normalized(distribution))
        for candidate in _candidates_of(owner, distribution):
            found[normalized(distribution), candidate.name, candidate.source] = candidate
    return [found[key] for key in sorted(found)]


def _candidates_of(owner: metadata.Distribution, distribution: str) -> list[Candidate]:
    known = {name: normalized(entry.distribution) for name, entry in known_plugins().items()}
    version = owner.version or ""
    try:
        entries = [(item.name, item.value, item.load) for item in owner.entry_points if item.group == GROUP]
    except Exception as error:  # malformed file
        entries = [(normalized(distribution).replace("-", "_"), "entry_points.txt", _raiser(error))]
    return [
        Candidate(
            name=name,
            distribution=distribution,
            version=version,
            source=value,
            rank=1 if known.get(name) == normalized(distribution) else 2,
            load=load,
        )
        for name, value, load in entries
    ]


def _raiser(error: Exception) -> Callable[[], Any]:
    def load() -> Any:
        raise PluginError(f"its entry_points.txt cannot be read ({error!r})") from error

    return load


def file_candidates() -> list[Candidate]:
    """One-file plugins named by OMNI_PLUGIN_FILES (set by ``omni --plugin FILE``: worker processes inherit it)."""
    paths = [part for part in os.environ.get(FILES_VARIABLE, "").split(os.pathsep) if part]
    return [
        Candidate(
            name=Path(path).stem,
            distribution=f"file {path}",
            version="",
            source=path,
            rank=2,
            load=lambda path=path: _import_file(Path(path)),  # type: ignore[misc]
            by_hand=True,
        )
        for path in dict.fromkeys(paths)
    ]


def _import_file(path: Path) -> Any:
    """Import one file as a top-level module called by its stem: its targets are "stem:Object"."""
    if not path.is_file():
        raise PluginError(f"The plugin file {path} does not exist.")
    path = path.resolve()
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if loaded is not None or util.find_spec(path.stem) not in (None, _spec_of(path)):
        raise PluginError(f"The plugin file {path} is called like the Python module {path.stem!r}. Rename the file.")
    spec = _spec_of(path)
    module = util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        sys.path.remove(str(path.parent))
        raise
    return module


def _spec_of(path: Path) -> Any:
    return util.spec_from_file_location(path.stem, path)
