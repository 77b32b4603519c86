"""Reading text."""

from __future__ import annotations

from pathlib import Path

from omni.errors import InputError


def load(value: str | bytes | Path) -> str:
    """A str is the text itself; a Path is read; bytes are decoded as UTF-8.

    Raises:
        InputError: another type, an unreadable file or bytes that are not UTF-8.
    """
    if isinstance(value, str):
        return value
    name = str(value) if isinstance(value, Path) else "bytes"
    try:
        if isinstance(value, Path):
            return value.read_text(encoding="utf-8")
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value).decode("utf-8")
    except OSError as error:
        raise InputError(f"Text file {name} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"Text in {name} is not UTF-8 (byte {error.start}); convert it to UTF-8 first.") from error
    raise InputError(f"Text must be a str, bytes or a pathlib.Path to a file, not {type(value).__name__}.")


def sample() -> str:
    """A tiny raw value."""
    return "a small red bird"
