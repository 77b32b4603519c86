"""The optimizer of sharded training: an ordinary one, over this process's rows of every parameter."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from omni.engine import shards
from omni.engine.optim import PrecisionOptimWrapper
from omni.errors import TrainingError
from omni.objectives.gather import world_size

# Of torch: those whose update of an element depends on that element's gradients alone (and on the step).
ELEMENTWISE = (
    "AdamW", "Adam", "SGD", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "ASGD", "Rprop",
)  # fmt: skip


class ShardedOptimWrapper(PrecisionOptimWrapper):
    """Steps plain tensors that share the memory of the shards, so that any element-wise optimizer works, fused too.

    The norm for clipping is that of all processes' rows together. Scalars, which every process holds, get the mean of
    the processes' gradients. Numbers in the state keep the order of one process, so checkpoints can be read with
    another number of processes, or none.

    Args:
        optimizer: over the module's own (sharded) parameters, not stepped yet; its groups are changed to this
            process's rows.
        further arguments: as of PrecisionOptimWrapper.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, **options: Any) -> None:
        self.pairs: list[tuple[nn.Parameter, Tensor]] = []  # (rows that are stepped, parameter of the module)
        for group in optimizer.param_groups:
            rows = [nn.Parameter(shards.local(p.detach())) if shards.is_sharded(p) else p for p in group["params"]]
            self.pairs += zip(rows, group["params"], strict=True)
            group["params"] = rows
        super().__init__(optimizer, **options)

    def step(self, **options: Any) -> None:
        """Take the gradients over, clip and update."""
        for rows, parameter in self.pairs:
            if rows is parameter:
                gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                dist.all_reduce(gradient)
                parameter.grad = gradient.div_(world_size())
            elif parameter.grad is not None:
                rows.grad = shards.local(parameter.grad)
        super().step(**options)

    def zero_grad(self, **options: Any) -> None:
        """Of the rows and of the module's parameters."""
        super().zero_grad(**options)
        for _, parameter in self.pairs:
            parameter.grad = None

    def _clip_grad(self) -> None:
        """As torch.nn.utils.clip_grad_norm_ over all processes; clipping by value needs no other process."""
        options = dict(self.clip_grad_kwargs)
        if self.clip_func is not torch.nn.utils.clip_grad_norm_:
            super()._clip_grad()
            return
        norm = self._norm(float(options.get("norm_type", 2.0)))
        if options.get("error_if_nonfinite", False) and not math.isfinite(norm):
            raise TrainingError(f"The norm of the gradients is {norm}, and clip_grad.error_if_nonfinite is set.")
        factor = min(1.0, float(options["max_norm"]) / (norm + 1e-6))  # torch's formula
        torch._foreach_mul_([rows.grad for rows, _ in self.pairs if rows.grad is not None], factor)
        self.message_hub.update_scalar(f"train/{self.grad_name}", norm)

    def _norm(self, order: float) -> float:
        parts = [(rows.grad, rows is parameter) for rows, parameter in self.pairs if rows.grad is not None]
        spread = [gradient.detach() for gradient, everywhere in parts if not everywhere and gradient.numel()]
        same = [gradient.detach() for gradient, everywhere in parts if everywhere]
        device = self.pairs[0][0].device
        if math.isinf(order):
            found = torch.stack([torch.zeros((), device=device), *(g.abs().max().float() for g in [*spread, *same])])
            total = found.max()
            dist.all_reduce(total, op=dist.ReduceOp.MAX)
            return float(total)
        total = self._power(spread, order, device)
        dist.all_reduce(total)
        return float((total + self._power(same, order, device)) ** (1 / order))

    def _power(self, gradients: list[Tensor], order: float, device: torch.device) -> Tensor:
        if not gradients:
            return torch.zeros((), device=device)
        return torch.stack(torch._foreach_norm(gradients, order)).float().pow(order).sum()

    def whole_state(self) -> dict[str, Any]:
        """``state_dict`` of one process that held all rows. A collective; right on every process."""
        state = self.state_dict()
        found = {}
        for index, entries in state["state"].items():
            rows, parameter = self.pairs[index]
            found[index] = {
                key: shards.whole_like(value, parameter) if self._is_spread(value, rows, parameter) else value
                for key, value in entries.items()
            }
        return {**state, "state": found}

    def load_whole_state(self, state: dict[str, Any]) -> None:
        """Of ``whole_state``, or of one process."""
        found = {}
        for index, entries in state["state"].items():
            parameter = self.pairs[index][1]
            found[index] = {
                key: shards.part_of(value, parameter).clone()
                if isinstance(value, Tensor) and value.shape == parameter.shape
                else value
                for key, value in entries.items()
            }
        self.load_state_dict({**state, "state": found})

    @staticmethod
    def _is_spread(value: Any, rows: Tensor, parameter: Tensor) -> bool:
        return rows is not parameter and isinstance(value, Tensor) and value.shape == rows.shape
