"""The command line ``omni``; the package itself loads nothing, since the plugin host reads the table of verbs in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omni.cli.root import app, main

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    """``app`` and ``main``, with typer, on first use."""
    if name in __all__:
        from omni.cli import root

        return getattr(root, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
