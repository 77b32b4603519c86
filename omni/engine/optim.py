"""Optimizers and their wrapper: parameter groups without weight decay, autocast on any device, learning-rate shapes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from torch import Tensor, nn

from omni.dtypes import fast_bfloat16
from omni.engine.freeze import match
from omni.errors import ConfigError, TrainingError
from omni.registry import OPTIMIZERS, PARAM_SCHEDULERS

DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Parts of parameter names that are vectors or tables whatever their shape: positions, class, mask and missing tokens.
NO_DECAY_NAMES = ("position", "pos_embed", "cls", "summary", "token", "missing", "tables", "bias", "scale")


def autocast_dtype(name: str, device_type: str) -> torch.dtype | None:
    """What autocast computes in; None = no autocast. "auto" is bfloat16 where the device has it.

    Raises:
        ConfigError: not one of the names.
    """
    if name == "auto":
        return torch.bfloat16 if fast_bfloat16(device_type) else None
    if name not in DTYPES:
        raise ConfigError(f"optim_wrapper.dtype is {name!r}: it must be one of {', '.join(DTYPES)}, auto.")
    return DTYPES[name]


class PrecisionOptimWrapper(OptimWrapper):
    """mmengine's OptimWrapper with autocast on any device (mmengine's own refuses CPUs) and a loss scaler for float16.

    Args:
        dtype: "float32" (no autocast), "bfloat16", "float16", or "auto": bfloat16 where the device has it.
        device_type: of the model, "cpu" or "cuda".
        optimizer, accumulative_counts, clip_grad: as mmengine's.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        dtype: str = "float32",
        device_type: str = "cpu",
        accumulative_counts: int = 1,
        clip_grad: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(optimizer, accumulative_counts=accumulative_counts, clip_grad=clip_grad)
        self.dtype = autocast_dtype(dtype, device_type)
        self.device_type = device_type
        self.loss_scaler = torch.amp.GradScaler(device_type) if dtype == "float16" else None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no gradient exchange while gradients accumulate."""
        with super().optim_context(model):
            if self.dtype is None:
                yield
            else:
                with torch.autocast(self.device_type, dtype=self.dtype):
                    yield

    def backward(self, loss: Tensor, **options: Any) -> None:
        """Backward of the (scaled) loss; counts one micro-batch."""
        scaled = loss if self.loss_scaler is None else self.loss_scaler.scale(loss)
        super().backward(scaled, **options)

    def step(self, **options: Any) -> None:
        """Clip and update."""
        if self.loss_scaler is None:
            super().step(**options)
            return
        self.loss_scaler.unscale_(self.optimizer)
        if self.clip_grad_kwargs:
            self._clip_grad()
        self.loss_scaler.step(self.optimizer, **options)
        self.loss_scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Optimizer, and the scaler where there is one."""
        state = super().state_dict()
        if self.loss_scaler is not None:
            state["loss_scaler"] = self.loss_scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What ``state_dict`` gave."""
        state = dict(state_dict)
        scaler = state.pop("loss_scaler", None)
        if scaler is not None and self.loss_scaler is not None:
            self.loss_scaler.load_state_dict(scaler)
        super().load_state_dict(state)


def decays(name: str, parameter: Tensor, tables: set[int]) -> bool:
    """Whether weight decay applies: matrices and convolutions do, vectors, biases, positions, tokens and tables not."""
    return parameter.ndim > 1 and id(parameter) not in tables and not any(part in name for part in NO_DECAY_NAMES)


def layer_factor(name: str, num_layers: int, decay: float) -> float:
    """Layer-wise decay of the learning rate (Bao et al. 2022, BEiT): adapters are layer 0, the core's block i is layer
    i + 1, and what comes after the blocks has the full rate."""
    if name.startswith("adapters."):
        layer = 0
    elif name.startswith("core.layers."):
        layer = int(name.split(".")[2]) + 1
    else:
        layer = num_layers + 1
    return float(decay ** (num_layers + 1 - layer))


def parameter_groups(
    module: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    lr_scale: Mapping[str, float] | None = None,
    layer_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Trainable parameters by (weight decay, learning rate), in a fixed order.

    Args:
        module: its trainable parameters.
        lr, weight_decay: of the optimizer.
        lr_scale: pattern over parameter names -> factor of lr; the last pattern that matches counts.
        layer_decay: factor of lr from each of the core's blocks to the one before it (see ``layer_factor``), on top of
            ``lr_scale``; None = 1.

    Raises:
        TrainingError: nothing trains.
        ConfigError: a pattern matches nothing, or a decay that is not in (0, 1].
    """
    lr_scale = dict(lr_scale or {})
    decay = 1.0 if layer_decay is None else float(layer_decay)
    if not 0 < decay <= 1:
        raise ConfigError(f"optim_wrapper.layer_decay is {layer_decay!r}; it must be above 0 and at most 1.")
    names = [name.removeprefix("model.") for name, _ in module.named_parameters()]
    num_layers = len({name.split(".")[2] for name in names if name.startswith("core.layers.")})
    tables = {id(child.weight) for child in module.modules() if isinstance(child, nn.Embedding)}
    groups: dict[tuple[bool, float], list[Tensor]] = {}
    unused = set(lr_scale)
    for name, parameter in module.named_parameters():
        short = name.removeprefix("model.")
        hits = [pattern for pattern in lr_scale if match(pattern, short)]
        unused -= set(hits)
        if parameter.requires_grad:
            factor = (lr_scale[hits[-1]] if hits else 1.0) * layer_factor(short, num_layers, decay)
            key = decays(short, parameter, tables), factor
            groups.setdefault(key, []).append(parameter)
    if unused:
        raise ConfigError(f"optim_wrapper.lr_scale: {', '.join(sorted(map(repr, unused)))} matches no parameter.")
    if not groups:
        raise TrainingError("No parameter trains: every one is frozen. Shorten `freeze`, or put '!part' behind it.")
    return [
        {"params": members, "lr": lr * factor, "weight_decay": weight_decay if decayed else 0.0}
        for (decayed, factor), members in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]


def build_optim_wrapper(
    config: Mapping[str, Any],
    module: nn.Module,
    device: torch.device,
    *,
    kind: type[PrecisionOptimWrapper] = PrecisionOptimWrapper,
) -> PrecisionOptimWrapper:
    """From ``optim_wrapper = dict(optimizer=dict(type="AdamW", lr=...), dtype=..., clip_grad=dict(max_norm=...))``."""
    config = dict(config)
    options = {"type": "AdamW", **config.pop("optimizer", {})}
    name = options.pop("type")
    lr = float(options.get("lr", 1e-3))
    weight_decay = float(options.pop("weight_decay", 0.05))
    scales = {name: config.pop(name, None) for name in ("lr_scale", "layer_decay")}
    groups = parameter_groups(module, lr=lr, weight_decay=weight_decay, **scales)
    options["lr"] = lr
    if isinstance(options.get("betas"), list):
        options["betas"] = tuple(options["betas"])
    if name in ("AdamW", "Adam"):
        options.setdefault("fused", True)  # one kernel for all parameters, on CPUs too
    optimizer = OPTIMIZERS.get(name)(groups, **options)
    clip = config.pop("clip_grad", None)
    return kind(optimizer, device_type=device.type, clip_grad=None if clip is None else dict(clip), **config)


class WarmupCosineLR(_ParamScheduler):
    """Linear warm-up to the learning rate, then half a cosine down to ``min_lr``; in closed form.

    Args:
        optimizer: whose groups' ``lr`` it sets.
        max_iters: length of the stage.
        warmup: steps, or a share of ``max_iters`` when below 1.
        min_lr: at the end, for a group whose full rate is the largest; others in proportion.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, *, max_iters: int, warmup: float = 0.05, min_lr: float = 0.0
    ) -> None:
        self.warmup = round(warmup * max_iters) if 0 < warmup < 1 else int(warmup)
        self.max_iters = max_iters
        self.min_lr = min_lr
        if not 0 <= self.warmup <= max_iters:
            raise ConfigError(
                f"param_scheduler: a warm-up of {self.warmup} steps does not fit into {max_iters}. Shorten `warmup`."
            )
        super().__init__(optimizer, param_name="lr", by_epoch=False)

    def _get_value(self) -> list[float]:
        step = self.last_step
        if step < self.warmup:
            return [base * (step + 1) / (self.warmup + 1) for base in self.base_values]
        share = min(1.0, (step - self.warmup) / max(1, self.max_iters - self.warmup))
        floor = self.min_lr / max(self.base_values)
        return [base * (floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2) for base in self.base_values]


def build_schedulers(schedule: Any, optimizer: torch.optim.Optimizer, max_iters: int) -> list[_ParamScheduler]:
    """Schedulers of one stage.

    Args:
        schedule: None, one config or a list: ``dict(type="warmup_cosine", warmup=..., min_lr=...)`` or any of
            mmengine's schedulers by name, counted in iterations unless it says ``by_epoch=True``.
        optimizer: whose groups they change.
        max_iters: length of the stage.
    """
    # while gradients accumulate the schedule moves on and the optimizer does not; mmengine takes that for a mistake
    warnings.filterwarnings("ignore", message="Detected call of `scheduler.step")
    built = []
    for config in [schedule] if isinstance(schedule, Mapping) else schedule or []:
        options = dict(config)
        kind = options.pop("type")
        if kind == "warmup_cosine":
            built.append(WarmupCosineLR(optimizer, max_iters=max_iters, **options))
        else:
            built.append(PARAM_SCHEDULERS.get(kind)(optimizer=optimizer, **{"by_epoch": False, **options}))
    return built
