"""100,000 queries against 100,000 candidates in 2 GiB, enforced by the operating system."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CASE = Path(__file__).with_name("large_case.py")


def run(count, width, limit_mib, timeout):
    command = [sys.executable, str(CASE), str(count), str(width), str(limit_mib)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.mark.slow
def test_a_hundred_thousand_squared_in_two_gib():
    done = run(100_000, 256, 2048, 1200)
    assert done.returncode == 0, done.stderr[-2000:]
    facts = json.loads(done.stdout)
    print({key: facts[key] for key in ("seconds", "peak_mib")})
    assert facts["peak_mib"] < 2048
    assert facts["reference"]["measured"] == facts["reference"]["slow"]
    for result in facts["retrieval"].values():
        assert result["queries"] == result["candidates"] == 100_000
        assert 0.05 < result["r1"] < result["r10"] < 0.95
    assert facts["alignment"] < 2.0 and all(-4.1 < value < -3.8 for value in facts["uniformity"])


@pytest.mark.slow
def test_the_limit_is_enforced():
    """Two tables of 20,000 x 8192 float32 alone take 1.2 GiB: under 1 GiB the case must fail, not pass unnoticed."""
    done = run(20_000, 8192, 1024, 300)
    assert done.returncode != 0 and "alloc" in done.stderr.lower()
