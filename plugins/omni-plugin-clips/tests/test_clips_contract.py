from omni.testing import contract_tests

globals().update(contract_tests("clips"))
