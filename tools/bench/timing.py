"""Interleaved timing: what is compared is run alternately, so that a slow moment of the machine hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def interleave(
    ours: Callable[[], Any], peer: Callable[[], Any], *, repeats: int = 20, warmup: int = 3
) -> tuple[float, float]:
    """Median seconds of each over ``repeats`` alternating runs after ``warmup`` unmeasured ones."""
    for _ in range(warmup):
        ours()
        peer()
    ours_s, peer_s = [], []
    for _ in range(repeats):
        for function, times in ((ours, ours_s), (peer, peer_s)):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return statistics.median(ours_s), statistics.median(peer_s)


def row(
    name: str, ours_s: float, peer_s: float, *, target: str, reached: bool, ratio: float | None = None
) -> dict[str, Any]:
    """One row of the benchmark table; ratio defaults to peer / ours (how many times faster)."""
    return {
        "name": name,
        "ours_s": ours_s,
        "peer_s": peer_s,
        "ratio": peer_s / ours_s if ratio is None else ratio,
        "target": target,
        "reached": reached,
    }


def bfloat16_row(name: str, ours_s: float, peer_s: float, *, at_least: float) -> dict[str, Any]:
    """A row of a bfloat16 speed-up; without a verdict where the processor has no bfloat16."""
    target = f">= {at_least} x faster"
    from omni.dtypes import fast_bfloat16

    if fast_bfloat16():
        return row(name, ours_s, peer_s, target=target, reached=peer_s / ours_s >= at_least)
    made = row(name, ours_s, peer_s, target=f"{target}, no verdict: this processor has no bfloat16", reached=False)
    return {key: value for key, value in made.items() if key != "reached"}
