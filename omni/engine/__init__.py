"""Training. The only place that knows mmengine's model, loop and hook classes; nothing is imported until it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omni.engine.forward_pass import ForwardPass
    from omni.engine.model_wrapper import TrainingModel
    from omni.engine.training import TrainResult, train

_PLACES = {
    "train": "omni.engine.training",
    "TrainResult": "omni.engine.training",
    "ForwardPass": "omni.engine.forward_pass",
    "TrainingModel": "omni.engine.model_wrapper",
}
__all__ = ["ForwardPass", "TrainResult", "TrainingModel", "train"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
