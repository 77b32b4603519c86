"""How a stage's model lies over the processes. Here: every process holds all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from omni.engine.ema import EmaHook
from omni.engine.model_wrapper import TrainingModel
from omni.engine.optim import PrecisionOptimWrapper, build_optim_wrapper
from omni.objectives.gather import world_size
from omni.types import Batch


class TrainingDDP(DistributedDataParallel):
    """DDP that mmengine's loops can step. Every rank touches every trainable parameter, so none is looked for."""

    module: TrainingModel

    def train_step(self, data: Batch, optim_wrapper: PrecisionOptimWrapper) -> dict[str, float]:
        """One micro-batch; gradient caching averages gradients itself, without DDP."""
        if self.module.grad_cache_chunk is not None:
            return self.module.train_step(data, optim_wrapper)
        with optim_wrapper.optim_context(self):
            losses = self(**self.module.data_preprocessor(data, True), mode="loss")
        loss, log = self.module.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return log

    def val_step(self, data: Batch) -> dict[str, Any]:
        """Without DDP."""
        return self.module.val_step(data)


class WholeStrategy:
    """``strategy=dict(type="ddp")``, the default: one process, or DistributedDataParallel.

    A strategy places a stage's model, wraps it for mmengine's loops, builds the optimizer over what this process holds,
    and turns states into whole tensors for checkpoints and back. All of it is called alike on every process.

    Args:
        device: of this process.
    """

    sharded = False

    def __init__(self, *, device: torch.device) -> None:
        self.device = device

    def check(self, stage: Any, *, grad_cache: int | None) -> None:
        """Raise a ConfigError for what a stage asks and this strategy cannot do. Nothing here."""

    def place(self, wrapper: TrainingModel) -> TrainingModel:
        """The model to train in this stage."""
        return wrapper

    def wrap(self, placed: TrainingModel) -> nn.Module:
        """What the loops step."""
        return placed if world_size() == 1 else TrainingDDP(placed)

    def optim_wrapper(self, config: Mapping[str, Any], placed: TrainingModel) -> PrecisionOptimWrapper:
        """The optimizer of what this process holds."""
        return build_optim_wrapper(config, placed, self.device)

    @contextmanager
    def whole(self, placed: TrainingModel) -> Iterator[TrainingModel]:
        """A model with all current weights on this process, for validation."""
        yield placed

    def collect(self, placed: TrainingModel) -> None:
        """Bring the trained weights back into the model that ``place`` was given."""

    def weights(self, placed: TrainingModel) -> dict[str, Tensor]:
        """Whole weights; need be right on the first process only."""
        return placed.state_dict()

    def load_weights(self, placed: TrainingModel, state: Mapping[str, Tensor]) -> None:
        """What ``weights`` gave."""
        placed.load_state_dict(state)

    def optimizer_state(self, optim_wrapper: PrecisionOptimWrapper) -> dict[str, Any]:
        """Whole state; need be right on the first process only."""
        return optim_wrapper.state_dict()

    def load_optimizer(self, optim_wrapper: PrecisionOptimWrapper, state: dict[str, Any]) -> None:
        """What ``optimizer_state`` gave, under any strategy."""
        optim_wrapper.load_state_dict(state)

    def average(self, ema: EmaHook | None, placed: TrainingModel) -> dict[str, Any] | None:
        """Whole averaged weights."""
        return None if ema is None else ema.state_dict()

    def load_average(self, ema: EmaHook | None, placed: TrainingModel, state: dict[str, Any] | None) -> None:
        """What ``average`` gave."""
        if ema is not None and state is not None:
            ema.load_state_dict(state)


def build_strategy(config: Mapping[str, Any] | None, device: torch.device) -> WholeStrategy:
    """From ``strategy=dict(type="ddp" | "fsdp", ...)``; None = "ddp"."""
    from omni.registry import STRATEGIES

    return STRATEGIES.build({"type": "ddp", **(config or {}), "device": device})
