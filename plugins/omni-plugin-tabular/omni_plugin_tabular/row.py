"""The raw value: finite numbers by name, each with the unit it came in, or none; and how one field is read."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from omni.errors import ConfigError, InputError

MISSING_MARKS = ("", "na", "n/a", "nan", "null", "none", "-", ".", "missing", "___")
CENSORED = ("refuse", "bound", "missing")
MOST_NAME = 200
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_FIELD = re.compile(rf"^\s*(<=|>=|<|>)?\s*({_NUMBER})(?:\s*(/?[^\s\d.,;:<>=+_/\-].*?))?\s*$")
_HEADER = re.compile(r"^(.*\S)\s*\[([^\[\]]+)\]\s*$")


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One row of named numbers.

    Attributes:
        numbers: name -> finite number; what is missing is not in it.
        units: name -> the unit that came with the number, where one did.
        names: every name of the source, also those whose value is missing.
        source: what error messages call it.
    """

    numbers: Mapping[str, float]
    units: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    source: str = "row"

    def preview(self) -> str:
        """The numbers in words, for people."""
        told = [f"{name} {value:g} {self.units.get(name, '')}".rstrip() for name, value in self.numbers.items()]
        absent = [name for name in self.names if name not in self.numbers]
        return ", ".join(told) + (f"; missing: {', '.join(absent)}" if absent else "")


@dataclass(frozen=True, kw_only=True)
class FieldOptions:
    """How fields are read.

    Attributes:
        marks: texts (lower case) that mean that nothing was recorded.
        censored: what "<0.01" is: "refuse", "bound" (the number) or "missing".
        rename: the source's name -> the column that it is, or None to leave it out.
    """

    marks: frozenset[str] = frozenset(MISSING_MARKS)
    censored: str = "refuse"
    rename: Mapping[str, str | None] = field(default_factory=dict)


def field_options(*, missing: Iterable[str], censored: str, rename: Mapping[str, str | None] | None) -> FieldOptions:
    """Checked FieldOptions.

    Raises:
        ConfigError: an unknown word for ``censored``; marks or new names that are no text, or marks that are numbers.
    """
    if censored not in CENSORED:
        raise ConfigError(f"tabular: censored is one of {', '.join(CENSORED)}, not {censored!r}.")
    marks = [missing] if isinstance(missing, str) else list(missing)
    wrong = [mark for mark in marks if not isinstance(mark, str)]
    if wrong:
        raise ConfigError(f"tabular: the marks of missing values are texts, not {wrong[0]!r}; write -999 as '-999'.")
    names = dict(rename or {})
    if any(not isinstance(old, str) or not isinstance(new, str | None) for old, new in names.items()):
        raise ConfigError(f"tabular: rename maps names to names or None, not {names!r}.")
    return FieldOptions(marks=frozenset(mark.strip().lower() for mark in marks), censored=censored, rename=names)


def read_fields(fields: Mapping[Any, Any], options: FieldOptions, *, source: str) -> Row:
    """A Row of named fields.

    A field is a number; None, NaN or a mark of missing values; a text of a number with or without a unit behind it;
    a pair (number, unit); or ``{"value": number, "unit": unit}``. A name may hold the unit: "Sodium [mmol/L]".

    Raises:
        InputError: a field that is none of these, infinity, two fields of one name, two units of one number.
    """
    found: dict[str, float] = {}
    units: dict[str, str] = {}
    names: list[str] = []
    for key, value in fields.items():
        name, unit = _name(key, source)
        if key in options.rename or name in options.rename:
            new = options.rename.get(key, options.rename.get(name))
            if new is None:
                continue
            name = new
        if name in names:
            raise InputError(f"The {source} has the column {name!r} twice; leave one out, or rename it.")
        names.append(name)
        number, own = _number(value, options, where=f"{name!r} of the {source}")
        if number is None:
            continue
        if own and unit and own != unit:
            raise InputError(f"The column {name!r} of the {source} is in {unit!r}, but its value says {own!r}.")
        found[name] = number
        if own or unit:
            units[name] = own or str(unit)
    return Row(numbers=found, units=units, names=tuple(names), source=source)


def split_header(text: str) -> tuple[str, str | None]:
    """ "Sodium [mmol/L]" -> ("Sodium", "mmol/L"); a name without brackets has no unit."""
    match = _HEADER.match(text.strip())
    return (match[1].strip(), match[2].strip()) if match else (text.strip(), None)


def _name(key: Any, source: str) -> tuple[str, str | None]:
    if not isinstance(key, str) or not key.strip():
        raise InputError(f"The {source} has a column without a name ({key!r}); columns are found by their names.")
    if len(key) > MOST_NAME:
        raise InputError(f"The {source} has a column name of {len(key)} characters; is its first line the header?")
    return split_header(key)


def _number(value: Any, options: FieldOptions, *, where: str) -> tuple[float | None, str | None]:
    """(number, unit); (None, ...) where nothing was recorded."""
    unit = None
    if isinstance(value, Mapping):
        if set(value) - {"value", "unit"} or "value" not in value:
            raise InputError(f"The value {where} is a mapping with {list(value)}; it has 'value' and 'unit'.")
        value, unit = value["value"], value.get("unit")
    elif isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise InputError(f"The value {where} is {_shown(value)}; a pair is (number, unit).")
        value, unit = value
    if unit is not None and not isinstance(unit, str):
        raise InputError(f"The unit of {where} is {_shown(unit)}, not a text.")
    unit = unit.strip() or None if unit else None
    if isinstance(value, str):
        number, own = _text(value, options, where)
        if own and unit and own != unit:
            raise InputError(f"The value {where} is {value!r}, but its unit is given as {unit!r}.")
        return number, own or unit
    if value is None:
        return None, unit
    return _finite(_plain(value), where), unit


def _plain(value: Any) -> Any:
    """Scalars of arrays and tensors as Python's numbers."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def _text(text: str, options: FieldOptions, where: str) -> tuple[float | None, str | None]:
    if text.strip().lower() in options.marks:
        return None, None
    match = _FIELD.match(text)
    if match is None:
        raise InputError(
            f"The value {where} is {_shown(text)}, which is no number (decimal point, no thousands separators). "
            "If it means that nothing was recorded, name it in the loader's missing=[...]."
        )
    if match[1] and options.censored == "refuse":
        raise InputError(
            f"The value {where} is {_shown(text)}, a limit and not a measurement. Choose the loader's censored='bound' "
            "(take the limit) or 'missing'."
        )
    if match[1] and options.censored == "missing":
        return None, None
    return _finite(float(match[2]), where), match[3]


def _finite(value: Any, where: str) -> float | None:
    """The number; None for NaN, which tables use for an empty field."""
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        raise InputError(f"The value {where} is {_shown(value)}; a number is needed.")
    try:
        number = float(value)
    except (OverflowError, ValueError) as error:
        raise InputError(f"The value {where} is {_shown(value)}, which is no number that can be used.") from error
    if math.isinf(number):
        raise InputError(f"The value {where} is infinite or too large; correct it, or leave it out.")
    return None if math.isnan(number) else number


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = f"a very large {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
