"""furniture3d from the real package; it is fetched where the cache has none."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from omni_plugin_m3mini.store import cache_folder
from omni_plugin_pointcloud.builder import furniture
from omni_plugin_pointcloud.furniture import Furniture3d
from omni_plugin_pointcloud.transform import PointcloudBasic


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An $OMNI_HOME of this module's own, with the packages that this machine has fetched before."""
    folder = tmp_path_factory.mktemp("real")
    mine = folder / "m3mini" / "packages"
    mine.mkdir(parents=True)
    known = cache_folder() / "packages"
    for path in known.iterdir() if known.is_dir() else ():
        if path.is_file():
            os.symlink(path, mine / path.name)  # what is not there is fetched; each is checked by its sha256
    return folder


@pytest.mark.slow
def test_the_real_furniture(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_HOME", str(cache))
    assert furniture.main(["--languages", "en", "fr", "--workers", "2"]) == 0
    parts = {split: Furniture3d(split, languages="en") for split in ("train", "test")}
    assert {split: len(data) for split, data in parts.items()} == {"train": 491, "test": 119}
    train, test = parts.values()
    assert len(train.classes) == 8 and len(train.info["languages"]) == 21 and train.info["spoken"] == ["en", "fr"]
    counts = Counter(model["class"] for model in train.info["models"])
    assert len(train.info["models"]) == 610 and min(counts.values()) >= 35
    assert len({sample.targets["class"] for sample in test}) == 8
    both = {split: {(s.meta["language"], s.meta["name"]) for s in Furniture3d(split)} for split in parts}
    assert not both["train"] & both["test"]
    transform = PointcloudBasic(points=512, up="y")
    for data in parts.values():
        for sample in data:
            points = sample.values["pointcloud"]
            assert points.shape == (2048, 3) and sample.values["audio"][:4] == b"OggS"
            assert len(transform(points)["points_N3"]) == 512
    wanted = np.array([sample.meta["size_cm"] for sample in train])
    found = np.array([np.ptp(sample.values["pointcloud"], axis=0) for sample in train])
    assert np.median(np.abs(found / wanted - 1)) < 0.02  # most are in cm and upright: as the catalogue says
