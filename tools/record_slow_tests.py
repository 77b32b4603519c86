"""Runs the slow tests and writes docs/slow_tests.md: commit, date, minutes, counts. Exit code as pytest's.

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
COMMAND = [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-n", "2", "--dist", "loadfile", "--durations", "15"]
PAGE = """# The slow tests, as last run

`make test-slow` (fresh environments, kills, real data, converters) writes this page.

| commit | date | minutes | passed | failed | skipped | exit code |
|---|---|---|---|---|---|---|
| `{commit}` | {date} | {minutes} | {passed} | {failed} | {skipped} | {exit} |
"""


def main() -> int:
    start = time.time()
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        done = subprocess.run([*COMMAND, *sys.argv[1:]], cwd=ROOT, env={**os.environ, "OMNI_TEST_RECORD": str(record)})
        counts = json.loads(record.read_text()) if record.exists() else {"exit": done.returncode}
    result = {
        "commit": git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else ""),
        "date": datetime.date.today().isoformat(),
        "minutes": round((time.time() - start) / 60, 1),
        **dict.fromkeys(("passed", "failed", "skipped"), 0),
        **counts,
    }
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "slow_tests.md").write_text(PAGE.format(**result))
    print(json.dumps(result))
    return done.returncode


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
