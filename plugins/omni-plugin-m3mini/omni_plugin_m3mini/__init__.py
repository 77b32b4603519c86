"""m3mini: pictures, names in several languages and speech, made so that no pair of the three suffices."""

from __future__ import annotations

from omni_plugin_m3mini.dataset import M3Mini

__all__ = ["M3Mini"]
