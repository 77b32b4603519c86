"""The real data set, built from its packages."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_the_data_set_is_built_as_the_page_says(tmp_path):
    from omni.zoo import omni_home
    from omni_plugin_detection.composites.builder import build_composites
    from omni_plugin_detection.composites.dataset import Composites

    given = [Path(item) for item in os.environ.get("OMNI_PACKAGES", "").split(os.pathsep) if item]
    root = build_composites(tmp_path / "composites", cache=omni_home() / "packages", given=given)
    data = Composites("test", root=root, slots=("image", "text", "crop", "audio"), masks=True)
    assert Counter(thing["part"] for thing in data.things) == {"seen": 608, "unseen": 68}
    assert len(data.categories) == 15 and len(data.store.info["grounds"]) == 459
    seen = {thing["group"] for thing in data.things if thing["part"] == "seen"}
    assert not seen & {thing["group"] for thing in data.things if thing["part"] == "unseen"}
    sizes, heard = [], 0
    for index in range(100):
        sample = data[index]
        boxes = sample.targets["boxes"]
        assert ((boxes[:, 2:] - boxes[:, :2]) >= 4).all() and boxes.min() >= 0 and boxes.max() <= 128
        assert (sample.targets["masks"].sum((1, 2)) > 0).all()
        sizes += (boxes[:, 2:] - boxes[:, :2]).max(1).tolist()
        heard += sample.values.get("audio", b"").startswith(b"OggS")
    assert 28 <= np.median(sizes) <= 60 and heard >= 10
