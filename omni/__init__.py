"""omni: one shared transformer core for any modality, everything else as plugins.

    import omni
    model = omni.load("omni-tiny-m3mini")
    embeddings = model.encode(image=["cat.png"], text=["a cat"])

Importing this package imports neither torch nor any plugin; the names below are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omni.core.model import OmniModel
    from omni.inference import OmniPredictor, load
    from omni.plugin.hookspecs import hookimpl
    from omni.plugin.listing import list_modalities, list_systems
    from omni.zoo import list_models

__version__ = "0.1.0"

_LAZY = {
    "load": "omni.inference",
    "OmniPredictor": "omni.inference",
    "OmniModel": "omni.core.model",
    "hookimpl": "omni.plugin.hookspecs",
    "list_models": "omni.zoo",
    "list_modalities": "omni.plugin.listing",
    "list_systems": "omni.plugin.listing",
}

__all__ = [
    "OmniModel",
    "OmniPredictor",
    "__version__",
    "hookimpl",
    "list_modalities",
    "list_models",
    "list_systems",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'omni' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
