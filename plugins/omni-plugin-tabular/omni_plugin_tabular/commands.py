"""``omni tabular-schema``: fit the reference quantiles of a training table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def schema(
    table: Annotated[Path, typer.Argument(help="Training rows: CSV, TSV, Parquet or JSON lines.")],
    output: Annotated[Path, typer.Option(help="The schema to write (JSON).")],
    columns: Annotated[str, typer.Option(help="Names with commas between them; default: all columns of numbers.")] = "",
    old: Annotated[str, typer.Option("--schema", help="Take columns, units and ranges from this schema.")] = "",
    points: Annotated[int, typer.Option(help="How many quantiles of each column.")] = 101,
) -> None:
    """Fit the columns' reference quantiles on a training table and write the schema."""
    from omni.errors import ConfigError
    from omni_plugin_tabular.fitting import fit_table

    if old and columns:
        raise ConfigError("Give --schema or --columns, not both.")
    chosen = [name.strip() for name in columns.split(",")] if columns else None
    fitted, counts = fit_table(table, schema=old or None, columns=chosen, points=points)
    fitted.save(output)
    for column in fitted.columns:
        low, middle, high = (column.quantiles[round(part * (len(column.quantiles) - 1))] for part in (0, 0.5, 1))
        typer.echo(f"{column.name}: {counts[column.name]} numbers, {low:g} .. {middle:g} .. {high:g} {column.unit}")
    typer.echo(f"wrote {output} with {len(fitted)} columns")
