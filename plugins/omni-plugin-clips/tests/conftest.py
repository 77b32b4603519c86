"""The three data sets, built once by the real builders from the tiny packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clips_fixture import packages, patch_sources

from omni_plugin_clips.builder import film, fluent, scenes

COUNTS = {"train": 24, "val": 6, "test": 12, "unseen": 6}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages."""
    return packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def home(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """$OMNI_HOME with fluentclips, bbb and mix."""
    out = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch_sources(patch, tiny)
        patch.setenv("OMNI_HOME", str(out))
        assert fluent.main(["--from", str(tiny), "--languages", "en", "fr", "--workers", "1"]) == 0
        assert film.main(["--from", str(tiny)]) == 0
        scenes.build_mix(out / "mix", cache=out / "packages", given=[tiny], counts=COUNTS, shots=tiny / "shots.tsv")
        yield out
