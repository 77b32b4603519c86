"""The root of the command line ``omni``. Verbs are imported when they are used: ``omni --help`` loads no torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from omni.cli.lazy import LazyGroup
from omni.errors import OmniError

app = typer.Typer(
    name="omni",
    cls=LazyGroup,
    help="Any-modality foundation models: train, embed and search; everything beyond the core is a plugin.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from omni import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    plugin: Annotated[
        list[Path] | None, typer.Option("--plugin", metavar="FILE", help="Load a one-file plugin; may be repeated.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options before the verb; they hold for every verb."""
    if debug:
        os.environ["OMNI_DEBUG"] = "1"
    if plugin:
        _use_plugin_files(plugin)


def _use_plugin_files(files: list[Path]) -> None:
    """Add one-file plugins to the environment (worker processes inherit it); a broken one is an error at once."""
    from omni.errors import PluginError
    from omni.plugin.catalog import reload
    from omni.plugin.discovery import FILES_VARIABLE

    paths = [str(file.resolve()) for file in files]
    earlier = [part for part in os.environ.get(FILES_VARIABLE, "").split(os.pathsep) if part]
    os.environ[FILES_VARIABLE] = os.pathsep.join(dict.fromkeys([*earlier, *paths]))
    for status in reload().plugins:
        if status.source in paths and not status.ok:
            fix = f" ({status.hint})" if status.hint else ""
            message = f"The plugin file {status.source} is {status.state}: {status.reason}{fix}"
            raise PluginError(message) from status.error


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code: 0, 1 (a check failed), 2 (an error of the user's)."""
    command = typer.main.get_command(app)
    try:
        command.main(args=arguments, prog_name="omni")
    except OmniError as error:
        if os.environ.get("OMNI_DEBUG"):
            raise
        print(f"omni: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
