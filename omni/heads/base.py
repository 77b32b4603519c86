"""The base of every task head: reads the core's output, gives logits or values, and predictions for people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from omni.types import CoreOutput, HeadOutput, Prediction


class Head(nn.Module, ABC):
    """Built as ``Head(width=D, **config)``; config keys are JSON values, saved with the model.

    Args:
        width: D, the width of the core.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width = width

    @abstractmethod
    def forward(self, core_output: CoreOutput, targets: dict[str, Tensor] | None = None) -> HeadOutput:
        """Values (and the loss, when targets are given) of one batch."""

    @abstractmethod
    def predict(self, core_output: CoreOutput, **options: Any) -> list[Prediction]:
        """One Prediction a sample."""
