"""Conditions on metadata: a small language that is parsed here, never evaluated as code.

    class == "cat" and year >= 2001        lang in (fr, de) or not exists(lang)
    year = 1990..1999                      tags contains "night" and id != "a.png"

Operators: = == != < <= > >= in, not in, contains; and, or, not, parentheses, exists(field). A value is a number, a
string in quotes, true, false, null or a bare word (taken as a string); after = also a range LOW..HIGH, ends included,
either end may be left out. A field is a name, a.b for nested metadata, `any text` in backquotes, or id. A comparison
with a field that an item lacks, or of another type, is false.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omni.errors import InputError
from omni.index.columns import Column, Columns

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<range>(?:[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)?\.\.(?:[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)?)
    | (?P<number>[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<quoted>`[^`]+`)
    | (?P<op>==|!=|<=|>=|=|<|>|\(|\)|,)
    | (?P<word>[^\W\d][\w.-]*|\w[\w-]*)
    )""",
    re.VERBOSE,
)
_ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_CONSTANTS = {"true": True, "false": False, "null": None}
MAX_DEPTH = 100

Where = str | Mapping[str, Any]
Mask = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A parsed condition.

    Attributes:
        fields: names whose absence everywhere is a mistake (those of exists(...) are not among them).
        mask: of columns, (N,) bool.
    """

    fields: frozenset[str]
    mask: Callable[[Columns], Mask]


@dataclass(frozen=True, kw_only=True)
class _Token:
    kind: str
    text: str
    at: int


def parse_where(where: Where | Sequence[Where]) -> Filter:
    """A filter of a string of the language, of a mapping, or of several, all of which must hold.

    A mapping's values: a list or set = one of these; a tuple (low, high) = a range, None = open; else equality.

    Raises:
        InputError: not in the language; shows where.
    """
    if isinstance(where, str):
        return _Parser(where).parse()
    if isinstance(where, Mapping):
        parts = [_of_pair(str(field), value) for field, value in where.items()]
    elif isinstance(where, Sequence):
        parts = [parse_where(part) for part in where]
    else:
        raise InputError(f"where={where!r}: give a string such as 'year >= 2001', or a dictionary field -> value.")
    if not parts:
        raise InputError("An empty filter: leave where= out to search everything.")
    return _all(parts)


def _all(parts: Sequence[Filter]) -> Filter:
    fields = frozenset().union(*(part.fields for part in parts))
    return Filter(fields=fields, mask=lambda columns: np.logical_and.reduce([part.mask(columns) for part in parts]))


def _of_pair(field: str, value: Any) -> Filter:
    if isinstance(value, tuple):
        if len(value) != 2 or not all(end is None or _is_number(end) for end in value):
            raise InputError(f"where: {field!r}: a range is (low, high), numbers or None; got {value!r}.")
        return _range(field, *value)
    if isinstance(value, (list, set, frozenset)):
        return _member(field, list(value))
    return _member(field, [value])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _on(field: str, test: Callable[[Column], Mask], *, needed: bool = True) -> Filter:
    return Filter(
        fields=frozenset({field}) if needed else frozenset(), mask=lambda columns: test(columns.column(field))
    )


def _member(field: str, values: Sequence[Any]) -> Filter:
    for value in values:
        if value is not None and not isinstance(value, (str, int, float, bool)):
            raise InputError(f"where: {field!r} is compared with {value!r}; compare with numbers, strings or booleans.")
    return _on(field, lambda column: column.equal(values))


def _range(field: str, low: float | None, high: float | None) -> Filter:
    bounds = [(sign, end) for sign, end in ((">=", low), ("<=", high)) if end is not None]
    if not bounds:
        raise InputError(f"where: the range of {field!r} has no end; use exists({field}).")
    return _on(
        field, lambda column: np.logical_and.reduce([column.compare(_ORDERED[sign], end) for sign, end in bounds])
    )


class _Parser:
    """Recursive descent over: or < and < not < comparison."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._split()
        self.position = 0
        self.depth = 0

    def parse(self) -> Filter:
        if not self.tokens:
            raise InputError("An empty filter: leave where= out to search everything.")
        made = self._or()
        if self.position < len(self.tokens):
            raise self._error("'and' or 'or'")
        return made

    def _split(self) -> list[_Token]:
        tokens, at, end = [], 0, len(self.text.rstrip())
        while at < end:
            match = _TOKEN.match(self.text, at)
            if match is None or match.lastgroup is None:
                raise InputError(f"The filter {self.text!r} cannot be read at character {at + 1}: {self.text[at:]!r}.")
            tokens.append(_Token(kind=match.lastgroup, text=match[match.lastgroup], at=match.start(match.lastgroup)))
            at = match.end()
        return tokens

    def _error(self, wanted: str) -> InputError:
        rest = self.text[self.tokens[self.position].at :] if self.position < len(self.tokens) else "its end"
        return InputError(f"The filter {self.text!r} needs {wanted} at: {rest}")

    def _is(self, *words: str) -> bool:
        """True if the next token is one of these operators or words; then it is taken."""
        if self.position < len(self.tokens):
            token = self.tokens[self.position]
            if token.kind in ("op", "word") and token.text.lower() in words:
                self.position += 1
                return True
        return False

    def _or(self) -> Filter:
        parts = [self._and()]
        while self._is("or"):
            parts.append(self._and())
        if len(parts) == 1:
            return parts[0]
        fields = frozenset().union(*(part.fields for part in parts))
        return Filter(fields=fields, mask=lambda columns: np.logical_or.reduce([part.mask(columns) for part in parts]))

    def _and(self) -> Filter:
        parts = [self._not()]
        while self._is("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else _all(parts)

    def _not(self) -> Filter:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise InputError(f"The filter is nested deeper than {MAX_DEPTH}.")
        try:
            if self._is("not"):
                inner = self._not()
                return Filter(fields=inner.fields, mask=lambda columns: ~inner.mask(columns))
            if self._is("("):
                inner = self._or()
                if not self._is(")"):
                    raise self._error("')'")
                return inner
            return self._comparison()
        finally:
            self.depth -= 1

    def _field(self) -> str:
        if self.position < len(self.tokens):
            token = self.tokens[self.position]
            if token.kind in ("word", "quoted"):
                self.position += 1
                return token.text.strip("`")
        raise self._error("a field")

    def _comparison(self) -> Filter:
        field = self._field()
        if field == "exists" and self._is("("):
            field = self._field()
            if not self._is(")"):
                raise self._error("')'")
            return _on(field, lambda column: column.present(), needed=False)
        if self._is("=", "=="):
            if self.position < len(self.tokens) and self.tokens[self.position].kind == "range":
                low, _, high = self._take().text.partition("..")
                return _range(field, float(low) if low else None, float(high) if high else None)
            return _member(field, [self._value()])
        if self._is("!="):
            value = self._value()
            return _on(field, lambda column: column.present() & ~column.equal([value]))
        if self._is("contains"):
            value = self._value()
            return _on(field, lambda column: column.contains(value))
        negated = self._is("not")
        if self._is("in"):
            values = self._list()
            if negated:
                return _on(field, lambda column: column.present() & ~column.equal(values))
            return _member(field, values)
        for sign, function in _ORDERED.items():
            if not negated and self._is(sign):
                value = self._value()
                if not _is_number(value) and not isinstance(value, str):
                    raise InputError(f"The filter {self.text!r} orders by {value!r}; use a number or a string.")
                return _on(field, lambda column, f=function, v=value: column.compare(f, v))
        raise self._error("an operator (= != < <= > >= in, not in, contains)")

    def _take(self) -> _Token:
        self.position += 1
        return self.tokens[self.position - 1]

    def _list(self) -> list[Any]:
        if not self._is("("):
            raise self._error("'(' and a list of values")
        values = [self._value()]
        while self._is(","):
            values.append(self._value())
        if not self._is(")"):
            raise self._error("')'")
        return values

    def _value(self) -> Any:
        if self.position >= len(self.tokens) or self.tokens[self.position].kind in ("op", "quoted", "range"):
            raise self._error("a value")
        token = self._take()
        if token.kind == "number":
            return int(token.text) if re.fullmatch(r"[-+]?\d+", token.text) else float(token.text)
        if token.kind == "string":
            return re.sub(r"\\(.)", r"\1", token.text[1:-1])
        if token.text.lower() in ("and", "or", "not", "in", "contains"):
            self.position -= 1
            raise self._error("a value (write a string that is a word of the language in quotes)")
        return _CONSTANTS.get(token.text.lower(), token.text)
