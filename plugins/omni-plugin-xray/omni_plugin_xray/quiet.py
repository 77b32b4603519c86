"""While a file is parsed nothing of it may reach a log or a warning."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LIBRARIES = ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils", "pylibjpeg", "openjpeg", "PIL")
WARNERS = r"(pydicom|PIL|pylibjpeg|openjpeg|numpy|omni_plugin_xray)(\.|$)"

_reading: ContextVar[bool] = ContextVar("omni_plugin_xray_reading", default=False)
_lock = threading.Lock()
_readers = 0
_filters: list[tuple] = []


class _Silence(logging.Filter):
    """Drops what the libraries log about the file that this thread is reading; other uses of them still log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _reading.get()


_SILENCE = _Silence()


@contextmanager
def quiet() -> Iterator[None]:
    """No log records or warnings of the parsers and decoders within; of any number of threads.

    The filter of warnings belongs to the process (warnings.catch_warnings would leave it in disorder where threads
    overlap): it is there while one thread at least is reading.
    """
    for name in LIBRARIES:
        logging.getLogger(name).addFilter(_SILENCE)  # a filter that is there is not added again
    token = _reading.set(True)
    _enter()
    try:
        yield
    finally:
        _leave()
        _reading.reset(token)


def _enter() -> None:
    global _readers
    with _lock:
        _readers += 1
        if _readers == 1:
            warnings.filterwarnings("ignore", module=WARNERS)
            _filters[:] = [warnings.filters[0]]


def _leave() -> None:
    global _readers
    with _lock:
        _readers -= 1
        if _readers == 0:
            for entry in _filters:
                if entry in warnings.filters:
                    warnings.filters.remove(entry)  # type: ignore[attr-defined]
