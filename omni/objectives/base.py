"""The base of every objective: a thin module over a pure function of ``omni.objectives.functional``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from omni.types import ObjectiveOutput, TrainedGroup

if TYPE_CHECKING:
    from omni.engine.forward_pass import ForwardPass


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """A result of the forward pass that an objective reads; gradient caching detaches and replays it.

    Attributes:
        kind: "embedding", "pooled", "tokens" (of ForwardPass), ...
        slots: the slots it is of, in order.
    """

    kind: str
    slots: tuple[str, ...]


class Objective(nn.Module, ABC):
    """Built as ``Objective(slots=[...], **config)``.

    Args:
        slots: the slots it works on, in order.
        weight: factor of its total in the sum of all objectives.
    """

    def __init__(self, *, slots: Sequence[str], weight: float = 1.0) -> None:
        super().__init__()
        self.slots = tuple(slots)
        self.weight = float(weight)

    @abstractmethod
    def forward(self, fp: ForwardPass) -> ObjectiveOutput:
        """The loss of ``fp.batch``. Runs inside the wrapped model's one forward; every rank makes the same collectives
        in the same order whatever it holds."""

    @abstractmethod
    def reads(self) -> tuple[Leaf, ...]:
        """The leaves that ``forward`` asks of the ForwardPass, known before it runs."""

    def trained_groups(self) -> tuple[TrainedGroup, ...]:
        """Groups of slots whose embeddings mean something together after training; () where none do."""
        return ()

    def bind(self, model: nn.Module) -> None:
        """Called once before training with the OmniModel, for objectives that size parameters by it or check it."""
