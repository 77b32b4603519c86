"""The check over the durations: who has a budget, and what going over it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("root_conftest", Path(__file__).parents[2] / "conftest.py")
root_conftest = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(root_conftest)


def test_plugins_and_systems_have_budgets():
    key = root_conftest.budget_key
    assert key("plugins/omni-plugin-image/tests/test_io.py::test_a") == "plugins/omni-plugin-image"
    assert key("tests/systems/test_symile.py::test_b[1]") == "systems/symile"
    assert key("plugins/omni-plugin-contrastive/tests/systems/test_dcl.py::test_c") == "systems/dcl"
    assert key("tests/core/test_encoder.py::test_d") is None


def test_going_over_is_named():
    seconds = {"plugins/omni-plugin-image": 20.5, "plugins/omni-plugin-audio": 19.0, "systems/symile": 5.5}
    found = root_conftest.over_budget(seconds)
    assert len(found) == 2
    assert "omni-plugin-image took 20.5 s" in found[0] and "budget is 20 s" in found[0]
    assert "systems/symile" in found[1]
