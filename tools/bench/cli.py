"""How long the command line and the import take, as a user meets them: whole processes, best of several."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from tools.bench.timing import row

REPEATS = 7


def _seconds(code: list[str]) -> float:
    """Median wall seconds of a fresh Python with these arguments."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *code], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return sorted(times)[REPEATS // 2]


def bench_start() -> list[dict[str, Any]]:
    """``omni --help`` and ``import omni``; the peer is a Python that does nothing."""
    empty = _seconds(["-c", "pass"])
    shown = _seconds(["-m", "omni", "--help"])
    imported = _seconds(["-c", "import omni"]) - empty
    return [
        row("omni --help", shown, empty, target="<= 0.5 s", reached=shown <= 0.5),
        row(
            "import omni (beyond an empty Python)",
            max(imported, 1e-6),
            empty,
            target="<= 0.1 s",
            reached=imported <= 0.1,
        ),
    ]
