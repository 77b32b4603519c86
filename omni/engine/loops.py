"""Train and validation loops on mmengine's base loops: exact resuming, omni's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import DataLoader

from omni.engine import seeding
from omni.engine.model_wrapper import TrainingModel
from omni.errors import ConfigError, TrainingError
from omni.metrics.base import Metric
from omni.objectives.gather import rank, world_size


class TrainLoop(IterBasedTrainLoop):
    """Iterations of one stage. The position in the data is set, not skipped to; random numbers depend on the step.

    Args:
        runner: the Runner.
        dataloader: whose sampler (or streaming data set) has a ``start``.
        max_iters: micro-batches of the stage.
        val_begin, val_interval: when to validate; also at the end.
    """

    def __init__(
        self, runner: Any, dataloader: DataLoader, *, max_iters: int, val_begin: int = 1, val_interval: int = 1000
    ) -> None:
        BaseLoop.__init__(self, runner, dataloader)  # the parent's own would start workers before the position is known
        self._max_iters, self._max_epochs = max_iters, 1
        self._iter, self._epoch = 0, 0
        self.val_begin, self.val_interval = val_begin, val_interval
        self.stop_training = False

    @property
    def wrapper(self) -> TrainingModel:
        """The TrainingModel, without DDP around it."""
        model = self.runner.model
        return model if isinstance(model, TrainingModel) else model.module

    def run(self) -> torch.nn.Module:
        """Train from the current iteration to ``max_iters``."""
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        if self._val_is_due() and runner.message_hub.runtime_info.get("last_val") != self._iter:
            runner.val_loop.run()  # the run stopped between a checkpoint and its validation
        if self._iter < self._max_iters:
            self._run_from(self._iter)
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def _run_from(self, start: int) -> None:
        source = self.dataloader.batch_sampler if self.dataloader.batch_sampler is not None else self.dataloader.dataset
        source.start = start
        batches = iter(self.dataloader)
        self.runner.model.train()
        while self._iter < self._max_iters and not self.stop_training:
            batch = next(batches, None)
            if batch is None:
                raise TrainingError(f"The data ended after {self._iter} of {self._max_iters} steps.")
            self.wrapper.step = self._iter
            seeding.seed_everything(self.wrapper.seed, self.wrapper.stage, "step", self._iter, rank())
            self.run_iter(batch)
            if self._val_is_due():
                self.runner.val_loop.run()
                self.runner.model.train()

    def _val_is_due(self) -> bool:
        at = self._iter
        on_time = at >= self.val_begin and at % self.val_interval == 0
        return self.runner.val_loop is not None and at > 0 and (on_time or at == self._max_iters)


class ValLoop(BaseLoop):
    """Validation with omni's metrics; every process sees its part and the states are merged in rank order.

    Args:
        runner: the Runner.
        dataloader: over the validation data, each process its own part.
        metrics: name -> Metric.
        with_loss: also the objectives' losses, on one process only (their collectives need equal batch counts).
    """

    def __init__(
        self, runner: Any, dataloader: DataLoader, *, metrics: dict[str, Metric], with_loss: bool = True
    ) -> None:
        super().__init__(runner, dataloader)
        self.metrics = metrics
        self.with_loss = with_loss and world_size() == 1

    def run(self) -> dict[str, float]:
        """The numbers, by name."""
        runner = self.runner
        runner.call_hook("before_val")
        runner.call_hook("before_val_epoch")
        model = runner.model
        model.eval()
        with runner.strategy.whole(runner.training_model) as whole:
            numbers = evaluate(whole, self.dataloader, self.metrics, with_loss=self.with_loss, runner=runner)
        runner.message_hub.update_info("last_val", runner.iter)
        runner.metrics = numbers
        runner.call_hook("after_val_epoch", metrics=numbers)
        runner.call_hook("after_val")
        return numbers

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Not used: ``evaluate`` goes through the batches."""
        raise NotImplementedError


@torch.no_grad()
def evaluate(
    wrapper: TrainingModel,
    batches: DataLoader,
    metrics: dict[str, Metric],
    *,
    with_loss: bool = False,
    runner: Any = None,
) -> dict[str, float]:
    """Metrics over all batches, and the mean losses weighted by samples.

    Raises:
        ConfigError: two metrics report a number under one name.
    """
    for metric in metrics.values():
        metric.reset()
    sums: dict[str, float] = {}
    seen, step = 0, wrapper.step
    for number, batch in enumerate(batches):
        if not len(batch):  # all of its samples are bad
            if runner is not None:
                runner.call_hook("after_val_iter", batch_idx=number, data_batch=batch, outputs={})
            continue
        wrapper.step = number
        batch = wrapper.data_preprocessor(batch, False)["batch"]
        fp = wrapper.forward_pass(batch)
        outputs = wrapper.predictions(fp)
        for metric in metrics.values():
            metric.update(outputs)
        if with_loss:
            for key, value in wrapper.parse_losses(wrapper.losses(fp))[1].items():
                sums[key] = sums.get(key, 0.0) + value * len(batch)
        seen += len(batch)
        if runner is not None:
            runner.call_hook("after_val_iter", batch_idx=number, data_batch=batch, outputs=outputs)
    wrapper.step = step
    numbers: dict[str, float] = {}
    for name, metric in metrics.items():
        metric.merge(_all_states(metric.state()))
        for key, value in metric.compute().items():
            if key in numbers:
                raise ConfigError(f"Two metrics report {key!r} (the second is {name!r}). Leave one of them out.")
            numbers[key] = float(value)
    numbers.update({f"val_{key}": value / max(1, seen) for key, value in sums.items() if "/count_" not in key})
    return numbers


def _all_states(state: list[Any]) -> list[list[Any]]:
    if world_size() == 1:
        return [state]
    states: Sequence[Any] = [None] * world_size()
    dist.all_gather_object(states, state)
    return list(states)
