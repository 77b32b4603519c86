"""``omni plugins``: list, check and write plugins."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from omni.cli.options import AS_JSON
from omni.errors import ConfigError, UnknownComponentError
from omni.plugin.catalog import Catalog
from omni.plugin.discovery import Switches
from omni.plugin.manager import PluginManager
from omni.plugin.status import PluginStatus
from omni.plugin.suggest import did_you_mean

app = typer.Typer(help="List, check and write plugins.", no_args_is_help=True, add_completion=False)
STYLES = {"ok": "green", "broken": "red", "incompatible": "yellow", "disabled": "dim"}


def look() -> Catalog:
    """The catalog, also under OMNI_STRICT_PLUGINS: these verbs are there to show what is wrong."""
    manager = PluginManager(replace(Switches.from_environment(), strict=False))
    manager.load_all()
    return Catalog(manager)


@app.command("list")
def list_plugins(as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Every plugin that was found: what it provides, and if it does not work, why."""
    catalog = look()
    if as_json:
        document = {"plugins": [status.to_dict() for status in catalog.plugins], "problems": list(catalog.problems)}
        typer.echo(json.dumps(document, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "distribution", "version", "api", "status"):
        table.add_column(column, no_wrap=True)
    table.add_column("provides", overflow="fold")
    for status in catalog.plugins:
        row = (status.name, status.distribution, status.version or "-", "-" if status.api is None else str(status.api))
        state = f"[{STYLES[status.state]}]{status.state}[/]"
        table.add_row(*map(escape, row), state, escape(describe(status)))
    console = Console()
    console.print(table)
    for problem in catalog.problems:
        console.print(f"[yellow]{escape(problem)}[/]")


def provided(status: PluginStatus) -> dict[str, list[str]]:
    """What a plugin provides by kind; augmentations and tokenizers apart from the other transforms."""
    found: dict[str, list[str]] = {}
    for spec in status.specs:
        role = getattr(spec, "role", spec.kind)
        found.setdefault("augmentation" if role == "augment" else role, []).append(spec.name)
    return found


def describe(status: PluginStatus) -> str:
    """What a plugin provides, or why it does not work; one cell of the table."""
    lines = []
    if status.ok:
        lines.append("; ".join(f"{kind} {', '.join(names)}" for kind, names in provided(status).items()) or "nothing")
    else:
        lines.append(status.reason + (f" -> {status.hint}" if status.hint else ""))
    lines.extend(f"note: {note}" for note in status.notes)
    lines.extend(status.info.notices if status.info else ())
    return "\n".join(lines)


@app.command("show")
def show_plugin(name: Annotated[str, typer.Argument(help="The plugin's name, as in `omni plugins list`.")]) -> None:
    """What a plugin provides, each with its summary."""
    found = find(look(), name)
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for status in found:
        console.print(escape(f"{status.name} ({status.distribution} {status.version or '-'}): {status.state}"))
        if not status.ok:
            console.print(escape(describe(status)))
            continue
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("kind", "name", "for", "summary"):
            table.add_column(column, overflow="fold")
        kinds = {item: kind for kind, names in provided(status).items() for item in names}
        for spec in status.specs:
            row = (kinds[spec.name], spec.name, getattr(spec, "modality", ""), getattr(spec, "summary", ""))
            table.add_row(*map(escape, row))
        console.print(table)
        for notice in status.info.notices if status.info else ():
            console.print(f"[yellow]{escape(notice)}[/]")


def find(catalog: Catalog, name: str) -> list[PluginStatus]:
    """The plugins of a name.

    Raises:
        UnknownComponentError: there is none.
    """
    found = [status for status in catalog.plugins if status.name == name]
    if not found:
        names = sorted({status.name for status in catalog.plugins})
        listed = ", ".join(names) or "none"
        raise UnknownComponentError(f"No plugin {name!r}. Installed: {listed}.{did_you_mean(name, names)}")
    return found


@app.command("check")
def check_plugin(
    name: Annotated[str, typer.Argument(help="The plugin's name, as in `omni plugins list`.")],
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Show why a plugin does not work, and run the contract tests of what it provides. Exit code 1: something fails."""
    from omni.testing.report import check_status

    found = find(look(), name)
    from rich.console import Console

    with Console(stderr=True).status(f"checking {name}") as line:
        reports = [check_status(status, lambda check: line.update(f"checking {name}: {check}")) for status in found]
    if as_json:
        typer.echo(json.dumps([report.to_dict() for report in reports], indent=2))
    else:
        for report in reports:
            typer.echo(report.to_text())
    if not all(report.passed for report in reports):
        raise typer.Exit(1)


@app.command("new")
def new_plugin(
    name: Annotated[str, typer.Argument(help="The plugin's name: small letters, digits, underscores.")],
    directory: Annotated[Path, typer.Option("--dir", help="Where the folder omni-plugin-NAME is made.")] = Path("."),
    modality: Annotated[str, typer.Option(help="The modality's name, if not the plugin's.")] = "",
    layout: Annotated[str, typer.Option(help="What the modality's values are: 1d (signals) or 2d (fields).")] = "2d",
    author: Annotated[str, typer.Option(help="For pyproject.toml.")] = "",
) -> None:
    """Write a plugin: a whole distribution with a small real modality that passes its own contract tests."""
    from omni.plugin.scaffold import write_plugin

    if layout not in ("1d", "2d"):
        raise ConfigError(f"--layout {layout!r} is neither 1d nor 2d.")
    folder = write_plugin(name, directory=directory, modality=modality or name, layout=layout, author=author)
    typer.echo(f"Wrote {folder}\n\nNext:\n  pip install -e {folder}\n  omni plugins check {name}\n  pytest {folder}")
