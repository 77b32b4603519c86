from __future__ import annotations

from omni.testing import contract_tests

globals().update(contract_tests("detection"))
