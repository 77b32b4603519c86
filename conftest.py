"""Budgets: the quick tests of one plugin take at most 20 s together, of one system at most 5 s; kept by this check.

A run that goes over fails at its end and names the tests. Slow tests are not counted. Durations are those that pytest
measured, in whichever process a test ran.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

BUDGETS_S = {"plugins": 20.0, "systems": 5.0}
_seconds: dict[str, float] = defaultdict(float)
_outcomes: dict[str, int] = defaultdict(int)


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


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes[report.outcome] += 1
    key = budget_key(report.nodeid)
    if key and "slow" not in report.keywords:
        _seconds[key] += report.duration


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
