"""Contract tests for plugin authors.

In a plugin's tests, one file of two lines:

    from omni.testing import contract_tests

    globals().update(contract_tests("ecg"))

gives one pytest case for every promise that the plugin's specs make. ``omni plugins check ecg`` runs the same without
pytest. Importing this package imports neither torch nor pytest.
"""

from __future__ import annotations

from omni.testing.checks import Check, checks_of
from omni.testing.report import CheckReport, check_status, contract_tests

__all__ = ["Check", "CheckReport", "check_status", "checks_of", "contract_tests"]
