"""Reading text."""

from __future__ import annotations

from pathlib import Path

from omni.errors import InputError

SAMPLES = {
    "typical": "a small red bird",
    "other": "two green parrots in a tall tree, \u0434\u0432\u0430 \u043f\u043e\u043f\u0443\u0433\u0430\u044f",
    "minimum": "a",
}


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


def sample(variant: str = "typical") -> str:
    """A tiny raw value: "typical", "other" (longer, several scripts) or "minimum" (one character).

    Raises:
        InputError: another word.
    """
    if variant not in SAMPLES:
        raise InputError(f"No sample {variant!r}; there are {', '.join(SAMPLES)}.")
    return SAMPLES[variant]
