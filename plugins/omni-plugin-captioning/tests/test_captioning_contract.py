"""The contract tests of every plugin, for this one."""

from omni.testing import contract_tests

globals().update(contract_tests("captioning"))
