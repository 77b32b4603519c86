"""From a row of named numbers to what the adapter reads: the schema's columns as scores, percentiles and flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omni.data.transform import Transform
from omni.errors import ConfigError, InputError
from omni_plugin_tabular.io import load
from omni_plugin_tabular.row import Row
from omni_plugin_tabular.schema import EXAMPLE, Column, Schema, read_schema

UNKNOWN = ("refuse", "ignore")
OUTSIDE = ("refuse", "missing", "clip")
MOST_SCORE = 10.0


class TabularBasic(Transform):
    """Converts units, checks ranges, and places each number among the training rows by the schema's quantiles.

    Args:
        schema: a path of JSON, "package:path/in/package.json", or the JSON form itself; it is saved with the model.
            None = a small example of six columns, for trying and for tests.
        unknown: a column that the schema does not have: "refuse", or "ignore" it.
        outside: a number outside of its column's low..high: "refuse", "missing", or "clip" to the bound.
        require_units: refuse numbers that come without a unit where their column has one.
        drop: chance of each number to be hidden in training; one always stays.

    Raises:
        ConfigError: a schema that cannot be read or has no quantiles; a setting that cannot be meant.
    """

    def __init__(
        self,
        *,
        schema: Any = None,
        unknown: str = "refuse",
        outside: str = "refuse",
        require_units: bool = False,
        drop: float = 0.0,
    ) -> None:
        for what, value, known in (("unknown", unknown, UNKNOWN), ("outside", outside, OUTSIDE)):
            if value not in known:
                raise ConfigError(f"tabular_basic: {what} is one of {', '.join(known)}, not {value!r}.")
        if not 0 <= drop < 1:
            raise ConfigError(f"tabular_basic: drop is a chance from 0 to below 1, not {drop!r}.")
        self.schema: Schema = EXAMPLE if schema is None else read_schema(schema)
        self._given = schema is not None
        if not self.schema.fitted:
            bare = [column.name for column in self.schema.columns if not column.quantiles]
            raise ConfigError(
                f"tabular_basic: the columns {', '.join(bare[:5])} of the {self.schema.source} have no reference "
                "quantiles. Fit them on training rows: omni tabular-schema TABLE --schema OLD --output NEW."
            )
        self.unknown, self.outside = unknown, outside
        self.require_units, self.drop = bool(require_units), float(drop)
        self.deterministic = not self.drop

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """``raw``: a Row, or anything that the loader reads.

        Returns:
            values_C float32 robust scores, within -10..10; percentiles_C float32 in 0..1; valid_C bool, True =
            recorded. C are the schema's columns; what was not recorded is 0.

        Raises:
            InputError: an unknown column, a wrong or missing unit, a number out of range, or no number at all.
        """
        row = raw if isinstance(raw, Row) else load(raw)
        if self.unknown == "ignore":
            row = self.schema.without_unknown(row)
        if self.require_units:
            self._check_units(row)
        values_C, percentiles_C = torch.zeros(len(self.schema)), torch.zeros(len(self.schema))
        valid_C = torch.zeros(len(self.schema), dtype=torch.bool)
        for place, number in self.schema.numbers(row).items():
            column = self.schema.columns[place]
            kept = self._in_range(number, column, row)
            if kept is None:
                continue
            values_C[place] = max(-MOST_SCORE, min(MOST_SCORE, column.score(kept)))
            percentiles_C[place] = column.percentile(kept)
            valid_C[place] = True
        if not valid_C.any():
            raise InputError(
                f"The {row.source} has no number for any of the {len(self.schema)} columns of the "
                f"{self.schema.source}; leave the slot out of the sample."
            )
        if training and self.drop:
            valid_C = self._dropped(valid_C)
        return {
            "values_C": values_C.masked_fill(~valid_C, 0.0),
            "percentiles_C": percentiles_C.masked_fill(~valid_C, 0.0),
            "valid_C": valid_C,
        }

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """values_BC, percentiles_BC, valid_BC."""
        return {f"{name}_BC": torch.stack([item[f"{name}_C"] for item in items]) for name in NAMES}

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        schema: Any = self.schema.to_json() if self._given else None
        if folder is not None and self._given:
            self.schema.save(folder / "schema.json")
            schema = "schema.json"
        return {
            "schema": schema,
            "unknown": self.unknown,
            "outside": self.outside,
            "require_units": self.require_units,
            "drop": self.drop,
        }

    def _check_units(self, row: Row) -> None:
        for name in row.numbers:
            place = self.schema.place(name)
            if place is not None and self.schema.columns[place].unit and name not in row.units:
                raise InputError(
                    f"{name!r} of the {row.source} comes without a unit, and require_units is set; write "
                    f'{{"value": {row.numbers[name]:g}, "unit": ...}} or the unit in the header.'
                )

    def _in_range(self, number: float, column: Column, row: Row) -> float | None:
        if column.within(number) or self.outside == "missing":
            return number if column.within(number) else None
        if self.outside == "clip":
            low = number if column.low is None else max(number, column.low)
            return low if column.high is None else min(low, column.high)
        low, high = ("" if bound is None else f"{bound:g}" for bound in (column.low, column.high))
        raise InputError(
            f"{column.name!r} of the {row.source} is {number:g} {column.unit}".rstrip()
            + f", outside of {low}..{high}: another unit, or a slip? outside='missing' or 'clip' lets it pass."
        )

    def _dropped(self, valid_C: Tensor) -> Tensor:
        kept_C = valid_C & (torch.rand(len(valid_C)) >= self.drop)
        if not kept_C.any():
            kept_C[torch.multinomial(valid_C.float(), 1)] = True
        return kept_C


NAMES = ("values", "percentiles", "valid")
