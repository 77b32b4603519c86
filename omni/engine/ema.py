"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from omni.engine.shards import local
from omni.errors import ConfigError


class EmaHook(Hook):
    """Averages the trainable parameters after every update; validation and the exported model use the average.

    Of sharded parameters each process averages its own rows.

    Args:
        decay: weight of the old average; early on (1 + t) / (10 + t) if that is smaller: the start is forgotten.
        every: micro-batches between updates (the accumulation count).
    """

    priority = "NORMAL"

    def __init__(self, *, decay: float = 0.999, every: int = 1) -> None:
        if not 0 < decay < 1:
            raise ConfigError(f"ema.decay is {decay}: it must lie between 0 and 1.")
        self.decay, self.every = decay, every
        self.updates = 0
        self.average: dict[str, Tensor] = {}

    def start(self, module: nn.Module) -> None:
        """Begin with the module's current weights."""
        self.updates = 0
        self.average = {name: local(p.detach()).clone() for name, p in module.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """One update."""
        if (runner.iter + 1) % self.every:
            return
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.average.values()), self._live(runner.training_model), 1 - decay)

    def _live(self, module: nn.Module) -> list[Tensor]:
        parameters = dict(module.named_parameters())
        return [local(parameters[name].detach()) for name in self.average]

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the module's weights and the average; twice is nothing."""
        for average, live in zip(self.average.values(), self._live(module), strict=True):
            kept = live.clone()
            live.copy_(average)
            average.copy_(kept)

    def before_val_epoch(self, runner: Any) -> None:
        """Validate the average."""
        self.swap(runner.training_model)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Back to the live weights."""
        self.swap(runner.training_model)

    def state_dict(self) -> dict[str, Any]:
        """Average and count of updates."""
        return {"updates": self.updates, "average": dict(self.average)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What ``state_dict`` gave."""
        self.updates = int(state["updates"])
        for name, value in state["average"].items():
            self.average[name].copy_(value)
