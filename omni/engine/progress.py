"""Progress for people: a bar on a terminal, plain lines in a file or pipe, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
SLOW = 3.0  # seconds after which something is worth a line


def is_terminal() -> bool:
    """Whether a person watches."""
    return sys.stdout.isatty()


def track(items: Sequence[Item], what: str, *, quiet: bool = False) -> Iterator[Item]:
    """Iterate with a bar; without a terminal one line at the end if it took a while."""
    if quiet:
        yield from items
        return
    if is_terminal():
        from rich.progress import track as rich_track

        yield from rich_track(items, description=what, transient=True)
        return
    start = time.monotonic()
    yield from items
    seconds = time.monotonic() - start
    if seconds > SLOW:
        print(f"{what}: {len(items)} in {seconds:.1f} s", flush=True)
