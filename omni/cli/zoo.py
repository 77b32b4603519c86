"""``omni zoo list | show``: the models that installed plugins bring."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from omni.cli.options import AS_JSON

app = typer.Typer(help="The model zoo.", no_args_is_help=True, add_completion=False)


@app.command("list")
def list_entries(
    pattern: Annotated[str, typer.Argument(help="Shell-style pattern of names.")] = "*",
    modality: Annotated[list[str] | None, typer.Option(help="Only models with it; may be repeated.")] = None,
    task: Annotated[str, typer.Option(help="Only models for it.")] = "",
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Name the models that the installed plugins provide."""
    from omni.zoo import describe_entry, find_entries

    entries = find_entries(pattern, modality=modality or (), task=task)
    if as_json:
        typer.echo(json.dumps([describe_entry(entry) for entry in entries], indent=1, ensure_ascii=False))
        return
    if not entries:
        typer.echo("No model matches. Any folder written by omni train or model.save is a model too.")
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("name", no_wrap=True), "modalities", "tasks", "parameters", "weights", "plugin", "summary")
    for entry in entries:
        spec = entry.spec
        shipped = "recipe" if not spec.weights else f"{spec.bytes / 1e6:.1f} MB" if spec.bytes else "yes"
        table.add_row(
            spec.name, ", ".join(spec.modalities), ", ".join(spec.tasks), f"{spec.params:,}", shipped, entry.plugin,
            spec.summary,
        )  # fmt: skip
    Console().print(table)


@app.command("show")
def show_entry(name: str, as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Print all that is known about a model."""
    from omni.plugin.catalog import get_catalog
    from omni.zoo import describe_entry

    facts = describe_entry(get_catalog().get("model", name))
    if as_json:
        typer.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    for key, value in facts.items():
        if key == "results":
            continue
        shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        if shown not in ("", 0):
            typer.echo(f"{key:<13}{shown}")
    for row in facts["results"]:
        typer.echo(f"{'result':<13}" + ", ".join(f"{key} {value}" for key, value in row.items()))
