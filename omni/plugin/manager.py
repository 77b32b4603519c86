"""Loads, registers and asks every plugin, each inside its own try: one that fails becomes a tombstone, no blockage.

Order: built-ins, then installed distributions by (distribution, name), then one-file plugins, then plugins registered
in process. Who stays when two claim one plugin or component name: a built-in before all, then the distribution that
known_plugins.toml names for that plugin, then the others; the loser is broken as a whole. Among equals both are broken,
since nobody but the user can choose (OMNI_DISABLE_PLUGINS takes plugin and distribution names).
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from omni.errors import PluginError
from omni.plugin import hookspecs
from omni.plugin.capture import CapturedOutput
from omni.plugin.discovery import (
    Candidate,
    Switches,
    builtin_candidates,
    entry_point_candidates,
    file_candidates,
)
from omni.plugin.specs import API_VERSION, HOOK_RETURNS, NAME_PATTERN, SUPPORTED_API, HookReturn, PluginInfo
from omni.plugin.status import PluginStatus
from omni.plugin.suggest import closest

HOOKS: Mapping[str, HookReturn] = {entry.hook: entry for entry in HOOK_RETURNS}
INFO_HOOK = "omni_plugin_info"


class PluginManager:
    """One pluggy manager and the statuses of all plugins.

    Args:
        switches: what the environment allows; read from it when None.
    """

    def __init__(self, switches: Switches | None = None) -> None:
        self.switches = switches or Switches.from_environment()
        self.statuses: list[PluginStatus] = []
        self.problems: list[str] = []
        self._pluggy = pluggy.PluginManager(hookspecs.PROJECT)
        self._pluggy.add_hookspecs(hookspecs)
        self._ranks: dict[int, int] = {}

    def load_all(self, extra: Iterable[Candidate] = ()) -> list[PluginStatus]:
        """Find and load everything.

        Args:
            extra: further candidates (plugins registered in process).

        Returns:
            The statuses in load order.

        Raises:
            PluginError: OMNI_STRICT_PLUGINS is set and a plugin is not right.
        """
        candidates = [*builtin_candidates(), *entry_point_candidates(), *file_candidates(), *extra]
        unknown = self.switches.unknown_names(candidates)
        if unknown:
            self.problems.append(
                f"OMNI_PLUGINS or OMNI_DISABLE_PLUGINS names {', '.join(map(repr, unknown))}, "
                "which no installed plugin or distribution is called."
            )
        losers = self._name_losers(candidates)
        for candidate in candidates:
            status = PluginStatus(
                name=candidate.name,
                distribution=candidate.distribution,
                version=candidate.version,
                source=candidate.source,
            )
            self.statuses.append(status)
            self._ranks[id(status)] = candidate.rank
            self._load(candidate, status, losers.get(id(candidate), ""))
        self._settle_components()
        self._raise_if_strict()
        return self.statuses

    def _name_losers(self, candidates: list[Candidate]) -> dict[int, str]:
        """id of each candidate that may not have its plugin name -> the reason."""
        groups: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            if not self.switches.verdict(candidate):
                groups.setdefault(candidate.name, []).append(candidate)
        losers = {}
        for name, group in groups.items():
            if len(group) < 2:
                continue
            best = min(item.rank for item in group)
            stays = [item for item in group if item.rank == best]
            who = " and ".join(f"{item.distribution} ({item.source})" for item in group)
            for item in group:
                if len(stays) > 1 or item is not stays[0]:
                    losers[id(item)] = f"the plugin name {name!r} is claimed by {who}"
        return losers

    def _load(self, candidate: Candidate, status: PluginStatus, conflict: str) -> None:
        verdict = self.switches.verdict(candidate)
        if verdict:
            status.fail("disabled", verdict)
            return
        if not NAME_PATTERN.match(candidate.name):
            status.fail("broken", f"illegal plugin name {candidate.name!r}: must match {NAME_PATTERN.pattern}")
            return
        if conflict:
            status.fail("broken", conflict, hint=_conflict_hint(status))
            return
        started, torch_was_there = time.perf_counter(), "torch" in sys.modules
        with CapturedOutput() as output:
            try:
                self._load_and_ask(candidate, status)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # SystemExit too: a plugin must not end the program
                self._bury(status, error)
        status.seconds = time.perf_counter() - started
        status.printed = output.text
        if status.printed:
            status.notes.append("prints while it is loaded; the output was held back")
        if "torch" in sys.modules and not torch_was_there and not candidate.by_hand:
            status.notes.append("imports torch at discovery; move the import into the modules that its targets name")
        self._trace(f"{status.name}: {status.state} in {status.seconds * 1000:.1f} ms {status.reason}")

    def _load_and_ask(self, candidate: Candidate, status: PluginStatus) -> None:
        plugin = candidate.load()
        self._check_marked(plugin)
        self._pluggy.register(plugin, name=f"{candidate.name} [{candidate.distribution}]")
        status.info = self._ask_info(plugin, candidate.name)
        if status.info.api not in SUPPORTED_API:
            self._unregister(status)
            newer = isinstance(status.info.api, int) and status.info.api > API_VERSION
            supported = ", ".join(map(str, sorted(SUPPORTED_API)))
            status.fail(
                "incompatible",
                f"needs plugin api {status.info.api}, this omni supports {supported}",
                hint="update omni-core" if newer else f"update {candidate.distribution}",
            )
            return
        self._check_hook_names(plugin)
        for entry in HOOK_RETURNS:
            if entry.many:
                status.specs.extend(self._ask(plugin, entry))
        _check_unique(status.specs)
        _check_verbs(status)

    def _check_marked(self, plugin: Any) -> None:
        """A hook function without @hookimpl would be ignored in silence."""
        for hook in HOOKS:
            if callable(getattr(plugin, hook, None)) and self._pluggy.parse_hookimpl_opts(plugin, hook) is None:
                raise PluginError(f"{hook} is not marked with @hookimpl (from omni.plugin import hookimpl)")

    def _check_hook_names(self, plugin: Any) -> None:
        """A hook that no specification knows is a typing error, not an extension."""
        for caller in self._pluggy.get_hookcallers(plugin) or []:
            if not caller.has_spec():
                guess = closest(caller.name, HOOKS)
                ending = f"; did you mean {guess}?" if guess else f"; the hooks are {', '.join(HOOKS)}"
                raise PluginError(f"unknown hook {caller.name}{ending}")

    def _ask_info(self, plugin: Any, name: str) -> PluginInfo:
        answers = self._ask(plugin, HOOKS[INFO_HOOK])
        if not answers:
            raise PluginError(f"{INFO_HOOK} is missing; every plugin says who it is with PluginInfo(name={name!r})")
        info = answers[0]
        if info.name != name:
            raise PluginError(f"its PluginInfo is called {info.name!r}, its entry point {name!r}; they must be equal")
        return info

    def _ask(self, plugin: Any, entry: HookReturn) -> list[Any]:
        """Every implementation of one hook by one plugin, with its answer checked."""
        answers: list[Any] = []
        for implementation in getattr(self._pluggy.hook, entry.hook).get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            self._trace(f"{implementation.plugin_name}: {entry.hook}")
            if implementation.hookwrapper or implementation.wrapper:
                raise PluginError(f"{entry.hook} is a hook wrapper; omni's hooks cannot be wrapped")
            answers.extend(_checked(implementation.function(), entry))
        return answers

    def _bury(self, status: PluginStatus, error: BaseException) -> None:
        self._unregister(status)
        text = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}".rstrip(": ")
        status.fail("broken", text, hint=_hint(error), error=error)
        status.traceback = "".join(traceback.format_exception(error))

    def _unregister(self, status: PluginStatus) -> None:
        name = f"{status.name} [{status.distribution}]"
        if self._pluggy.has_plugin(name):
            self._pluggy.unregister(name=name)

    def _settle_components(self) -> None:
        """Two plugins that claim one component name: the better rank stays, equals are both broken."""
        working = [status for status in self.statuses if status.ok]
        accepted: list[PluginStatus] = []
        for rank in sorted({self._ranks[id(status)] for status in working}):
            group = [status for status in working if self._ranks[id(status)] == rank]
            reasons = {id(status): _clash(status, accepted) for status in group}
            standing = [status for status in group if not reasons[id(status)]]
            for status in standing:
                reasons[id(status)] = _clash(status, [other for other in standing if other is not status])
            for status in group:
                if reasons[id(status)]:
                    self._unregister(status)
                    status.fail("broken", reasons[id(status)], hint=_conflict_hint(status))
                else:
                    accepted.append(status)

    def _raise_if_strict(self) -> None:
        if not self.switches.strict:
            return
        for status in self.statuses:
            if status.state in ("broken", "incompatible"):
                message = f"Plugin {status.name!r} of {status.label()} is {status.state}: {status.reason}"
                raise PluginError(f"{message} (OMNI_STRICT_PLUGINS is set)") from status.error
            if status.notes:
                message = f"Plugin {status.name!r} of {status.label()}: {'; '.join(status.notes)}"
                raise PluginError(f"{message} (OMNI_STRICT_PLUGINS is set)")
        if self.problems:
            raise PluginError(f"{self.problems[0]} (OMNI_STRICT_PLUGINS is set)")

    def _trace(self, text: str) -> None:
        if self.switches.trace:
            print(f"omni plugins: {text}", file=sys.__stderr__)


def _checked(answer: Any, entry: HookReturn) -> list[Any]:
    """The answer of one hook as a list of sound specs."""
    wanted = entry.spec.__name__
    if not entry.many:
        if not isinstance(answer, entry.spec):
            raise PluginError(f"{entry.hook} returned {type(answer).__name__}; it must return a {wanted}")
        return [answer]
    if isinstance(answer, entry.spec):
        raise PluginError(f"{entry.hook} returned one {wanted}; it must return a list of them")
    if answer is None or isinstance(answer, (str, bytes, Mapping)) or not isinstance(answer, Iterable):
        raise PluginError(f"{entry.hook} returned {type(answer).__name__}; it must return a list of {wanted}")
    specs: list[Any] = list(answer)
    for spec in specs:
        if not isinstance(spec, entry.spec):
            raise PluginError(f"{entry.hook} returned a list with a {type(spec).__name__}; it must hold {wanted} only")
        problems = [*_field_problems(spec), *spec.problems()]
        if problems:
            raise PluginError(f"{entry.hook}: {'; '.join(problems)}")
    return specs


def _field_problems(spec: Any) -> list[str]:
    """A string where a tuple belongs would be read letter by letter."""
    return [
        f"{spec.kind} {spec.name!r}: {name} must be a tuple, not {type(getattr(spec, name)).__name__}"
        for name, item in spec.__dataclass_fields__.items()
        if str(item.type).startswith("tuple[") and not isinstance(getattr(spec, name), (tuple, list))
    ]


def _claims(specs: Iterable[Any]) -> list[tuple[str, str]]:
    return [(spec.kind, name) for spec in specs for name in (spec.name, *spec.aliases)]


def _check_unique(specs: list[Any]) -> None:
    seen: set[tuple[str, str]] = set()
    for claim in _claims(specs):
        if claim in seen:
            raise PluginError(f"it provides the {claim[0]} {claim[1]!r} twice")
        seen.add(claim)


def _check_verbs(status: PluginStatus) -> None:
    commands = status.provides.get("command")
    if not commands:
        return
    from omni.cli.verbs import VERBS  # a bare table; importing it here keeps the host free of the command line

    for name in commands:
        if name in VERBS:
            raise PluginError(f"the command {name!r} is claimed by {status.label()} and by omni itself")


def _clash(status: PluginStatus, others: list[PluginStatus]) -> str:
    mine = _claims(status.specs)
    for other in others:
        for kind, name in set(mine) & set(_claims(other.specs)):
            return f"the {kind} {name!r} is claimed by {status.label()} and by {other.label()} (plugin {other.name!r})"
    return ""


def _conflict_hint(status: PluginStatus) -> str:
    return f"switch one off, e.g. OMNI_DISABLE_PLUGINS={status.distribution}, or uninstall it"


def _hint(error: BaseException) -> str:
    """What to do about an exception raised while loading."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install what provides the Python module {error.name.partition('.')[0]!r}"
    if isinstance(error, ImportError) and (error.name or "").startswith("omni"):
        return "the plugin may be written for another version of omni-core"
    if isinstance(error, SystemExit):
        return "a plugin must not call sys.exit()"
    return ""
