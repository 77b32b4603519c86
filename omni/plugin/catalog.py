"""What exists: every component of every working plugin, who provides it, and how to reach it. Imports no torch.

The catalog is built once a process, on first use (so also in spawned workers), and never changes afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from omni.errors import MissingDependencyError, OmniError, PluginError, UnknownComponentError
from omni.plugin.discovery import Candidate
from omni.plugin.manager import PluginManager
from omni.plugin.specs import KINDS
from omni.plugin.status import PluginStatus
from omni.plugin.suggest import closest, did_you_mean, known_plugins


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One component: its spec, and the plugin, distribution and version that provide it."""

    spec: Any
    plugin: str
    distribution: str
    version: str


class Catalog:
    """Components by (kind, name); ``plugins`` are the statuses in load order, ``problems`` those of the switches."""

    def __init__(self, manager: PluginManager) -> None:
        self.plugins: tuple[PluginStatus, ...] = tuple(manager.statuses)
        self.problems: tuple[str, ...] = tuple(manager.problems)
        self._entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self._aliases: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        for status in self.plugins:
            for spec in status.specs if status.ok else ():
                entry = Entry(spec=spec, plugin=status.name, distribution=status.distribution, version=status.version)
                self._entries[spec.kind][spec.name] = entry
                self._aliases[spec.kind].update(dict.fromkeys(spec.aliases, spec.name))

    def names(self, kind: str) -> tuple[str, ...]:
        """Names of one kind, sorted, without aliases."""
        return tuple(sorted(self._of(kind)))

    def entries(self, kind: str) -> tuple[Entry, ...]:
        """Entries of one kind, sorted by name."""
        return tuple(entry for _, entry in sorted(self._of(kind).items()))

    def has(self, kind: str, name: str) -> bool:
        """True if ``get`` would find it."""
        return name in self._of(kind) or name in self._aliases[kind]

    def get(self, kind: str, name: str) -> Entry:
        """The entry called ``name`` (or an alias of it).

        Raises:
            UnknownComponentError: no working plugin provides it; says what is near, who would provide it and why not.
        """
        entries = self._of(kind)
        found = entries.get(self._aliases[kind].get(name, name))
        if found is None:
            raise UnknownComponentError(self.explain_unknown(kind, name))
        return found

    def component(self, kind: str, name: str) -> Any:
        """The object that the entry's target names, imported on first use.

        Raises:
            UnknownComponentError: see ``get``.
            MissingDependencyError, PluginError: the target cannot be imported.
        """
        entry = self.get(kind, name)
        target = entry.spec.target_strings()
        if not target:
            raise PluginError(f"The {kind} {name!r} of {entry.distribution} names no object to import.")
        return self.resolve(target[0], needed_by=entry)

    def resolve(self, target: str, *, needed_by: Entry | None = None) -> Any:
        """Import "package.module:Object".

        Args:
            target: the string.
            needed_by: whose target it is, for messages.

        Raises:
            MissingDependencyError: a Python module is not installed.
            PluginError: anything else goes wrong in the import, or the module has no such object.
        """
        return resolve_target(target, needed_by=needed_by)

    def explain_unknown(self, kind: str, name: str) -> str:
        """The message for a name that no working plugin provides."""
        installed = self.names(kind)
        listed = ", ".join(installed) if installed else "none"
        parts = [f"No {kind} {name!r}. Installed: {listed}."]
        tombstone = self._tombstone(kind, name)
        if tombstone is not None:
            parts.append(_sentence_about(name, tombstone))
            return " ".join(parts)
        others = [other for other in KINDS if other != kind and self.has(other, name)]
        if others:
            parts.append(f"There is a {' and a '.join(others)} of that name.")
        known = {item for plugin in known_plugins().values() for item in plugin.provides.get(kind, ())}
        broken = {item for status in self.plugins if not status.ok for item in self._would_provide(status, kind)}
        guess = name if name in known else closest(name, {*installed, *self._aliases[kind], *known, *broken})
        if guess is not None:
            if guess != name:
                parts.append(f"Did you mean {guess!r}?")
            parts.append(self._provider_sentence(kind, guess))
        return " ".join(part for part in parts if part)

    def _provider_sentence(self, kind: str, name: str) -> str:
        """Who provides ``name``, if it is not there already."""
        if self.has(kind, name):
            return ""
        tombstone = self._tombstone(kind, name)
        if tombstone is not None:
            return _sentence_about(name, tombstone)
        for plugin in known_plugins().values():
            if name in plugin.provides.get(kind, ()):
                command = f"pip install {plugin.distribution}"
                return f"{name!r} is provided by {plugin.distribution}, which is not installed: {command}"
        return ""

    def _tombstone(self, kind: str, name: str) -> PluginStatus | None:
        """The plugin that would provide ``name`` if it were ok."""
        for status in self.plugins:
            if not status.ok and name in self._would_provide(status, kind):
                return status
        return None

    @staticmethod
    def _would_provide(status: PluginStatus, kind: str) -> set[str]:
        """Names that a plugin which is not ok said it has; where it never got to say, those of the curated list, or its
        own name (most plugins are called after what they bring)."""
        said = {name for spec in status.specs if spec.kind == kind for name in (spec.name, *spec.aliases)}
        known = known_plugins().get(status.name)
        if status.specs:
            return said
        return {*known.provides.get(kind, ())} if known else {status.name}

    def _of(self, kind: str) -> dict[str, Entry]:
        if kind not in self._entries:
            raise UnknownComponentError(
                f"No component kind {kind!r}. Kinds: {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}"
            )
        return self._entries[kind]


def resolve_target(target: str, *, needed_by: Entry | None = None) -> Any:
    """See Catalog.resolve; needs no catalog."""
    owner = _owner(needed_by)
    module_name, _, attribute = target.partition(":")
    try:
        module = import_module(module_name)
    except OmniError:
        raise
    except ModuleNotFoundError as error:
        raise MissingDependencyError(_missing_module(error, target, owner, needed_by)) from error
    except Exception as error:
        raise PluginError(f"{owner}{target} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        guess = did_you_mean(attribute, [name for name in vars(module) if not name.startswith("_")])
        raise PluginError(f"{owner}module {module_name} has no {attribute!r}.{guess}") from None


def _owner(entry: Entry | None) -> str:
    if entry is None:
        return ""
    return f"The {entry.spec.kind} {entry.spec.name!r} of {f'{entry.distribution} {entry.version}'.strip()}: "


def _missing_module(error: ModuleNotFoundError, target: str, owner: str, entry: Entry | None) -> str:
    requires = getattr(entry.spec, "requires", ()) if entry else ()
    fix = f" Install it with: pip install {' '.join(map(repr, requires))}" if requires else ""
    return f"{owner}{target} needs the Python module {error.name!r}, which is not installed.{fix}"


def _sentence_about(name: str, status: PluginStatus) -> str:
    """Why the plugin that has ``name`` does not work."""
    states = {"broken": "failed to load", "incompatible": "is incompatible", "disabled": "is disabled"}
    fix = f" ({status.hint})" if status.hint else ""
    return (
        f"{name!r} belongs to the plugin {status.name!r} of {status.label()}, which {states[status.state]}: "
        f"{status.reason}{fix}. See: omni plugins check {status.name}"
    )


_lock = threading.RLock()
_catalog: Catalog | None = None
_registered: list[Candidate] = []


def get_catalog() -> Catalog:
    """The catalog of this process, built on first use.

    Raises:
        PluginError: OMNI_STRICT_PLUGINS is set and a plugin is not right.
    """
    global _catalog
    with _lock:
        if _catalog is None:
            manager = PluginManager()
            manager.load_all(_registered)
            _catalog = Catalog(manager)
        return _catalog


def reset() -> None:
    """Forget the catalog and the plugins registered in process; the next use looks again."""
    global _catalog
    with _lock:
        _catalog = None
        _registered.clear()


def reload() -> Catalog:
    """Look again (after a change of switches or of what is installed), keeping the plugins registered in process."""
    global _catalog
    with _lock:
        _catalog = None
        return get_catalog()


def register(plugin: Any, name: str) -> PluginStatus:
    """Register a plugin object (module, class instance) in this process only: for tests and notebooks. Worker processes
    do not see it; a file named in OMNI_PLUGIN_FILES they do.

    Raises:
        PluginError: the plugin is not right (says why); it is not kept then.
    """
    with _lock:
        candidate = Candidate(
            name=name,
            distribution="registered in process",
            version="",
            source=getattr(plugin, "__name__", type(plugin).__name__),
            rank=2,
            load=lambda: plugin,
            by_hand=True,
        )
        _registered.append(candidate)
        status = _last(reload().plugins)
        if not status.ok:
            _registered.remove(candidate)
            reload()
            raise PluginError(f"Plugin {name!r} is {status.state}: {status.reason}") from status.error
        return status


def _last(plugins: Sequence[PluginStatus]) -> PluginStatus:
    return plugins[-1]
