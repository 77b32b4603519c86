"""Shared by all tests: two small modalities of their own, registered as a plugin in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

TOY_PLUGIN = Path(__file__).parent / "toy_modalities.py"


@pytest.fixture
def toy_plugin():
    """The modalities "stripe" (files of numbers) and "word" (strings), for the length of one test."""
    import toy_modalities

    from omni.plugin import catalog

    catalog.reset()
    catalog.register(toy_modalities, "toy_modalities")
    yield toy_modalities
    catalog.reset()
