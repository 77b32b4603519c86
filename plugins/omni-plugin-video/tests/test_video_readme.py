"""What the README names exists, with these defaults."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from omni_plugin_video.adapter import VideoAdapter
from omni_plugin_video.films import FilmManifest
from omni_plugin_video.io import load
from omni_plugin_video.transform import VideoBasic

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, str]:
    """First column -> second of the table below a heading."""
    part = TEXT.split(f"## {heading}")[1].split("\n## ")[0]
    rows = [line.strip().strip("|").split("|") for line in part.splitlines() if line.startswith("| `")]
    return {cells[0].strip(): cells[1].strip() for cells in rows}


def test_keywords_and_defaults() -> None:
    for heading, kind in (("Transform `video_basic`", VideoBasic), ("Adapter", VideoAdapter)):
        parameters = inspect.signature(kind).parameters
        rows = table(heading)
        assert len(rows) > 4
        for names, defaults in rows.items():
            names = re.findall(r"`(\w+)`", names)
            assert set(names) <= set(parameters), names
            if "image_basic" not in defaults:
                told = [part.strip().strip('`"') for part in defaults.split(",")]
                assert told == [str(parameters[name].default) for name in names], names


def test_options_of_the_loader_and_the_data_set() -> None:
    options = {name for names in table("What it reads") for name in re.findall(r"`(\w+)`", names)}
    assert options == set(inspect.signature(load).parameters) - {"value"}
    used = set(re.findall(r"(\w+)=", TEXT.split('type="film_manifest"')[1].split("batch_size")[0])) - {"text"}
    assert used == {"path", "column", "start_column", "end_column", "slots"}
    assert used <= set(inspect.signature(FilmManifest).parameters)


def test_the_picture_is_small() -> None:
    (name,) = re.findall(r"!\[.*?\]\((.*?)\)", TEXT)
    assert (Path(__file__).parents[1] / name).stat().st_size < 200_000
