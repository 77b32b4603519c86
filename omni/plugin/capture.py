"""Keeps what a plugin prints while it is loaded away from the program's output, and remembers it."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, TextIO


class _Tee:
    """A stream that records while recording is on and is the original stream afterwards.

    A plugin may keep a reference to ``sys.stderr`` (a logging handler does); it must go on working after the capture.
    """

    def __init__(self, original: TextIO, lines: list[str]) -> None:
        self._original = original
        self._lines = lines
        self.recording = True

    def write(self, text: str) -> int:
        if self.recording:
            self._lines.append(text)
            return len(text)
        return self._original.write(text)

    def flush(self) -> None:
        if not self.recording:
            self._original.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class CapturedOutput:
    """Context manager; ``text`` is what was written to sys.stdout and sys.stderr inside it."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._lines).strip()

    def __enter__(self) -> CapturedOutput:
        self._saved = (sys.stdout, sys.stderr)
        self._tees = (_Tee(sys.stdout, self._lines), _Tee(sys.stderr, self._lines))
        sys.stdout, sys.stderr = self._tees  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tee in self._tees:
            tee.recording = False
        sys.stdout, sys.stderr = self._saved
