"""The base of every metric: update with a batch, compute at the end, merge across processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Metric(ABC):
    """Accumulates over batches; ``state`` is what processes exchange.

    A metric is built as ``Metric(**config)`` with JSON values.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the numbers that ``compute`` gives, where they are known before; () = not known. Two metrics of
        one evaluator that share a name are refused before anything is trained."""
        return ()

    @abstractmethod
    def update(self, outputs: dict[str, Any]) -> None:
        """Take in one batch: slot -> SlotEmbedding, head outputs, ``ids``, ``meta`` and ``targets`` as the evaluator
        hands them over (see omni.engine)."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The numbers, by name."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything."""

    @abstractmethod
    def state(self) -> list[Any]:
        """What this process has seen, in a form that can be gathered."""

    @abstractmethod
    def merge(self, states: list[list[Any]]) -> None:
        """Replace the state by that of all processes, in rank order."""
