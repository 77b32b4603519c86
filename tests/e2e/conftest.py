"""One fresh environment for all end-to-end tests of a run."""

from __future__ import annotations

import pytest

from tests.e2e.environment import ROOT, FreshEnvironment


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """omni-core, image and audio, installed from wheels."""
    environment = FreshEnvironment(tmp_path_factory.mktemp("fresh"))
    environment.build(ROOT, ROOT / "plugins" / "omni-plugin-image", ROOT / "plugins" / "omni-plugin-audio")
    environment.install("omni-core", "omni-plugin-image", "omni-plugin-audio")
    return environment
