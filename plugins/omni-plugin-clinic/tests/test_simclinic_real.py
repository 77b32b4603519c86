"""The real build, its probes, and an independent delineator's reading of its ECGs."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from omni.data.building.packages import obtain, sha256_of
from omni_plugin_clinic.latents import RHYTHMS
from omni_plugin_clinic.probes import probe
from omni_plugin_clinic.simclinic import SimClinic
from omni_plugin_clinic.simulation.builder import build_edition
from omni_plugin_clinic.simulation.plan import Plan
from omni_plugin_clinic.simulation.sources import CHECKER, PULSE
from omni_plugin_clinic.store import cache_folder, edition_folder

pytestmark = pytest.mark.slow


def _build_mini(out: Path) -> None:
    build_edition("mini", out, cache=cache_folder() / "packages", given=[], progress=False)


def test_a_stopped_build_goes_on_and_gives_the_shipped_edition(tmp_path: Path) -> None:
    out = tmp_path / "mini"
    process = multiprocessing.get_context("spawn").Process(target=_build_mini, args=(out,))
    process.start()
    poses = tmp_path / "mini.part" / "poses"
    deadline = time.monotonic() + 600
    while len(list(poses.glob("*-00[0-9].npy")) if poses.is_dir() else []) < 4:
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.2)
    process.kill()
    process.join()
    kept = {path.name: path.stat().st_mtime_ns for path in poses.glob("train-00[0-2].npy")}
    again = multiprocessing.get_context("spawn").Process(target=_build_mini, args=(out,))
    again.start()
    while not (poses / "train-006.npy").is_file():
        assert again.is_alive() and time.monotonic() < deadline
        time.sleep(0.2)
    assert {name: (poses / name).stat().st_mtime_ns for name in kept} == kept
    again.join()
    shipped = edition_folder("mini")
    assert {p.name: sha256_of(p) for p in out.iterdir()} == {p.name: sha256_of(p) for p in shipped.iterdir()}


def test_each_hidden_state_is_told_from_its_slot_by_a_probe(tmp_path: Path) -> None:
    plan = Plan(
        rows={"train": 1600, "val": 100, "test": 400}, poses={"train": 14, "val": 1, "test": 6},
        hearts={"train": 300, "val": 10, "test": 80}, side=96,
    )  # fmt: skip
    packages = cache_folder() / "packages"
    out = build_edition("bench", tmp_path / "bench", cache=packages, given=[], plan=plan, progress=False)
    rows = probe(SimClinic("bench", root=out), SimClinic("bench", split="test", root=out), progress=False)
    assert len(rows) == 7
    assert {(row.slot, row.state): row.accuracy for row in rows if row.accuracy < 0.9} == {}


def test_an_independent_delineator_reads_what_was_asked(tmp_path: Path) -> None:
    cache = cache_folder() / "packages"
    with zipfile.ZipFile(obtain(CHECKER, cache=cache, given=[])) as wheel:
        wheel.extractall(tmp_path / "checker")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "checker")]
    subprocess.run([*install, "opendsp==0.1.0"], check=True)
    script = Path(__file__).with_name("delineate_simclinic.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "checker"), str(obtain(PULSE, cache=cache, given=[]))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = np.array([[float(field) for field in line.split()] for line in done.stdout.splitlines()])
    e, rate, pr, qrs, rate_read, pr_read, qrs_read, spread_read, name = rows.T
    irregular = e == RHYTHMS.index("irregular")
    assert np.abs(rate_read - rate)[~irregular].max() < 3
    assert np.abs(pr_read - pr)[~irregular].mean() < 25
    long_pr, wide = e == RHYTHMS.index("long PR"), e == RHYTHMS.index("wide QRS")
    assert np.median(pr_read[long_pr]) > 220 > 185 > np.median(pr_read[~long_pr & ~irregular])
    narrow = ~wide & ~irregular & ~long_pr
    assert np.median(qrs_read[wide]) > 150 > 130 > np.median(qrs_read[narrow])
    # its detector misplaces a beat of one regular recording in 64 (0.11), so shares, not extremes
    assert (spread_read[irregular] > 0.1).mean() >= 0.95 and (spread_read[~irregular] < 0.1).mean() >= 0.95
    known = {"sinus": 0, "avb": 1, "bbb": 2, "afib": 3}
    for rhythm, answer in (("long PR", "avb"), ("wide QRS", "bbb"), ("irregular", "afib"), ("bradycardia", "sinus")):
        assert (name[e == RHYTHMS.index(rhythm)] == known[answer]).mean() >= 0.7, rhythm
