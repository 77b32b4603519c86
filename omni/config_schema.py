"""What a training config may say: unknown keys are refused, with a suggestion, before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from omni.errors import ConfigError
from omni.plugin.suggest import did_you_mean

TOP_LEVEL = (
    "name", "model", "processor", "objectives", "train_dataloader", "val_dataloader", "val_evaluator", "optim_wrapper",
    "param_scheduler", "train_cfg", "stages", "freeze", "cache", "ema", "default_hooks", "custom_hooks", "tensorboard",
    "seed", "work_dir", "load_from", "load_except", "feature_folder", "grad_cache", "device", "export", "info",
    "strategy", "on_bad", "add_modality", "lora",
)  # fmt: skip
TRAIN_CFG = ("max_iters", "val_begin", "val_interval")
DEFAULT_HOOKS: dict[str, tuple[str, ...]] = {
    "checkpoint": ("interval", "keep", "save_best", "rule"),
    "logger": ("interval",),
}
OPTIM_WRAPPER = ("optimizer", "clip_grad", "accumulative_counts", "dtype", "lr_scale", "layer_decay")
CLIP_GRAD = ("type", "max_norm", "norm_type", "error_if_nonfinite", "foreach", "clip_value")
EMA = ("decay",)
STRATEGIES: dict[str, tuple[str, ...]] = {"ddp": (), "fsdp": ("reshard", "blocks")}
LOADER = (
    "dataset",
    "batch_size",
    "num_workers",
    "shuffle",
    "slot_dropout",
    "views",
    "tables",
    "pin_memory",
    "prefetch",
    "buckets",
    "sampler",
)
SAMPLERS: dict[str, tuple[str, ...]] = {"balanced": ("by", "power")}  # fmt: skip
STAGE = (
    "name", "max_iters", "val_begin", "val_interval", "train_dataloader", "val_dataloader", "val_evaluator",
    "objectives", "optim_wrapper", "param_scheduler", "train_cfg", "default_hooks", "custom_hooks", "ema", "freeze",
    "cache",
)  # fmt: skip
SLOT_SETTINGS = ("modality", "type", "loader", "augmentations")
EXPORTS = ("last", "best")


def check_config(config: Mapping[str, Any]) -> None:
    """Check a whole training config.

    Raises:
        ConfigError: an unknown key, a missing part, or settings that a component does not take.
        UnknownComponentError: a component that no installed plugin provides.
    """
    known(config, TOP_LEVEL, "The config")
    for key in ("model", "processor"):
        if not isinstance(config.get(key), Mapping):
            raise ConfigError(f"The config has no `{key}`. It must be a dictionary.")
    check_model(config["model"])
    check_processor(config["processor"])
    _check_parts(config, "")
    from omni.engine.stages import STAGE_KEYS, merge

    for index, stage in enumerate(config.get("stages") or []):
        where = f"stages.{index}."
        known(stage, STAGE, f"stages.{index}")
        # what a stage says in part is the run's with its changes: so a data set need not repeat its type
        _check_parts({key: merge(config.get(key), value) for key, value in stage.items() if key in STAGE_KEYS}, where)
    if config.get("strategy") is not None:
        _check_strategy(config["strategy"])
    if config.get("export", "last") not in EXPORTS:
        raise ConfigError(f"export is {config['export']!r}: it must be one of {', '.join(EXPORTS)}.")


def _check_strategy(config: Any) -> None:
    kind = config.get("type") if isinstance(config, Mapping) else None
    if kind not in STRATEGIES:
        raise ConfigError(
            f"strategy is {config!r}: it must be a dictionary with a type, one of {', '.join(STRATEGIES)}."
            f"{did_you_mean(str(kind), STRATEGIES)}"
        )
    known(config, ("type", *STRATEGIES[kind]), "strategy")


def known(value: Any, names: Iterable[str], what: str) -> None:
    """Raise a ConfigError for a key of ``value`` that is not one of ``names``."""
    names = tuple(names)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{what} is {value!r}: it must be a dictionary.")
    for key in value:
        if key not in names and key != "_delete_":
            raise ConfigError(f"{what} has no key {key!r}.{did_you_mean(str(key), names)} Known: {', '.join(names)}.")


def check_model(config: Mapping[str, Any]) -> None:
    """ModelConfig's keys, and each adapter's and head's settings against its constructor."""
    from omni.core.config import ModelConfig
    from omni.plugin.catalog import get_catalog

    model = ModelConfig.from_dict(config)
    catalog = get_catalog()
    fixed = {"modality", "width", "num_heads", "num_layers"}
    for modality in model.modalities:
        settings = model.adapters.get(modality, {})
        component = catalog.component("modality", settings.get("type", modality))
        _arguments(component, settings, f"model.adapters.{modality}", given=fixed)
    for name, settings in model.heads.items():
        component = catalog.component("head", settings.get("type", name))
        _arguments(component, settings, f"model.heads.{name}", given={"width"})


def check_processor(config: Mapping[str, Any]) -> None:
    """Each slot's transform and its settings."""
    from omni.plugin.catalog import get_catalog

    catalog = get_catalog()
    for slot, settings in config.items():
        if not isinstance(settings, Mapping):
            raise ConfigError(f"processor.{slot} is {settings!r}: it must be a dictionary.")
        spec = catalog.get("modality", settings.get("modality", slot)).spec
        component = catalog.component("transform", settings.get("type") or spec.transform)
        own = {key: value for key, value in settings.items() if key not in SLOT_SETTINGS}
        _arguments(component, own, f"processor.{slot}")
        for item in settings.get("augmentations") or ():
            from omni.data.augment import build_augmentation

            build_augmentation(slot, item, modality=settings.get("modality", slot), transform=None)


def _check_parts(config: Mapping[str, Any], where: str) -> None:
    if config.get("train_cfg") is not None:
        known(config["train_cfg"], TRAIN_CFG, f"{where}train_cfg")
    for key in ("train_dataloader", "val_dataloader"):
        if config.get(key) is not None:
            known(config[key], LOADER, f"{where}{key}")
            _component("dataset", config[key].get("dataset"), f"{where}{key}.dataset")
    for key, kind in (("objectives", "objective"), ("val_evaluator", "metric")):
        for index, item in enumerate(_listed(config.get(key))):
            _component(kind, item, f"{where}{key}.{index}")
    if config.get("default_hooks") is not None:
        known(config["default_hooks"], DEFAULT_HOOKS, f"{where}default_hooks")
        for name, settings in config["default_hooks"].items():
            known(settings, DEFAULT_HOOKS[name], f"{where}default_hooks.{name}")
    if config.get("ema") is not None:
        known(config["ema"], EMA, f"{where}ema")
    if config.get("optim_wrapper") is not None:
        _check_optim_wrapper(config["optim_wrapper"], f"{where}optim_wrapper")
    for index, item in enumerate(_listed(config.get("param_scheduler"))):
        _check_scheduler(item, f"{where}param_scheduler.{index}")


def _check_optim_wrapper(config: Mapping[str, Any], what: str) -> None:
    known(config, OPTIM_WRAPPER, what)
    if config.get("clip_grad") is not None:
        known(config["clip_grad"], CLIP_GRAD, f"{what}.clip_grad")
    if config.get("optimizer") is not None:
        from omni.registry import OPTIMIZERS

        optimizer = config["optimizer"]
        component = OPTIMIZERS.get(optimizer.get("type", "AdamW"))
        _arguments(component, optimizer, f"{what}.optimizer", given={"params"})


def _check_scheduler(config: Any, what: str) -> None:
    if not isinstance(config, Mapping) or "type" not in config:
        raise ConfigError(f"{what} is {config!r}: it must be a dictionary with a type.")
    if config["type"] == "warmup_cosine":
        known(config, ("type", "warmup", "min_lr"), what)
        return
    from omni.registry import PARAM_SCHEDULERS

    PARAM_SCHEDULERS.get(config["type"])  # mmengine's schedulers check their own keywords when they are built


def _component(kind: str, config: Any, what: str) -> None:
    """A dictionary with a type: the catalog knows the type, its class takes the settings. Objects pass."""
    if not isinstance(config, Mapping):
        if config is None or isinstance(config, (str, int, float)):
            raise ConfigError(f"{what} is {config!r}: it must be a dictionary with a type.")
        return
    if not isinstance(config.get("type"), str):
        raise ConfigError(f"{what} has no `type`. Name the {kind}, as type='...'.")
    from omni import registry

    kinds = {"dataset": registry.DATASETS, "objective": registry.OBJECTIVES, "metric": registry.METRICS}
    _arguments(kinds[kind].get(config["type"]), config, what)


def _arguments(component: Any, settings: Mapping[str, Any], what: str, *, given: Iterable[str] = ()) -> None:
    """Settings against a constructor's signature; ``given`` are arguments that omni itself passes."""
    from omni.registry import check_arguments, handed_on_keywords

    options = {key: value for key, value in settings.items() if key != "type"}
    for key in given:
        if key in options:
            raise ConfigError(f"{what}: {key!r} is set by the model, not here. Take it out.")
    handed_on = handed_on_keywords(component)
    if handed_on is not None:
        known({key: None for key in options}, [name for name in handed_on if name not in given], what)
    check_arguments(component, {**options, **dict.fromkeys(given)}, what=what)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, Mapping) else list(value)
