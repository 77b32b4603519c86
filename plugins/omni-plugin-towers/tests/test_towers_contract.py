"""Every promise of the plugin's specs; what runs the encoders needs their packages and is slow."""

from __future__ import annotations

import pytest

from omni.plugin.catalog import get_catalog
from omni.testing import Check, checks_of

WITHOUT_WEIGHTS = ("plugin_is_ok", "discovery_imports_no_torch", "targets_resolve", "default_transform_exists",
                   "default_can_be_built")  # fmt: skip
SAME = ("transform_whisper_sound", "transform_e5_words")  # the same classes as the modalities' own transforms
(STATUS,) = [status for status in get_catalog().plugins if status.name == "towers"]
CHECKS = [
    pytest.param(check, id=check.name, marks=() if check.name.endswith(WITHOUT_WEIGHTS) else pytest.mark.slow)
    for check in checks_of(STATUS)
    if not check.name.startswith(SAME) or check.name.endswith(WITHOUT_WEIGHTS)
]


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check: Check) -> None:
    check.run()
