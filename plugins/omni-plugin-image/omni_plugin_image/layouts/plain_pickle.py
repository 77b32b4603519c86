"""Pickles that hold nothing but plain containers, strings and numbers, read without unpickling.

A pickle is a program. Here only those of its instructions are carried out that build plain values; each that could name
a class or call anything is refused before it runs, so that a file from anywhere can do no harm.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, ClassVar

from omni.errors import InputError

PLAIN = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
)
_NAMES = {ord(getattr(pickle, name)): name for name in pickle.__all__ if name.isupper() and name.isascii()
          and isinstance(getattr(pickle, name), bytes) and len(getattr(pickle, name)) == 1}  # fmt: skip


class _PlainReader(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """The reader in Python, whose table of instructions can be cut down and whose memo is a dictionary."""

    dispatch: ClassVar[dict[int, Any]] = {
        code: function for code, function in pickle._Unpickler.dispatch.items() if _NAMES.get(code) in PLAIN  # type: ignore[attr-defined]
    }

    def find_class(self, module: str, name: str) -> Any:  # unreachable: no instruction left calls it
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read_plain_pickle(content: bytes) -> Any:
    """The value of a pickle that holds only None, truth values, numbers, strings, lists, tuples and dictionaries.

    Strings that Python 2 wrote are read as Latin-1.

    Raises:
        InputError: it holds anything else, or is damaged.
    """
    try:
        return _PlainReader(io.BytesIO(content), encoding="latin1").load()
    except KeyError as error:
        code = error.args[0] if error.args else None
        if isinstance(code, int) and code in _NAMES:
            raise InputError(
                f"it holds more than plain values (the instruction {_NAMES[code]}), which could run code."
            ) from error
        raise InputError("it is no pickle, or a damaged one.") from error
    except Exception as error:  # a damaged program fails in any way
        raise InputError(f"it is no pickle, or a damaged one: {type(error).__name__}: {error}.") from error
