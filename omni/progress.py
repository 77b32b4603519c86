"""Progress of long work: a bar on a terminal, nothing elsewhere, or the caller's own function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
Progress = bool | Callable[[int, int], None] | None


@contextmanager
def show_progress(label: str, total: int, progress: Progress = None) -> Iterator[Advance]:
    """Yields ``advance(count)``.

    Args:
        label: shown before the bar.
        total: number of things to do.
        progress: None = a bar if the error stream is a terminal; True or False; or ``function(done, total)``.
    """
    if callable(progress):
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            progress(done, total)

        yield advance
        return
    wanted = sys.stderr.isatty() if progress is None else progress
    if not wanted:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)
