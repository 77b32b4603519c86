"""``train(config)``: from a config to a trained model folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from omni import config as configs
from omni.core.lora import merge_lora
from omni.core.model import ModelConfig, OmniModel
from omni.data.bad_items import OnBad
from omni.data.processor import Processor
from omni.data.terms import KEY as TERMS
from omni.data.terms import merge_terms, terms_of, terms_of_model
from omni.engine import checkpoint, seeding
from omni.engine.adding import LORA_FREEZE, Kept
from omni.engine.bad_items_hook import BadItemsHook
from omni.engine.building import LoaderBuilder, build_metrics, build_objectives, training_data
from omni.engine.ema import EmaHook
from omni.engine.freeze import apply_freeze
from omni.engine.hooks import BEST, CheckpointHook, HistoryHook, RecordHook
from omni.engine.model_wrapper import TrainingModel
from omni.engine.optim import build_schedulers
from omni.engine.partial_load import load_part
from omni.engine.runner import StageRunner
from omni.engine.stages import StageConfig, split_stages
from omni.engine.strategy import build_strategy
from omni.engine.writer import RECORDS, ScalarWriter
from omni.errors import ConfigError
from omni.objectives.base import Objective
from omni.objectives.gather import rank
from omni.types import TrainedGroup

MODEL_FOLDER = "model"
BAD_ITEMS = "bad_items.jsonl"


@dataclass(kw_only=True)
class TrainResult:
    """What a run leaves behind.

    Attributes:
        model: the trained model in evaluation mode, averaged weights where the run kept them.
        processor: of the model.
        work_dir: config, log, numbers and checkpoints.
        model_folder: what ``omni.load`` takes.
        metrics: of the last validation.
        trained_groups: which slots may be compared, and how.
        steps: micro-batches of all stages.
    """

    model: OmniModel
    processor: Processor
    work_dir: Path
    model_folder: Path
    metrics: dict[str, float] = field(default_factory=dict)
    trained_groups: list[TrainedGroup] = field(default_factory=list)
    steps: int = 0


def train(
    config: str | Path | Mapping[str, Any],
    *,
    work_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    grad_cache: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    on_bad: str | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Train all stages of a config and write ``work_dir/model``.

    Args:
        config: path, "package:path/in/package.py", or a dictionary.
        work_dir: where everything goes; default: the config's ``work_dir``, or ``work_dirs/<name of the config>``.
        overrides: "a.b=c" settings.
        resume: go on from the newest readable checkpoint; the result is that of a run that was never stopped.
        grad_cache: samples of a chunk of gradient caching.
        seed, device: instead of the config's.
        on_bad: "raise" or "skip", instead of the config's: what to do about samples that cannot be read. Those left out
            are counted and listed in ``work_dir/bad_items.jsonl``.
        quiet: no progress and no lines, files only.

    Raises:
        ConfigError: the config cannot be meant. Raised before anything is trained wherever that can be known.
        TrainingError: the loss is not finite, or nothing trains.
        WeightsError: a checkpoint cannot be written or read.
    """
    cfg = configs.load(config, overrides=overrides)
    if work_dir is not None:
        cfg["work_dir"] = str(work_dir)
    for key, value in (("seed", seed), ("grad_cache", grad_cache), ("device", device), ("on_bad", on_bad)):
        if value is not None:
            cfg[key] = value
    started_here = _join_processes(cfg.get("device"))
    try:
        return _Run(cfg, resume=resume, quiet=quiet).go()
    finally:
        if started_here:
            dist.destroy_process_group()


class _Run:
    def __init__(self, cfg: dict[str, Any], *, resume: bool, quiet: bool) -> None:
        self.cfg, self.resume, self.quiet = cfg, resume, quiet
        self.seed = int(cfg.get("seed", 0))
        self.device = pick_device(cfg.get("device"))
        self.work_dir = Path(cfg.get("work_dir") or Path("work_dirs") / str(cfg.get("name", "run")))
        seeding.seed_everything(self.seed, "init")
        self.model = OmniModel(ModelConfig.from_dict(cfg["model"])).to(self.device)
        self.processor = Processor(cfg["processor"])
        self._check_slots()
        self.stages = split_stages(cfg)
        self._refuse_lora_in_shards()
        self.kept = Kept(cfg["load_from"], self.model) if cfg.get("add_modality") else None
        self.strategy = build_strategy(cfg.get("strategy"), self.device)
        self.objectives = self._all_objectives()
        for stage in self.stages:  # typos are found before the first stage has cost anything
            self._freeze(stage)
            build_metrics(stage.val_evaluator)
            self.strategy.check(stage, grad_cache=cfg.get("grad_cache"))
        self.metrics: dict[str, float] = {}
        self.terms: list[dict[str, Any]] = []  # of the data, and of the model that it starts from
        self.on_bad = OnBad(cfg.get("on_bad", "raise"))

    def _refuse_lora_in_shards(self) -> None:
        if self.model.config.lora is not None and (self.cfg.get("strategy") or {}).get("type") == "fsdp":
            raise ConfigError("lora and strategy type 'fsdp' do not go together: use 'ddp', its gradients are small.")

    def _check_slots(self) -> None:
        for slot, modality in self.processor.modalities.items():
            expected = self.model.config.slots.get(slot)
            if expected is None:
                raise ConfigError(f"`processor` has the slot {slot!r}, which model.slots does not have. Add it there.")
            if expected != modality:
                raise ConfigError(f"Slot {slot!r} is {expected!r} in model.slots and {modality!r} in the processor.")

    def _all_objectives(self) -> list[dict[str, Objective]]:
        """Of every stage. Stages with one config share the objects, so that their parameters carry over."""
        built: list[tuple[Any, dict[str, Objective]]] = []
        for stage in self.stages:
            known = next((item for config, item in built if config == stage.objectives), None)
            if known is None:
                seeding.seed_everything(self.seed, "objectives", stage.name)
                known = build_objectives(stage.objectives, self.model)
            built.append((stage.objectives, known))
        return [item for _, item in built]

    def go(self) -> TrainResult:
        """All stages, then the model folder."""
        if rank() == 0:
            self._prepare_folder()
        name = BAD_ITEMS if rank() == 0 else BAD_ITEMS.replace(".", f".rank{rank()}.")
        self.on_bad = OnBad(self.on_bad.policy, self.work_dir / name, resume=self.resume)
        self._load_from()
        offset, wrapper = 0, None
        for stage, objectives in zip(self.stages, self.objectives, strict=True):
            wrapper = self._run_stage(stage, objectives, offset)
            offset += stage.max_iters
        assert wrapper is not None
        if self.on_bad.count and rank() == 0 and not self.quiet:
            print(self.on_bad.summary(), flush=True)
        old_groups = self.kept.groups if self.kept is not None else []
        self.model.trained_groups = list(dict.fromkeys([*old_groups, *wrapper.trained_groups()]))
        if self.cfg.get("lora") and self.cfg["lora"].get("save", "merged") == "merged":
            merge_lora(self.model)
        self.model.eval()
        return TrainResult(
            model=self.model,
            processor=self.processor,
            work_dir=self.work_dir,
            model_folder=self._export(),
            metrics=self.metrics,
            trained_groups=self.model.trained_groups,
            steps=offset,
        )

    def _prepare_folder(self) -> None:
        self.work_dir.mkdir(parents=True, exist_ok=True)
        if not self.resume:
            old = [path for stage in self.stages for _, path in checkpoint.steps(self._folder(stage))]
            if old:
                raise ConfigError(
                    f"{self.work_dir} already holds checkpoints of a run ({old[-1].name}). Go on with --resume, or "
                    "choose another --work-dir."
                )
            (self.work_dir / RECORDS).unlink(missing_ok=True)
        configs.dump(self.cfg, self.work_dir / "config.py")

    def _folder(self, stage: StageConfig) -> Path:
        return self.work_dir / "checkpoints" / stage.name

    def _load_from(self) -> None:
        """Start from the weights of a model folder."""
        source = self.cfg.get("load_from")
        if source is None:
            return
        found = load_part(self.model, source, leave_out=self.cfg.get("load_except", ()))
        self.terms = merge_terms(self.terms, terms_of_model(source))
        if (found.fresh or found.unused) and rank() == 0 and not self.quiet:
            print(f"load_from: {len(found.fresh)} parameters start anew, {len(found.unused)} of the file are left out.")

    def _run_stage(self, stage: StageConfig, objectives: dict[str, Objective], offset: int) -> TrainingModel:
        self._freeze(stage)
        wrapper = TrainingModel(self.model, objectives, seed=self.seed, grad_cache_chunk=self.cfg.get("grad_cache")).to(
            self.device
        )
        wrapper.stage = stage.name
        loaders = self._loaders(stage)
        self.terms = merge_terms(self.terms, terms_of(loaders[0].dataset))
        placed = self.strategy.place(wrapper)
        runner = self._runner(stage, placed, loaders, offset)
        if self.resume:
            found = checkpoint.load_latest(self._folder(stage), runner.logger)
            if found is not None:
                step = runner.restore(found[1])
                runner.writer.rewind(step)
                runner.logger.info("resumed from %s", found[0])
        runner.train()
        runner.writer.close()
        self.metrics = dict(runner.metrics)
        if stage is self.stages[-1]:
            self._take_best_or_average(runner)
        self.strategy.collect(placed)
        if self.kept is not None:
            self.kept.check_unmoved(self.model)
        return wrapper

    def _freeze(self, stage: StageConfig) -> None:
        """The stage's freeze list, after that of an added modality (all that was there) or of LoRA (all but it)."""
        lora = LORA_FREEZE if self.model.config.lora is not None else []
        apply_freeze(self.model, [*(lora if self.kept is None else self.kept.freeze), *stage.freeze])
        if self.kept is not None:
            self.kept.check_frozen(self.model, stage)

    def _loaders(self, stage: StageConfig) -> tuple[DataLoader, DataLoader | None]:
        """Of training and validation; features of cached slots are computed here, by the whole model."""
        builder = LoaderBuilder(
            stage,
            self.model,
            self.processor,
            seed=self.seed,
            quiet=self.quiet,
            feature_folder=self.cfg.get("feature_folder"),
            on_bad=self.on_bad,
        )
        return builder.train(), builder.validation()

    def _runner(
        self,
        stage: StageConfig,
        wrapper: TrainingModel,
        loaders: tuple[DataLoader, DataLoader | None],
        offset: int,
    ) -> StageRunner:
        optim_wrapper = self.strategy.optim_wrapper(stage.optim_wrapper, wrapper)
        ema = None
        if stage.ema is not None:
            ema = EmaHook(every=stage.accumulation, **stage.ema)
            ema.start(wrapper)
        options = stage.default_hooks
        hooks = [
            CheckpointHook(**{"interval": stage.checkpoint_interval(), **options.get("checkpoint", {})}),
            RecordHook(**options.get("logger", {}), stage=stage.name, quiet=self.quiet),
            HistoryHook(),
            BadItemsHook(self.on_bad),
            *([ema] if ema is not None else []),
        ]
        train_cfg = {"val_begin": 1, "val_interval": 1000, **stage.train_cfg}
        return StageRunner(
            wrapper,
            strategy=self.strategy,
            work_dir=self._folder(stage),
            train_dataloader=loaders[0],
            optim_wrapper=optim_wrapper,
            schedulers=build_schedulers(stage.param_scheduler, optim_wrapper.optimizer, stage.max_iters),
            max_iters=stage.max_iters,
            val_begin=int(train_cfg["val_begin"]),
            val_interval=int(train_cfg["val_interval"]),
            val_dataloader=loaders[1],
            metrics=build_metrics(stage.val_evaluator),
            hooks=hooks,
            ema=ema,
            writer=ScalarWriter(
                self.work_dir,
                stage=stage.name,
                offset=offset,
                tensorboard=bool(self.cfg.get("tensorboard", False)),
                enabled=rank() == 0,
            ),
            fingerprint=stage.fingerprint(),
            data=training_data(loaders[0]),
            seed=self.seed,
            custom_hooks=stage.custom_hooks,
        )

    def _take_best_or_average(self, runner: StageRunner) -> None:
        """Put the weights to export into the model: the best validated if asked for, averaged if there are such."""
        best = Path(runner.work_dir) / BEST
        _wait_for_all()  # the first process may still be writing it
        if self.cfg.get("export", "last") == "best":
            if not best.is_file():
                raise ConfigError("export='best' needs default_hooks.checkpoint.save_best and a validation.")
            runner.load_weights(checkpoint.load(best))
        if runner.ema is not None:
            runner.ema.swap(runner.training_model)

    def _export(self) -> Path:
        from omni.inference import save_model_folder

        folder = self.work_dir / MODEL_FOLDER
        if rank() == 0:
            info = {**self.cfg.get("info", {}), "metrics": self.metrics}
            if self.terms:
                info[TERMS] = merge_terms(info.get(TERMS, ()), self.terms)
            save_model_folder(folder, self.model, self.processor, info=info)
        _wait_for_all()
        return folder


def _wait_for_all() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def pick_device(name: str | None) -> torch.device:
    """The device of this process; None = a GPU if there is one.

    Raises:
        ConfigError: a device that this machine does not have.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError(f"device is {name!r}, but torch finds no GPU. Use --device cpu.")
        if device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    return device


def _join_processes(device: str | None) -> bool:
    """Join the processes that torchrun started; True if this call did."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        return False
    backend = "nccl" if pick_device(device).type == "cuda" else "gloo"
    dist.init_process_group(backend)
    return True
