"""One field of all items' metadata as arrays, made when a filter first asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ABSENT = object()
ID = "id"


class Column:
    """The values of one field.

    Args:
        values: N values; ABSENT where an item lacks the field.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        known: dict[Any, int] = {}
        self.unique: list[Any] = []
        self.codes_N = np.empty(len(values), np.int64)
        for row, value in enumerate(values):
            key = _key(value)
            code = known.get(key)
            if code is None:
                code = known[key] = len(self.unique)
                self.unique.append(value)
            self.codes_N[row] = code
        self._known = known

    def present(self) -> np.ndarray:
        """(N,) True where the item has the field."""
        return self.codes_N != self._known.get(_key(ABSENT), -1)

    def equal(self, values: Sequence[Any]) -> np.ndarray:
        """(N,) True where the value is one of these."""
        codes = [code for value in values if (code := self._known.get(_key(value))) is not None]
        return np.isin(self.codes_N, codes)

    def compare(self, function: Callable[[Any, Any], Any], value: float | str) -> np.ndarray:
        """(N,) True where the value is of the kind of ``value`` and function(value of the item, ``value``) holds."""
        kind = str if isinstance(value, str) else (int, float)
        return self._each(lambda v: isinstance(v, kind) and not isinstance(v, bool) and bool(function(v, value)))

    def contains(self, value: Any) -> np.ndarray:
        """(N,) True where the value is a string with this string in it, or a list with this value in it."""
        wanted = _key(value)
        text = value if isinstance(value, str) else None
        return self._each(
            lambda v: (
                any(_key(item) == wanted for item in v)
                if isinstance(v, list)
                else text is not None and isinstance(v, str) and text in v
            )
        )

    def _each(self, test: Callable[[Any], bool]) -> np.ndarray:
        """A test of each different value, spread to the items."""
        told = np.fromiter((test(value) for value in self.unique), bool, len(self.unique))
        return told[self.codes_N]


class Columns:
    """The metadata of some items, by field.

    Args:
        ids, metadata: of N items.
    """

    def __init__(self, ids: Sequence[str], metadata: Sequence[dict[str, Any]]) -> None:
        self.ids = ids
        self.metadata = metadata
        self._made: dict[str, Column] = {}

    def column(self, field: str) -> Column:
        """The column of a field: its name, a.b for nested metadata, or id (unless the metadata has an "id")."""
        if field not in self._made:
            values = [look_up(item, field) for item in self.metadata]
            if field == ID and all(value is ABSENT for value in values):
                values = list(self.ids)
            self._made[field] = Column(values)
        return self._made[field]

    def fields(self) -> set[str]:
        """Names of all fields at the top."""
        return {field for item in self.metadata for field in item}


def look_up(item: dict[str, Any], field: str) -> Any:
    """The value of a field, or ABSENT."""
    if field in item:
        return item[field]
    value: Any = item
    for name in field.split("."):
        if not isinstance(value, dict) or name not in value:
            return ABSENT
        value = value[name]
    return value


def _key(value: Any) -> Any:
    """What makes two JSON values the same: true is not 1, but 1 is 1.0."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, (dict, list)):
        return ("json", json.dumps(value, sort_keys=True))
    return value
