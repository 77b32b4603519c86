"""Fixtures of the tests of training."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def toys(toy_plugin):
    """The toy modalities and the toy data sets, for the length of one test."""
    import toy_training

    from omni.plugin import catalog

    catalog.register(toy_training, "toy_training")
    return toy_training


@pytest.fixture
def make_config():
    """``toy_training.base_config``."""
    from toy_training import base_config

    return base_config
