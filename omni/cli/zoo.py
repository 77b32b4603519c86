"""``omni zoo list | show | push``: the models that installed plugins bring; giving a trained one away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from omni.cli.options import AS_JSON
from omni.cli.slots import require_name

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


@app.command("push")
def push(
    model: Annotated[Path, typer.Argument(help="A model folder: what omni train or model.save wrote.")],
    destination: Annotated[str, typer.Argument(help="A folder, or hf:OWNER/NAME of the Hugging Face hub.")],
    public: Annotated[bool, typer.Option("--public", help="A repository that is made for it is open to all.")] = False,
) -> None:
    """Copy a model to a folder or upload it, with card and checksums; refused where its data's terms forbid it."""
    from omni.publishing import push as push_model

    require_name(str(model), "model folder")
    require_name(destination, "destination")
    done = push_model(model, destination, public=public)
    for name, digest in done.files.items():
        typer.echo(f"{digest}  {name}")
    typer.echo(f"Pushed to {done.place}")
