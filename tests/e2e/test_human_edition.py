"""The human edition as a user builds it, and its demo from the towers to the table, with few steps."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from omni_plugin_m3mini import M3Mini
from omni_plugin_m3mini.channel import measure_channel
from omni_plugin_m3mini.tables import NEW_SPEAKERS
from tools import demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fetches the packages with npm and apt-get, and builds what the demo asks for."""
    from omni_plugin_m3mini.builder.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMNI_HOME", str(tmp_path_factory.mktemp("home")))
        assert main(["--edition", "human", "--w", "3", "--classes", "50"]) == 0
        yield


def test_what_is_built() -> None:
    data = M3Mini("human", w=3)
    assert len(data) == 30_000 and len(data.classes) == 50
    new = M3Mini("human", w=3, split=NEW_SPEAKERS)
    assert [len(new.clip_pool(tag)) for tag in (0, 1, 2)] == [190, 164, 70]


def test_the_channel_gives_the_language_away_to_known_speakers_only() -> None:
    """What docs/recordings.md tells of."""
    rows = {(row.features, row.split): row.accuracy for row in measure_channel(w=3, limit=200)}
    assert rows["mean_std", "test"] > 0.9 and rows["mean_std", NEW_SPEAKERS] < 0.5


def test_the_demo_of_the_human_edition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(
        demo.EDITIONS["human"], widths=(3,), first_steps=30, lists=3_000, second_steps=30, triples=3_000
    )  # fmt: skip
    monkeypatch.setitem(demo.EDITIONS, "human", small)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--edition", "human", "--output", str(tmp_path)])
    code = demo.main()
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["row"] for row in rows] == ["chance", *demo.ROWS]
    for row in rows[1:]:
        for numbers in (row, row[NEW_SPEAKERS]):
            assert 0 <= numbers["top1"] <= 1 and numbers["queries"] > 1_000 and "shuffled audio" in numbers
    assert code == (0 if demo.above_ceiling(rows) else 1)
    assert (tmp_path / "gallery.html").read_text(encoding="utf-8").count("<audio") >= 20
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
