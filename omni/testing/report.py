"""Runs the checks of a plugin: as pytest cases, or one after another with a report."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from omni.errors import OmniError, UnknownComponentError
from omni.plugin.catalog import get_catalog
from omni.plugin.status import PluginStatus
from omni.plugin.suggest import did_you_mean
from omni.testing.checks import Check, checks_of
from omni.testing.skipped import CheckSkipped


@dataclass(kw_only=True)
class CheckReport:
    """The outcome of ``omni plugins check``: check name -> "" (kept) or what was found; ``skipped``: name -> why."""

    status: PluginStatus
    results: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True if every promise is kept."""
        return not any(self.results.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        checks = [{"check": name, "passed": not text, "message": text} for name, text in self.results.items()]
        more = {"traceback": self.status.traceback, "passed": self.passed, "skipped": dict(self.skipped)}
        return {**self.status.to_dict(), **more, "checks": checks}

    def to_text(self) -> str:
        """For people."""
        status = self.status
        api = "-" if status.api is None else status.api
        lines = [f"{status.name}: {status.label()}, api {api}, {status.state}"]
        if status.printed:
            lines.append(f"printed while loading:\n{_indent(status.printed)}")
        for name, text in self.results.items():
            lines.append(f"  {'ok  ' if not text else 'FAIL'} {name}" + (f"\n{_indent(text)}" if text else ""))
        lines.extend(f"  --   {name}: not tried, {reason}" for name, reason in self.skipped.items())
        kept = sum(not text for text in self.results.values())
        lines.append(f"{kept} of {len(self.results)} checks passed")
        return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"       {line}" for line in text.splitlines())


def check_status(status: PluginStatus, progress: Callable[[str], None] | None = None) -> CheckReport:
    """Run every check of a plugin; a failing one does not stop the others.

    Args:
        status: the plugin.
        progress: called with each check's name before it runs.
    """
    report = CheckReport(status=status)
    for check in checks_of(status):
        if progress:
            progress(check.name)
        try:
            report.results[check.name] = _outcome(check)
        except CheckSkipped as reason:
            report.skipped[check.name] = str(reason)
    return report


def _outcome(check: Check) -> str:
    try:
        check.run()
    except CheckSkipped:
        raise
    except (AssertionError, OmniError) as error:
        return str(error) or type(error).__name__
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = next((frame for frame in reversed(frames) if "/omni/testing/" not in frame.filename), frames[-1])
        return f"{type(error).__name__}: {error}\n{last.filename}:{last.lineno} in {last.name}: {last.line}"
    return ""


def contract_tests(plugin: str) -> dict[str, Callable[..., None]]:
    """The checks of one installed plugin as one parametrized pytest function, for a test module's globals().

    Args:
        plugin: its name, as ``omni plugins list`` shows it.

    Raises:
        UnknownComponentError: no such plugin is installed here.
    """
    import pytest

    found = [status for status in get_catalog().plugins if status.name == plugin]
    if not found:
        names = [status.name for status in get_catalog().plugins]
        raise UnknownComponentError(f"No plugin {plugin!r} is installed here.{did_you_mean(plugin, names)}")
    checks = [check for status in found for check in checks_of(status)]

    @pytest.mark.parametrize("check", checks, ids=[check.name for check in checks])
    def test_contract(check: Check) -> None:
        try:
            check.run()
        except CheckSkipped as reason:
            pytest.skip(str(reason))

    return {"test_contract": test_contract}
