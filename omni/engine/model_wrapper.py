"""The one place that speaks mmengine's BaseModel: the model and its objectives inside one forward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from omni.core.model import OmniModel
from omni.engine import grad_cache, seeding
from omni.engine.data_preprocessor import BatchPreprocessor
from omni.engine.forward_pass import ForwardPass
from omni.engine.freeze import hold_statistics
from omni.engine.lockstep import LockstepPass
from omni.engine.shards import is_sharded, local
from omni.errors import ConfigError, TrainingError
from omni.objectives.base import Objective
from omni.objectives.gather import world_size
from omni.objectives.task import Task
from omni.types import Batch, ObjectiveOutput, TrainedGroup


class TrainingModel(BaseModel):
    """OmniModel plus objectives; DDP wraps this and sees nothing but its ``forward``.

    Args:
        model: the OmniModel.
        objectives: name -> Objective, in the order in which they run.
        seed: of the permutations and masks that objectives draw; alike on every rank.
        grad_cache_chunk: samples of a chunk of gradient caching; None = one pass.

    Attributes:
        stage: name of the current stage, part of every seed.
        step: number of the current training step; the loop sets it.
        lockstep: every process must run the core's blocks equally often (they are sharded).
    """

    def __init__(
        self,
        model: OmniModel,
        objectives: Mapping[str, Objective],
        *,
        seed: int = 0,
        grad_cache_chunk: int | None = None,
    ) -> None:
        super().__init__(data_preprocessor=BatchPreprocessor())
        self.model = model
        self.objectives = nn.ModuleDict(dict(objectives))
        self.seed = seed
        self.stage = "train"
        self.step = 0
        self.lockstep = False
        self.grad_cache_chunk = grad_cache_chunk
        for objective in self.objectives.values():
            objective.bind(model)
        if grad_cache_chunk is not None:
            grad_cache.check(self.objectives)

    def init_weights(self) -> None:
        """Nothing: modules initialise themselves when they are built."""

    def train(self, mode: bool = True) -> TrainingModel:
        """Training or evaluation mode; the running statistics of frozen norms stay as they are."""
        super().train(mode)
        if mode:
            hold_statistics(self.model)
        return self

    def trained_groups(self) -> list[TrainedGroup]:
        """The groups of all objectives with a weight, each once, in order."""
        groups = (group for item in self.objectives.values() if item.weight for group in item.trained_groups())
        return list(dict.fromkeys(groups))

    def forward(self, batch: Batch, mode: str = "loss") -> dict[str, Any]:
        """One batch.

        Args:
            batch: on the model's device.
            mode: "loss" -> {"loss": scalar, further numbers for the log}; "predict" -> what metrics take in (see
                omni.metrics.base.Metric.update); "tensor" -> slot -> (S, E).
        """
        if mode == "loss":
            return self.losses(self.forward_pass(batch))
        if mode == "predict":
            return self.predictions(self.forward_pass(batch))
        if mode == "tensor":
            return self.model(batch.inputs)
        raise ConfigError(f"mode is {mode!r}: it must be 'loss', 'predict' or 'tensor'.")

    def forward_pass(self, batch: Batch) -> ForwardPass:
        """A ForwardPass whose random draws depend on seed, stage, step and kind only, so they agree on every rank."""
        kind = "train" if self.training else "val"
        generator = seeding.generator(self.seed, self.stage, kind, self.step)
        make = LockstepPass if self.lockstep and self.training else ForwardPass
        return make(self.model, batch, generator=generator, step=self.step)

    def losses(self, fp: ForwardPass) -> dict[str, Tensor]:
        """Every objective over one ForwardPass, as the flat dictionary that mmengine logs.

        Raises:
            TrainingError: a loss that is not finite; names the objective and the step.
        """
        results = {name: objective(fp) for name, objective in self.objectives.items()}
        total = sum(
            (self.objectives[name].weight * output.total for name, output in results.items()), start=_zero(fp.batch)
        )
        if not bool(torch.isfinite(total.detach())):
            self._explain_not_finite(results)
        if world_size() > 1 and torch.is_grad_enabled():
            idle = fp.idle if isinstance(fp, LockstepPass) else []
            here = (p for p in self.parameters() if p.requires_grad and not is_sharded(p))
            total = touch(total, (*here, *idle)).clone()  # FSDP2 warns of results that are views
        return {"loss": total, **_log_entries(results)}

    def predictions(self, fp: ForwardPass) -> dict[str, Any]:
        """Embeddings of every slot that the batch knows, names, targets and metadata, for metrics."""
        slots = [slot for slot in fp.batch.present if slot in self.model.config.slots]
        outputs: dict[str, Any] = {slot: fp.embedding(slot) for slot in slots}
        outputs.update(
            ids=fp.batch.ids,
            meta=fp.batch.meta,
            targets=fp.batch.targets,
            logit_scale=float(self.model.logit_scale()),
            trained_groups=self.trained_groups(),
            tasks={
                name: partial(item.evaluate, fp) for name, item in self.objectives.items() if isinstance(item, Task)
            },
        )
        return outputs

    def train_step(self, data: Batch, optim_wrapper: OptimWrapper) -> dict[str, float]:
        """One micro-batch: forward, backward and, when accumulation is complete, the update. Returns the log."""
        if self.grad_cache_chunk is None:
            return super().train_step(data, optim_wrapper)
        batch = self.data_preprocessor(data, True)["batch"]
        losses = grad_cache.backward(self, batch, optim_wrapper, chunk=self.grad_cache_chunk)
        return self.parse_losses(losses)[1]

    def val_step(self, data: Batch) -> dict[str, Any]:
        """``predict`` of one batch."""
        return self(**self.data_preprocessor(data, False), mode="predict")

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The loss, and all numbers as floats (one transfer). mmengine's own would sum all keys that contain "loss"."""
        values = torch.stack([value.detach().double().reshape(()).cpu() for value in losses.values()]).tolist()
        return losses["loss"], dict(zip(losses, values, strict=True))

    def _explain_not_finite(self, results: Mapping[str, ObjectiveOutput]) -> None:
        bad = [name for name, output in results.items() if not bool(torch.isfinite(output.total.detach()))]
        broken = [name for name, p in self.named_parameters() if not bool(torch.isfinite(local(p.detach())).all())]
        where = f" Parameters that are not finite already: {', '.join(broken[:5])}." if broken else ""
        raise TrainingError(
            f"The loss of objective {', '.join(map(repr, bad)) or 'sum'} is not finite at step {self.step} of stage "
            f"{self.stage!r}.{where} Lower the learning rate, clip gradients (optim_wrapper.clip_grad), or look for "
            "inputs with NaN; the last checkpoint is untouched."
        )


class _Touch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, total: Tensor, *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(*parameters)
        return total.view_as(total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return gradient, *(item.new_zeros(()).expand_as(item) for item in ctx.saved_tensors)


def touch(total: Tensor, parameters: Iterable[Tensor]) -> Tensor:
    """``total`` with a zero gradient for every parameter (or other tensor), so that all ranks reduce the same ones,
    whatever they hold."""
    return _Touch.apply(total, *parameters)


def _zero(batch: Batch) -> Tensor:
    device = next(iter(batch.present.values())).device
    return torch.zeros((), device=device)


def _log_entries(results: Mapping[str, ObjectiveOutput]) -> dict[str, Tensor]:
    """Totals, parts and counts under names without "loss" in them."""
    entries: dict[str, Tensor] = {}
    for name, output in results.items():
        entries[name] = output.total.detach()
        for part, value in output.parts.items():
            entries[f"{name}/{part.replace('loss', 'nll')}"] = value.detach()
        for what, count in output.counts.items():
            entries[f"{name}/count_{what.replace('loss', 'nll')}"] = torch.tensor(float(count))
    return entries
