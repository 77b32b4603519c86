"""Every promise of the plugin's specs."""

from omni.testing import contract_tests

globals().update(contract_tests("hf"))
