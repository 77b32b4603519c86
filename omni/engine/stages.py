"""Stages: one config becomes a list of them, each starting from the weights of the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from omni.errors import ConfigError

# What a stage may override. Dictionaries are merged into the run's (``_delete_=True`` replaces), the rest replaces.
STAGE_KEYS = (
    "train_dataloader",
    "val_dataloader",
    "val_evaluator",
    "objectives",
    "optim_wrapper",
    "param_scheduler",
    "train_cfg",
    "default_hooks",
    "custom_hooks",
    "ema",
    "freeze",
    "cache",
)
SHORTCUTS = ("max_iters", "val_interval", "val_begin")  # of train_cfg


@dataclass(kw_only=True)
class StageConfig:
    """One stage, complete.

    Attributes:
        name: of the stage, unique in the run.
        train_cfg: max_iters, val_begin, val_interval.
        freeze: patterns over the model's parameter names (see omni.engine.freeze).
        cache: slots whose towers are replaced by features computed once.
        train_dataloader, val_dataloader, val_evaluator, objectives, optim_wrapper, param_scheduler, default_hooks,
            custom_hooks, ema: as in the config of a run.
    """

    name: str
    train_cfg: dict[str, Any]
    train_dataloader: dict[str, Any]
    objectives: list[Any]
    val_dataloader: dict[str, Any] | None = None
    val_evaluator: list[Any] = field(default_factory=list)
    optim_wrapper: dict[str, Any] = field(default_factory=dict)
    param_scheduler: Any = None
    default_hooks: dict[str, Any] = field(default_factory=dict)
    custom_hooks: list[Any] = field(default_factory=list)
    ema: dict[str, Any] | None = None
    freeze: list[str] = field(default_factory=list)
    cache: list[str] = field(default_factory=list)

    @property
    def max_iters(self) -> int:
        """Micro-batches of the stage."""
        return int(self.train_cfg["max_iters"])

    @property
    def accumulation(self) -> int:
        """Micro-batches of an update."""
        return int(self.optim_wrapper.get("accumulative_counts", 1))

    def fingerprint(self) -> str:
        """Of everything in the config; another one on resuming is worth a warning."""
        text = json.dumps(asdict_safely(self), sort_keys=True, default=lambda value: type(value).__name__)
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self) -> None:
        """Raise a ConfigError for what cannot be meant."""
        if self.max_iters < 1:
            raise ConfigError(f"Stage {self.name!r}: max_iters is {self.max_iters}; at least one step is needed.")
        for what, count in (("max_iters", self.max_iters), ("checkpoint.interval", self.checkpoint_interval())):
            if count % self.accumulation:
                raise ConfigError(
                    f"Stage {self.name!r}: {what} is {count}, no multiple of accumulative_counts "
                    f"({self.accumulation}); iterations count micro-batches. Use "
                    f"{-(-count // self.accumulation) * self.accumulation}."
                )

    def checkpoint_interval(self) -> int:
        """Micro-batches between checkpoints."""
        default = 1000 * self.accumulation
        return int(self.default_hooks.get("checkpoint", {}).get("interval", default))


def asdict_safely(stage: StageConfig) -> dict[str, Any]:
    """The fields; objects that configs may hold in Python (data sets, objectives) are not copied."""
    try:
        return asdict(stage)
    except Exception:  # an object that cannot be deep-copied
        return {name: repr(type(value)) for name, value in vars(stage).items()}


def split_stages(config: Mapping[str, Any]) -> list[StageConfig]:
    """All stages of a run in order; a config without ``stages`` is one stage called "train".

    Raises:
        ConfigError: a missing part, two stages of one name, or numbers that do not fit together.
    """
    given = config.get("stages") or [{"name": "train"}]
    names = [str(stage.get("name", f"stage{index}")) for index, stage in enumerate(given)]
    if len(set(names)) != len(names):
        raise ConfigError(f"stages: the names {', '.join(names)} are not unique.")
    stages = [_complete(config, name, stage) for name, stage in zip(names, given, strict=True)]
    for stage in stages:
        stage.check()
    return stages


def _complete(config: Mapping[str, Any], name: str, stage: Mapping[str, Any]) -> StageConfig:
    values = {key: _copy(config[key]) for key in STAGE_KEYS if config.get(key) is not None}
    for key in STAGE_KEYS:
        if key in stage:
            values[key] = merge(values.get(key), stage[key])
    train_cfg = dict(values.get("train_cfg", {}))
    train_cfg.update({key: stage[key] for key in SHORTCUTS if key in stage})
    values["train_cfg"] = train_cfg
    for key in ("train_dataloader", "objectives"):
        if not values.get(key):
            raise ConfigError(f"Stage {name!r} has no `{key}`. Give it in the stage, or for the whole run.")
    if "max_iters" not in train_cfg:
        raise ConfigError(f"Stage {name!r} has no max_iters. Give it there, or as train_cfg=dict(max_iters=...).")
    for key in ("objectives", "val_evaluator"):
        if isinstance(values.get(key), Mapping):
            values[key] = [values[key]]
    return StageConfig(name=name, **{key: value for key, value in values.items() if value is not None})


def merge(base: Any, change: Any) -> Any:
    """``change`` merged into ``base``: dictionaries key by key unless they say ``_delete_=True``; all else replaces."""
    if not isinstance(base, Mapping) or not isinstance(change, Mapping) or change.get("_delete_"):
        if isinstance(change, Mapping):
            return {key: _copy(value) for key, value in change.items() if key != "_delete_"}
        return _copy(change)
    merged = {key: _copy(value) for key, value in base.items()}
    for key, value in change.items():
        merged[key] = merge(merged.get(key), value)
    return merged


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if type(value) in (list, tuple):  # not data sets, which may be sequences
        return [_copy(item) for item in value]
    return value
