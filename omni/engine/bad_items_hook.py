"""Samples that were left out of batches: into the run's list, its log and its numbers."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from omni.data.bad_items import OnBad


class BadItemsHook(Hook):
    """Takes up what the batches say they could not read.

    Args:
        on_bad: the run's policy, count and list.
    """

    priority = "HIGH"  # before the numbers are written

    def __init__(self, on_bad: OnBad) -> None:
        self.on_bad = on_bad

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Record; the number of bad items joins the step's."""
        self._record(runner, data_batch)
        if self.on_bad.skips and isinstance(outputs, dict):
            outputs["bad_items"] = float(self.on_bad.count)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Record."""
        self._record(runner, data_batch)

    def _record(self, runner: Any, batch: Any) -> None:
        for item in getattr(batch, "bad", ()):
            before = self.on_bad.count
            self.on_bad.add(item)
            if self.on_bad.count > before:
                runner.logger.info("left out %s: %s", item.id, item.reason)
