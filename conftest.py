"""Budgets: the quick tests of one plugin take at most 20 s together, of one system at most 5 s; kept by this check.

A run that goes over fails at its end and names the tests. Slow tests are not counted. What counts is processor time, of
the process a test ran in and of those it started: what neighbours do on a busy machine is not the test's fault.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

BUDGETS_S = {"plugins": 20.0, "systems": 5.0}
_seconds: dict[str, float] = defaultdict(float)
_outcomes: dict[str, int] = defaultdict(int)
_last = [0.0]


def budget_key(nodeid: str) -> str | None:
    """ "plugins/omni-plugin-image" or "systems/symile" for a test id that has a budget, else None."""
    parts = nodeid.split("::")[0].split("/")
    if parts[0] == "plugins" and len(parts) > 1 and "systems" not in parts:
        return f"plugins/{parts[1]}"
    if "systems" in parts[:-1]:
        return f"systems/{Path(parts[-1]).stem.removeprefix('test_')}"
    return None


def over_budget(seconds: dict[str, float]) -> list[str]:
    """One sentence for each group over its budget."""
    return [
        f"{key} took {total:.1f} s, its budget is {BUDGETS_S[key.split('/')[0]]:.0f} s"
        for key, total in sorted(seconds.items())
        if total > BUDGETS_S[key.split("/")[0]]
    ]


def processor_seconds() -> float:
    """Of this process and of its finished children, user and system."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pytest_runtest_logstart() -> None:
    _last[0] = processor_seconds()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Write the phase's processor time into its report; plain attributes travel from workers to the main process."""
    outcome = yield
    now = processor_seconds()
    outcome.get_result().processor_seconds = now - _last[0]
    _last[0] = now


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes[report.outcome] += 1
    key = budget_key(report.nodeid)
    if key and "slow" not in report.keywords:
        _seconds[key] += getattr(report, "processor_seconds", report.duration)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workerinput"):
        return
    where = os.environ.get("OMNI_TEST_RECORD")
    if where:
        Path(where).write_text(json.dumps({"exit": int(exitstatus), **_outcomes}))
    if exitstatus == 0 and over_budget(_seconds):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for sentence in over_budget(_seconds):
        terminalreporter.write_line(f"over budget: {sentence}", red=True)
