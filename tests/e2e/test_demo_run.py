"""The whole demo, as `make demo` runs it after the installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def on_one_core() -> None:
    """Two threads beside another busy test worker would be many times slower than one."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def demo(output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/demo.py", "--output", str(output)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=on_one_core)


@pytest.mark.slow
def test_the_demo_learns_what_pairs_cannot_tell_and_writes_what_it_promises(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = {(row["w"], row["row"]): row for row in json.loads((tmp_path / "results.json").read_text())["rows"]}
    for w in (2, 3):
        symile, pairwise = rows[w, "Symile"], rows[w, "pairwise InfoNCE"]
        assert symile["top1"] >= {2: 0.85, 3: 0.75}[w]
        assert abs(pairwise["top1"] - 1 / w) <= 0.05
        assert symile["shuffled audio"] <= 1 / w + 4 * symile["se"]
        assert symile["shuffled text"] <= 0.05
    page = (tmp_path / "gallery.html").read_text(encoding="utf-8")
    assert page.count("<audio") == page.count("class=query") >= 20 and "class=right" in page
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    found = subprocess.run(
        [sys.executable, "-m", "omni", "search", str(tmp_path / "index"), "--text", "bus", "-k", "3", "--json"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode != 0 and "audio" in found.stderr, "text alone was never trained against pictures"

    start = time.monotonic()
    again = demo(tmp_path)
    assert again.returncode == 0 and again.stdout.count("there already") == 7
    assert time.monotonic() - start < 120
