"""``omni gallery``: look after an index that ``omni index`` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omni.cli.options import INDEX, KIND, QUIET
from omni.errors import InputError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def gallery() -> None:
    """Look after an index: what it holds, delete items, free their space, check its files."""


@app.command()
def info(folder: Annotated[Path, INDEX]) -> None:
    """What an index holds, of which kind, and why."""
    from omni.index import Index

    opened = Index.open(folder)
    typer.echo(opened.describe())
    for group in opened.trained_groups:
        typer.echo(f"trained together: {' + '.join(group.slots)} ({group.score})")
    typer.echo(f"model: {opened.model_path or 'not known'}")


@app.command()
def delete(
    folder: Annotated[Path, INDEX],
    ids: Annotated[list[str] | None, typer.Argument(help="Names of items.")] = None,
    where: Annotated[str | None, typer.Option(help="All that fit, e.g. 'year < 1990'.", show_default=False)] = None,
) -> None:
    """Delete items by name, or all whose metadata fit."""
    from omni.index import Index

    if bool(ids) == (where is not None):
        raise InputError("Say what to delete: either names or --where.")
    with Index.open(folder, write=True) as opened:
        count = opened.delete(ids or None, where=where)
        typer.echo(f"{count} deleted, {len(opened)} left: {folder}")


@app.command()
def compact(
    folder: Annotated[Path, INDEX],
    kind: Annotated[str | None, KIND] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Free the space of deleted items, and build the structure that fits the size (or --kind)."""
    from omni.index import Index

    with Index.open(folder, write=True) as opened:
        opened.compact(kind=kind, progress=False if quiet else None)
        typer.echo(opened.describe())


@app.command()
def verify(folder: Annotated[Path, INDEX]) -> None:
    """Read every file and compare its checksum; exit code 1 if one is not what was written."""
    from omni.index import Index

    wrong = Index.open(folder).verify()
    for path in wrong:
        typer.echo(f"damaged: {path}")
    if wrong:
        raise typer.Exit(1)
    typer.echo(f"In order: {folder}")
