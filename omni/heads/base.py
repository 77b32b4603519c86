"""The base of every task head: reads the core's output, gives logits or values, and predictions for people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from omni.types import CoreOutput, HeadOutput, Prediction


class Head(nn.Module, ABC):
    """Built as ``Head(width=D, **config)``; config keys are JSON values, saved with the model.

    Args:
        width: D, the width of the core.
        fused: the slots that it reads attend to each other in one sequence; False = each goes through the core alone
            and their states lie beside one another.
        vocabulary: the slot whose transform turns this head's values into what people read, by its ``decode`` (token
            ids into text); None = values are as people want them.

    Attributes:
        part_names: of the numbers in ``HeadOutput.parts``, means over the same things as the loss. They are known
            before a batch is, so that processes which hold nothing can take part in the averages.
    """

    part_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, width: int, fused: bool = True, vocabulary: str | None = None) -> None:
        super().__init__()
        self.width = width
        self.fused = fused
        self.vocabulary = vocabulary

    @abstractmethod
    def forward(self, core_output: CoreOutput, targets: dict[str, Tensor] | None = None) -> HeadOutput:
        """Values (and the loss, when targets are given) of one batch."""

    @abstractmethod
    def predict(self, core_output: CoreOutput, **options: Any) -> list[Prediction]:
        """One Prediction a sample."""
