"""Fully sharded training: every process holds its rows of every parameter, gradient and optimizer state."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from omni.engine import shards
from omni.engine.ema import EmaHook
from omni.engine.model_wrapper import TrainingModel, touch
from omni.engine.optim import build_optim_wrapper
from omni.engine.sharded_optim import ELEMENTWISE, ShardedOptimWrapper
from omni.engine.strategy import WholeStrategy
from omni.errors import ConfigError, MissingDependencyError
from omni.objectives.gather import rank, world_size


class ShardedStrategy(WholeStrategy):
    """``strategy=dict(type="fsdp")``: torch's FSDP2 (``fully_shard``) over all processes.

    A stage's model is copied and the copy sharded; the whole one waits on the CPU until the stage ends (on a GPU run),
    and takes the weights for validation. The blocks of the core are groups of their own: their parameters are gathered
    when a block runs and freed after. Everything else is one more group. Scalars (logit scales) cannot be sharded:
    every process holds them, and their gradients are averaged.

    One process trains as without it.

    Args:
        device: of this process.
        reshard: free a block's gathered parameters between its forward and its backward. False costs memory and saves
            one gather a block.
        blocks: False = the whole model is one group, gathered once a step.
    """

    def __init__(self, *, device: torch.device, reshard: bool = True, blocks: bool = True) -> None:
        super().__init__(device=device)
        self.reshard, self.blocks = reshard, blocks
        self.sharded = world_size() > 1
        self._wholes: dict[int, TrainingModel] = {}

    def check(self, stage: Any, *, grad_cache: int | None) -> None:
        """Raise a ConfigError for gradient caching, float16, and optimizers that do not work element by element."""
        if not self.sharded:
            return
        if grad_cache is not None:
            raise ConfigError(
                "Gradient caching and strategy type 'fsdp' do not go together: every chunk would gather and reduce all "
                "parameters anew. Leave out grad_cache and use optim_wrapper.accumulative_counts, or strategy 'ddp'."
            )
        if stage.optim_wrapper.get("dtype") == "float16":
            raise ConfigError(
                f"Stage {stage.name!r}: float16 needs a loss scaler that sees all gradients, which 'fsdp' spreads over "
                "the processes. Use optim_wrapper.dtype='bfloat16'."
            )
        kind = stage.optim_wrapper.get("optimizer", {}).get("type", "AdamW")
        if kind not in ELEMENTWISE:
            raise ConfigError(
                f"Stage {stage.name!r}: the optimizer {kind!r} is not known to work element by element, and with "
                f"'fsdp' each process sees a part of every matrix only. Use one of {', '.join(ELEMENTWISE)}."
            )

    def place(self, wrapper: TrainingModel) -> TrainingModel:
        """A sharded copy; ``wrapper`` itself goes to the CPU until ``collect``."""
        if not self.sharded:
            return wrapper
        from torch.distributed.device_mesh import init_device_mesh

        fully_shard = _fully_shard()
        placed = copy.deepcopy(wrapper)
        _start_alike(placed)
        scalars = {p for p in placed.parameters() if p.ndim == 0}
        mesh = init_device_mesh(self.device.type, (world_size(),))
        options = {"mesh": mesh, "ignored_params": scalars}
        if self.blocks:
            for block in shards.blocks_of(placed):
                fully_shard(block, reshard_after_forward=self.reshard, **options)
                _reduce_alike(block)
            placed.lockstep = True
        fully_shard(placed, **options)
        wrapper.to("cpu")
        self._wholes[id(placed)] = wrapper
        return placed

    def wrap(self, placed: TrainingModel) -> nn.Module:
        """The sharded model itself: FSDP2 works by hooks."""
        return placed

    def optim_wrapper(self, config: Mapping[str, Any], placed: TrainingModel) -> ShardedOptimWrapper:
        """An optimizer over this process's rows."""
        if not self.sharded:
            return super().optim_wrapper(config, placed)  # type: ignore[return-value]
        return build_optim_wrapper(config, placed, self.device, kind=ShardedOptimWrapper)  # type: ignore[return-value]

    @contextmanager
    def whole(self, placed: TrainingModel) -> Iterator[TrainingModel]:
        """The whole model with the weights of now."""
        if not self.sharded:
            yield placed
            return
        self.collect(placed)
        wrapper = self._wholes[id(placed)]
        wrapper.eval()
        yield wrapper
        if self.device.type != "cpu":
            wrapper.to("cpu")

    def collect(self, placed: TrainingModel) -> None:
        """Gather the weights into the model that ``place`` was given, and put it on the device."""
        if not self.sharded:
            return
        wrapper = self._wholes[id(placed)]
        wrapper.to(self.device)
        wrapper.step = placed.step
        mine = wrapper.state_dict()
        with torch.no_grad():
            for name, value in placed.state_dict().items():
                if isinstance(value, Tensor):
                    mine[name].copy_(shards.whole(value.detach()))

    def weights(self, placed: TrainingModel) -> dict[str, Tensor]:
        """Gathered on the first process; {} on the others."""
        return shards.gather_state(placed.state_dict(), keep=rank() == 0)

    def load_weights(self, placed: TrainingModel, state: Mapping[str, Tensor]) -> None:
        """Each process takes its rows."""
        shards.spread_state(placed, state)

    def optimizer_state(self, optim_wrapper: Any) -> dict[str, Any]:
        """Gathered, in the form of one process's."""
        return optim_wrapper.whole_state() if self.sharded else optim_wrapper.state_dict()

    def load_optimizer(self, optim_wrapper: Any, state: dict[str, Any]) -> None:
        """Each process takes its rows."""
        (optim_wrapper.load_whole_state if self.sharded else optim_wrapper.load_state_dict)(state)

    def average(self, ema: EmaHook | None, placed: TrainingModel) -> dict[str, Any] | None:
        """Gathered."""
        if ema is None:
            return None
        named = dict(placed.named_parameters())
        state = ema.state_dict()
        found = {}
        for name, part in state["average"].items():
            full = shards.whole_like(part, named[name])
            if rank() == 0:
                found[name] = full.cpu()
        return {**state, "average": found}

    def load_average(self, ema: EmaHook | None, placed: TrainingModel, state: dict[str, Any] | None) -> None:
        """Each process takes its rows."""
        if ema is not None and state is not None:
            named = dict(placed.named_parameters())
            rows = {name: shards.part_of(full, named[name]) for name, full in state["average"].items()}
            ema.load_state_dict({**state, "average": rows})


def _fully_shard() -> Any:
    from torch.distributed import fsdp

    found = getattr(fsdp, "fully_shard", None)
    if found is None or "ignored_params" not in inspect.signature(found).parameters:
        raise MissingDependencyError(
            f"strategy type 'fsdp' needs torch 2.7 or later, which can leave scalars out; this is {torch.__version__}. "
            "Update it, or use strategy 'ddp'."
        )
    return found


def _start_alike(module: nn.Module) -> None:
    """Every process takes the first one's weights, now, and its buffers at every step, as with DDP."""

    def buffers(*_: Any) -> None:
        for buffer in module.buffers():
            dist.broadcast(buffer, 0)

    for parameter in module.parameters():
        dist.broadcast(parameter.data, 0)
    if any(True for _ in module.buffers()):
        module.register_forward_pre_hook(buffers)


def _reduce_alike(block: nn.Module) -> None:
    """Make every process reduce the same gradients of a block at the same moment, whatever its batch holds.

    FSDP2 reduces the gradients that are there when a block's backward is done. So every call of the block touches all
    that trains in it (zeros where an expert is not used): each gradient is complete after the last call's backward, and
    not before. Runs behind FSDP2's own hook, which gathers the parameters.
    """

    def before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, *rest = args
        trainable = _trainable(module.parameters())
        if torch.is_grad_enabled() and trainable:
            tokens = touch(tokens, trainable)
        return (tokens, *rest)

    block.register_forward_pre_hook(before)


def _trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]
