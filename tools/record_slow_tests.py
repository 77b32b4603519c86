"""Runs the slow tests and writes docs/slow_tests.json: commit, date, counts. Exit code as pytest's.

python tools/record_slow_tests.py [pytest arguments]
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "slow",
            "-n",
            "2",
            "--dist",
            "loadfile",
            "--durations",
            "15",
        ]
        done = subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, env={**os.environ, "OMNI_TEST_RECORD": str(record)})
        counts = json.loads(record.read_text()) if record.exists() else {"exit": done.returncode}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    dirty = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    result = {
        "commit": commit + ("+changes" if dirty else ""),
        "date": datetime.date.today().isoformat(),
        "minutes": round((time.time() - start) / 60, 1),
        **counts,
    }
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "slow_tests.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
