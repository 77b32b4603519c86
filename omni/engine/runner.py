"""mmengine's Runner, with omni's checkpoints, logs and devices."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook, IterTimerHook, ParamSchedulerHook, RuntimeInfoHook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from omni.data.fingerprints import require_same
from omni.engine import checkpoint
from omni.engine.ema import EmaHook
from omni.engine.loops import TrainLoop, ValLoop
from omni.engine.model_wrapper import TrainingModel
from omni.engine.optim import PrecisionOptimWrapper
from omni.engine.strategy import WholeStrategy
from omni.engine.writer import ScalarWriter
from omni.metrics.base import Metric
from omni.objectives.gather import rank, world_size


class _NoVisualizer:
    """mmengine wants a visualizer; omni's numbers go through ScalarWriter, which needs no matplotlib."""

    dataset_meta: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


class StageRunner(Runner):
    """Runs one stage.

    Args:
        model: the TrainingModel, as the strategy placed it.
        strategy: how it lies over the processes.
        work_dir: of the stage; checkpoints lie in it.
        train_dataloader: of the stage.
        optim_wrapper: built.
        schedulers: built.
        max_iters, val_begin, val_interval: of the stage.
        val_dataloader, metrics: of validation, or None.
        hooks: omni's, in addition to mmengine's RuntimeInfo, IterTimer and ParamScheduler hooks.
        ema: the EMA hook, if there is one (also in ``hooks``).
        writer: of the run's numbers.
        fingerprint: of the stage's config, kept in checkpoints.
        data: fingerprint of the training data, kept in checkpoints; None = not known.
        seed: of the run.
        custom_hooks: configs or instances for mmengine.
    """

    def __init__(
        self,
        model: TrainingModel,
        *,
        strategy: WholeStrategy,
        work_dir: Path,
        train_dataloader: DataLoader,
        optim_wrapper: PrecisionOptimWrapper,
        schedulers: list[Any],
        max_iters: int,
        val_begin: int,
        val_interval: int,
        val_dataloader: DataLoader | None,
        metrics: dict[str, Metric],
        hooks: Sequence[Hook],
        ema: EmaHook | None,
        writer: ScalarWriter,
        fingerprint: str,
        data: dict[str, Any] | None,
        seed: int,
        custom_hooks: Sequence[Any] = (),
    ) -> None:
        self.training_model = model
        self.strategy = strategy
        self.ema = ema
        self.writer = writer
        self.fingerprint, self.data = fingerprint, data
        self.metrics: dict[str, float] = {}
        super().__init__(
            model=model,
            work_dir=str(work_dir),
            train_dataloader=train_dataloader,
            train_cfg={"by_epoch": False, "max_iters": max_iters},
            optim_wrapper=optim_wrapper,
            param_scheduler=schedulers or None,
            default_hooks=_DEFAULT_HOOKS_OFF,
            custom_hooks=[RuntimeInfoHook(), IterTimerHook(), ParamSchedulerHook(), *hooks, *custom_hooks],
            default_scope="omni",
            randomness={"seed": seed},
            experiment_name=f"omni_{uuid.uuid4().hex[:12]}",  # mmengine shares logs between runs of one name
            cfg=Config(),
        )
        optim_wrapper.message_hub = self.message_hub
        self._train_loop = TrainLoop(
            self, train_dataloader, max_iters=max_iters, val_begin=val_begin, val_interval=val_interval
        )
        if val_dataloader is not None:
            self._val_loop = ValLoop(self, val_dataloader, metrics=metrics)

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **options: Any) -> MMLogger:
        """The file gets everything, the console warnings only: progress is shown by RecordHook."""
        path = str(Path(self.work_dir) / "log.txt")
        logger = MMLogger.get_instance(name=self._experiment_name, log_file=path, file_mode="a", log_level=log_level)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.WARNING if rank() == 0 else logging.ERROR)
        return logger

    def build_visualizer(self, visualizer: Any = None) -> Any:
        """None of mmengine's."""
        return _NoVisualizer()

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """One line; mmengine's own starts compilers to ask for their versions."""
        self.logger.info("torch %s, %d processes, %d threads", torch.__version__, world_size(), torch.get_num_threads())

    def dump_config(self) -> None:
        """Nothing: the run's config is written once, by the caller."""

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """As the strategy says."""
        return self.strategy.wrap(self.training_model)

    def _init_model_weights(self) -> None:
        """Nothing: modules initialise themselves when they are built, and the strategy makes the processes agree."""

    def load_or_resume(self) -> None:
        """Nothing: the caller resumes explicitly, before ``train``."""

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on. Random states are functions of seed, stage and step.

        A collective where the model is sharded; complete on the first process.
        """
        strategy, model = self.strategy, self.training_model
        return {
            "step": self.iter + 1,
            "stage": self.training_model.stage,
            "seed": self.seed,
            "fingerprint": self.fingerprint,
            "data": self.data,
            "state_dict": strategy.weights(model),
            "optimizer": strategy.optimizer_state(self.optim_wrapper),
            "schedulers": [scheduler.state_dict() for scheduler in self.param_schedulers or []],
            "ema": strategy.average(self.ema, model),
            "message_hub": checkpoint.message_hub_state(self.message_hub),
        }

    def save_step(self, step: int, *, keep: int) -> None:
        """Write the checkpoint of a step and remove the oldest beyond ``keep``."""
        if rank() > 0 and not self.strategy.sharded:
            return
        state = self.state()
        if rank() == 0:
            folder = Path(self.work_dir)
            self.call_hook("before_save_checkpoint", checkpoint=state)
            checkpoint.save(checkpoint.step_path(folder, step), state)
            checkpoint.prune(folder, keep)
            self.logger.info("saved checkpoint of step %d", step)

    def save_weights(self, path: Path, *, value: float, name: str) -> None:
        """Write weights (live and averaged) without what resuming needs."""
        strategy, model = self.strategy, self.training_model
        if rank() > 0 and not strategy.sharded:
            return
        state = {"step": self.iter, "value": value, "monitor": name, "state_dict": strategy.weights(model)}
        state["ema"] = strategy.average(self.ema, model)
        if rank() == 0:
            checkpoint.save(path, state)

    def load_weights(self, state: dict[str, Any]) -> None:
        """Put back what ``save_weights`` wrote."""
        self.strategy.load_weights(self.training_model, state["state_dict"])
        self.strategy.load_average(self.ema, self.training_model, state["ema"])

    def restore(self, state: dict[str, Any]) -> int:
        """Put back what ``state`` gave; returns the step. Call after construction and before ``train``.

        Raises:
            ConfigError: the training data is not that of the checkpoint.
        """
        if state.get("data") is not None and self.data is not None:
            require_same(
                state["data"], self.data, what=f"Stage {state['stage']!r}: the data is not that of the checkpoint"
            )
        self.load_weights(state)
        self.strategy.load_optimizer(self.optim_wrapper, state["optimizer"])
        for scheduler, saved in zip(self.param_schedulers or [], state["schedulers"], strict=True):
            scheduler.load_state_dict({key: value for key, value in saved.items() if value is not None})
        checkpoint.load_message_hub(self.message_hub, state["message_hub"])
        self.call_hook("after_load_checkpoint", checkpoint=state)
        self._train_loop._iter = int(state["step"])
        if state["fingerprint"] != self.fingerprint:
            self.logger.warning("Stage %r: the config is not that of the checkpoint.", state["stage"])
        return int(state["step"])


_DEFAULT_HOOKS_OFF = {
    name: None for name in ("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint")
}
