"""m3mini: pictures, names in several languages and speech, made so that no pair of the three suffices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omni_plugin_m3mini.dataset import M3Mini

__all__ = ["M3Mini"]


def __getattr__(name: str) -> Any:
    """The data set, imported on first use: finding the plugin costs no numpy."""
    if name == "M3Mini":
        from omni_plugin_m3mini.dataset import M3Mini

        return M3Mini
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
