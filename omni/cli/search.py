"""``omni search``: what in an index is nearest to a query of one or several slots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omni.cli.options import AS_JSON, DEVICE, INDEX, QUERY
from omni.cli.slots import ANY_SLOT, read_slots, require_name
from omni.errors import InputError

if TYPE_CHECKING:
    from omni.index import IndexResult

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(context_settings=ANY_SLOT)
def search(
    ctx: typer.Context,
    index: Annotated[str, INDEX],
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 5,
    query: Annotated[list[str] | None, QUERY] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="SLOT=VALUE", help="Results should not be like this; again for more."),
    ] = None,
    not_weight: Annotated[float, typer.Option(min=0, help="How much --not counts beside the query.")] = 0.5,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Only items that fit: class=cat, year=1990..1999, 'a > 1 or b in (x)'."),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(metavar="SLOT", help="Compare with this slot of the items only.")
    ] = None,
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="Scores as standard deviations above the query's mean.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every item, also in an approximate index.")] = False,
    model: Annotated[str | None, typer.Option(help="Instead of the place the index remembers.")] = None,
    device: Annotated[str | None, DEVICE] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Search with --SLOT VALUE ...; several slots are one query, scored as the model was trained."""
    from omni.index import Index
    from omni.inference import load

    require_name(index, "index's folder")
    given = read_slots(ctx.args, query or ())
    for slot, values in given.items():
        if len(values) > 1:
            raise InputError(f"--{slot} has {len(values)} values; one query takes one value a slot.")
    if not given:
        raise InputError("Name a query: --SLOT VALUE, for one or several slots.")
    opened = Index.load(Path(index), model=None if model is None else load(model, device=device))
    results = opened.search(
        k=k,
        where=where or None,
        exclude=[_unlike(text) for text in unlike or ()],
        exclude_weight=not_weight,
        target=target or None,
        calibrated=calibrated or None,
        exact=exact,
        **{slot: values[0] for slot, values in given.items()},
    )
    if as_json:
        rows = [{"rank": r.rank, "id": r.id, "score": r.score, "slot": r.slot, "metadata": r.metadata} for r in results]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    _print_table(results)


def _unlike(text: str) -> dict[str, str]:
    slot, equals, value = text.partition("=")
    if not equals or not slot:
        raise InputError(f"--not {text!r}: write it as slot=value.")
    return {slot: value}


def _print_table(results: Sequence[IndexResult]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    told = {key for r in results for key, value in r.metadata.items() if value != r.id}  # a path is often both
    columns = [key for key in dict.fromkeys(key for r in results for key in r.metadata) if key in told][:4]
    table = Table("rank", "score", Column("id", overflow="fold"), *columns)
    for result in results:
        shown = [str(result.metadata.get(column, "")) for column in columns]
        table.add_row(str(result.rank), f"{result.score:.4f}", result.id, *shown)
    Console().print(table)
