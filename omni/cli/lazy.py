"""A group of commands whose modules are imported when a command is used, not when it is listed."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from omni.cli.verbs import VERBS
from omni.errors import OmniError, UnknownComponentError
from omni.plugin.suggest import did_you_mean


class LazyGroup(TyperGroup):
    """The verbs of omni.cli.verbs, then those that plugins bring."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all verbs, omni's own first."""
        return [*VERBS, *(name for name in self._plugin_verbs() if name not in VERBS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command; while help is printed only its name and its one line, without importing it."""
        if self._listing:
            return TyperCommand(name=cmd_name, help=self._summary(cmd_name))
        if cmd_name in VERBS:
            return load_command(cmd_name, VERBS[cmd_name].target)
        spec = self._plugin_verbs().get(cmd_name)
        return load_command(cmd_name, spec.target) if spec else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name.

        Raises:
            UnknownComponentError: there is no such verb.
        """
        if args and args[0] not in VERBS and args[0] not in self._plugin_verbs():
            guess = did_you_mean(args[0], self.list_commands(ctx))
            raise UnknownComponentError(f"No verb {args[0]!r}.{guess} See: omni --help")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Help of the whole: the list of verbs."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def _summary(self, name: str) -> str:
        return VERBS[name].summary if name in VERBS else self._plugin_verbs()[name].summary

    def _plugin_verbs(self) -> dict[str, Any]:
        from omni.plugin.catalog import get_catalog

        try:
            return {entry.spec.name: entry.spec for entry in get_catalog().entries("command")}
        except OmniError:
            if self._listing:
                return {}
            raise


def load_command(name: str, target: str) -> Any:
    """The command behind "module:object": a typer.Typer, or a function with typer annotations."""
    from omni.plugin.catalog import resolve_target

    value = resolve_target(target)
    if not isinstance(value, typer.Typer):
        function, value = value, typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        value.command(name)(function)
    command = typer.main.get_command(value)
    command.name = name
    return command
