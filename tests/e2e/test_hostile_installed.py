"""Hostile distributions installed with pip beside the real ones: everything else still works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.environment import FreshEnvironment
from tests.plugin.distributions import HEAD, good

pytestmark = pytest.mark.slow
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "omni-plugin-{name}"
version = "1.0"
[project.entry-points.omni]
{name} = "plug_{name}"
[tool.hatch.build.targets.wheel]
include = ["plug_{name}.py"]
"""
HOSTILE = {
    "hostile_import": "raise RuntimeError('at import')\n",
    "hostile_exit": "import sys\nsys.exit(1)\n",
    "hostile_typo": HEAD.format(name="hostile_typo") + "@hookimpl\ndef omni_head():\n    return []\n",
    "hostile_api": HEAD.format(name="hostile_api").replace("PluginInfo(", "PluginInfo(api=99, "),
    "hostile_thief": good("image").replace("PluginInfo(name='image')", "PluginInfo(name='hostile_thief')"),
}


@pytest.fixture
def hostile(fresh: FreshEnvironment, tmp_path: Path) -> FreshEnvironment:
    projects = []
    for name, code in HOSTILE.items():
        project = tmp_path / name
        project.mkdir()
        (project / "pyproject.toml").write_text(PROJECT.format(name=name))
        (project / f"plug_{name}.py").write_text(code)
        projects.append(project)
    fresh.build(*projects)
    names = [f"omni-plugin-{name}" for name in HOSTILE]
    fresh.install(*names)
    yield fresh
    fresh.uninstall(*names)


def test_everything_else_still_works(hostile: FreshEnvironment) -> None:
    statuses = hostile.statuses()
    states = {name: statuses[name]["status"] for name in HOSTILE}
    assert states == {**dict.fromkeys(HOSTILE, "broken"), "hostile_api": "incompatible"}
    assert "RuntimeError: at import" in statuses["hostile_import"]["reason"]
    assert "SystemExit: 1" in statuses["hostile_exit"]["reason"]
    assert "did you mean omni_heads" in statuses["hostile_typo"]["reason"]
    assert "omni-plugin-image" in statuses["hostile_thief"]["reason"]
    working = {name for name, item in statuses.items() if item["status"] == "ok"}
    assert working == set(statuses) - set(HOSTILE) and {"image", "audio", "text"} <= working
    assert "checks passed" in hostile.verb("plugins", "check", "image").stdout
    assert hostile.verb("plugins", "check", "hostile_exit", check=False).returncode == 1
    assert hostile.verb("--help").returncode == 0
