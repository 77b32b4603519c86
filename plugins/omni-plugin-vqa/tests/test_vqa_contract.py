"""What plugins promise, tested by omni.testing."""

from __future__ import annotations

from omni.testing import contract_tests

globals().update(contract_tests("vqa"))
