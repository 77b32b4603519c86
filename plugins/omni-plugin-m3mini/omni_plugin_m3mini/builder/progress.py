"""One line of progress on stderr for the builders."""

from __future__ import annotations

import sys


def show(what: str, done: int, total: int) -> None:
    """Rewrite the line while it is a terminal; otherwise only the end of each step is printed."""
    if sys.stderr.isatty() or done == total:
        end = "\n" if done == total else ""
        print(f"\r{what}: {done}/{total}", end=end, file=sys.stderr, flush=True)
