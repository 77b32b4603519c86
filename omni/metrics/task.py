"""How well a head does its task on held-out data: its own loss and numbers, over all samples of all processes."""

from __future__ import annotations

from typing import Any

from omni.errors import ConfigError
from omni.metrics.base import Metric


class TaskNumbers(Metric):
    """Loss and parts (accuracy, ...) of an objective ``task``, as means over what it counts.

    Args:
        objective: its name in the run: "task", or the second one's "task_1"; "" = the only one.
        prefix: before the names of the numbers.
    """

    def __init__(self, *, objective: str = "", prefix: str = "") -> None:
        self.objective, self.prefix = objective, prefix
        self.reset()

    def update(self, outputs: dict[str, Any]) -> None:
        """Run the head over one batch.

        Raises:
            ConfigError: the run has no such objective, or several and none was named.
        """
        tasks = outputs.get("tasks") or {}
        fitting = [self.objective] if self.objective in tasks else list(tasks) if not self.objective else []
        if len(fitting) != 1:
            has = ", ".join(tasks) or "none"
            raise ConfigError(
                f"The metric 'task' needs one objective over a head; the run has {has}. Name it: objective=..."
            )
        for group, found in tasks[fitting[0]]().items():
            count = found.number
            numbers = {"loss": found.loss, **found.parts}
            for name, value in numbers.items():
                if value is not None and count:
                    label = f"{group}/{name}" if group else name
                    total, things = self.sums.get(label, (0.0, 0))
                    self.sums[label] = (total + float(value.detach()) * count, things + count)

    def compute(self) -> dict[str, float]:
        """name -> mean."""
        return {f"{self.prefix}{name}": total / count for name, (total, count) in self.sums.items()}

    def reset(self) -> None:
        """Forget everything."""
        self.sums: dict[str, tuple[float, int]] = {}

    def state(self) -> list[Any]:
        """Sums and counts."""
        return [dict(self.sums)]

    def merge(self, states: list[list[Any]]) -> None:
        """Sums and counts of all processes."""
        self.reset()
        for (sums,) in states:
            for name, (total, count) in sums.items():
                before, things = self.sums.get(name, (0.0, 0))
                self.sums[name] = (before + total, things + count)
