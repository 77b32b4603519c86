"""Every test of the host starts and ends with no catalog and without omni's variables."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from omni.plugin import catalog


@pytest.fixture(autouse=True)
def clean_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("OMNI_")]:
        monkeypatch.delenv(name)
    catalog.reset()
    yield
    catalog.reset()
