"""The pytest plugin of omni-core: fixtures for tests of plugins. Loaded by pytest itself; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from omni.plugin.catalog import Catalog


@pytest.fixture
def omni_catalog() -> Iterator[Catalog]:
    """A catalog that is looked up afresh, with the switches the test has set (monkeypatch.setenv before asking for it);
    forgotten again afterwards, with everything that was registered in process."""
    from omni.plugin import catalog

    catalog.reset()
    yield catalog.get_catalog()
    catalog.reset()
