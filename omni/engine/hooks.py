"""Hooks of a training run: checkpoints, progress, bounded logs."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from omni.engine.progress import is_terminal
from omni.errors import ConfigError
from omni.objectives.gather import rank

BEST = "best.pth"
HISTORY = 1000


class CheckpointHook(Hook):
    """Keeps the last few checkpoints and the best one.

    Args:
        interval: steps between checkpoints; the last step is always saved.
        keep: how many regular ones stay (at least 2, so that a damaged last one has one before it).
        save_best: name of the number that decides, or None.
        rule: "greater" or "less"; None = "less" for names with "loss" or "nll" in them.
    """

    priority = "VERY_LOW"

    def __init__(
        self, *, interval: int = 1000, keep: int = 2, save_best: str | None = None, rule: str | None = None
    ) -> None:
        if interval < 1 or keep < 2:
            raise ConfigError(f"checkpoint: interval is {interval} and keep {keep}; at least 1 and 2 are needed.")
        if rule not in (None, "greater", "less"):
            raise ConfigError(f"checkpoint.rule is {rule!r}: it must be 'greater' or 'less'.")
        self.interval, self.keep, self.save_best = interval, keep, save_best
        smaller = save_best is not None and ("loss" in save_best or "nll" in save_best)
        self.rule = rule or ("less" if smaller else "greater")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save every ``interval`` steps and at the end."""
        if self.every_n_train_iters(runner, self.interval) or runner.iter + 1 == runner.max_iters:
            runner.save_step(runner.iter + 1, keep=self.keep)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Save the best so far."""
        if self.save_best is None:
            return
        if self.save_best not in (metrics or {}):
            reported = ", ".join(metrics or {}) or "nothing"
            raise ConfigError(f"checkpoint.save_best is {self.save_best!r}, but validation reports {reported}.")
        value = float(metrics[self.save_best])
        before = runner.message_hub.runtime_info.get("best_value")
        better = before is None or (value > before if self.rule == "greater" else value < before)
        if better and math.isfinite(value):
            runner.message_hub.update_info("best_value", value)
            runner.message_hub.update_info("best_step", runner.iter)
            runner.save_weights(Path(runner.work_dir) / BEST, value=value, name=self.save_best)


class HistoryHook(Hook):
    """Bounds the log's memory: mmengine's buffers are copied at every update, so that long ones cost time too."""

    priority = "LOWEST"

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Cut every buffer to its last entries."""
        if (runner.iter + 1) % HISTORY == 0:
            for buffer in runner.message_hub.log_scalars.values():
                buffer._log_history = buffer._log_history[-HISTORY:]
                buffer._count_history = buffer._count_history[-HISTORY:]

    def before_train(self, runner: Any) -> None:
        """Nothing yet to cut."""


class RecordHook(Hook):
    """Numbers to the writer every ``interval`` steps, and a bar (on a terminal) or plain lines.

    Args:
        interval: steps.
        stage: shown in front.
        quiet: write files only.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, *, interval: int = 50, stage: str = "train", quiet: bool = False) -> None:
        self.interval, self.stage = interval, stage
        self.show = not quiet and rank() == 0
        self._bar: Any = None
        self._task: Any = None
        self._since: tuple[float, int] = (0.0, 0)

    def before_train(self, runner: Any) -> None:
        """Start the clock and the bar."""
        self._since = (time.monotonic(), runner.iter)
        if self.show and is_terminal():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = [TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
            self._bar = Progress(*columns, TextColumn("{task.fields[numbers]}"))
            self._bar.start()
            self._task = self._bar.add_task(self.stage, total=runner.max_iters, completed=runner.iter, numbers="")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Record and show."""
        done = runner.iter + 1
        if self._bar is not None and (done % 10 == 0 or done == runner.max_iters):
            self._bar.update(self._task, completed=done)
        if done % self.interval and done != runner.max_iters:
            return
        now = time.monotonic()
        speed = (done - self._since[1]) / max(now - self._since[0], 1e-9)
        self._since = (now, done)
        numbers = dict(outputs or {})
        # the wrapper's own param_groups end with one of mmengine's that holds no weights and that no schedule moves
        numbers["lr"] = max(group["lr"] for group in runner.optim_wrapper.optimizer.param_groups)
        norm = runner.message_hub.log_scalars.get("train/grad_norm")
        if norm is not None:
            numbers["grad_norm"] = float(norm.current())
        numbers["steps_per_second"] = speed
        runner.writer.add("train", numbers, step=done)
        text = f"loss {numbers.get('loss', math.nan):.4f}  lr {numbers['lr']:.2e}  {speed:.1f} steps/s"
        runner.logger.info("[%s] %d/%d  %s", self.stage, done, runner.max_iters, text)
        if self._bar is not None:
            self._bar.update(self._task, numbers=text)
        elif self.show:
            print(f"[{self.stage}] {done}/{runner.max_iters}  {text}", flush=True)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Show the validation numbers."""
        runner.writer.add("val", metrics or {}, step=runner.iter)
        parts = [f"{key} {value:.4f}" for key, value in (metrics or {}).items() if "/" not in key]
        text = f"[{self.stage}] {runner.iter}/{runner.max_iters}  validation: {'  '.join(parts)}"
        runner.logger.info(text)
        self._since = (time.monotonic(), runner.iter)
        if self.show:
            (self._bar.console.print if self._bar is not None else print)(text)

    def after_train(self, runner: Any) -> None:
        """Take the bar down."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
