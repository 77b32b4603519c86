"""What of an encoder trains. What does not is kept in buffers: no optimizer, freeze list or weight decay reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from omni.errors import ConfigError, MissingDependencyError
from omni_plugin_hf.encoders import SUMMARY_PARTS

LAYER_LISTS = ("layer", "layers", "blocks", "block", "h")
LORA_SETTINGS = ("r", "alpha", "dropout", "targets")


def set_training(
    model: nn.Module, train: str | int, *, lora: Mapping[str, Any] | None = None, summary: str = "mean"
) -> list[str]:
    """Decide what trains, and turn all other parameters into buffers of the same names.

    Args:
        model: an encoder.
        train: "none", "all", or the number of last layers (stages, where an encoder has stages) that train, together
            with what comes after them.
        lora: ``{"r": 8, "alpha": 16, "dropout": 0.0, "targets": [...]}`` for low-rank matrices beside the linear maps
            of all layers (targets: only those whose names end so); only with ``train="none"``.
        summary: "pooler" if the pooled output is used; modules only for it are idle otherwise and do not train.

    Returns:
        names of the modules that follow train() and eval(); all others stay in evaluation mode.

    Raises:
        ConfigError: an unknown value, more layers than there are, or targets that do not exist.
        MissingDependencyError: lora without peft.
    """
    if lora is not None:
        if train != "none":
            raise ConfigError(f"lora is for an encoder that is else frozen; take out train={train!r}, or lora")
        add_lora(model, lora)
        trained = {name for name, _ in model.named_parameters() if "lora_" in name}
        modules = [name for name, _ in model.named_modules() if name.rpartition(".")[2].startswith("lora_")]
    elif train == "all":
        trained, modules = {name for name, _ in model.named_parameters()}, [""]
    elif train == "none":
        trained, modules = set(), []
    else:
        trained, modules = _last_layers(model, train)
    if summary != "pooler":
        trained = {name for name in trained if set(SUMMARY_PARTS).isdisjoint(name.split("."))}
    for name, module in model.named_modules():
        for own in list(module._parameters):
            full = f"{name}.{own}" if name else own
            if module._parameters[own] is not None and full not in trained:
                value = module._parameters.pop(own)
                module.register_buffer(own, value.detach())
            elif module._parameters[own] is not None:
                module._parameters[own].requires_grad_(True)
    return modules


def layer_list(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The outermost list of an encoder's layers, with its name.

    Raises:
        ConfigError: there is none.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) and name.rpartition(".")[2] in LAYER_LISTS:
            return name, module
    raise ConfigError(f"no list of layers is found in {type(model).__name__}; only train='none' or 'all' is possible")


def _last_layers(model: nn.Module, count: Any) -> tuple[set[str], list[str]]:
    name, layers = layer_list(model)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= len(layers):
        raise ConfigError(f"train={count!r} must be 'none', 'all', or a number of last layers, 1 to {len(layers)}")
    modules = [f"{name}.{index}" for index in range(len(layers) - count, len(layers))]
    names = [item for item, _ in model.named_parameters()]
    last = max(place for place, item in enumerate(names) if item.startswith(f"{name}."))
    trained = {item for item in names if any(item.startswith(f"{module}.") for module in modules)}
    return trained | set(names[last + 1 :]), modules


def add_lora(model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Put low-rank matrices beside the linear maps of the layers, through peft; they start without effect.

    Raises:
        ConfigError, MissingDependencyError: see set_training.
    """
    unknown = sorted(set(settings) - set(LORA_SETTINGS))
    if unknown:
        raise ConfigError(f"lora: no setting {', '.join(map(repr, unknown))}; there are {', '.join(LORA_SETTINGS)}")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingDependencyError(f"lora needs peft ({error}): pip install 'omni-plugin-hf[peft]'") from error
    list_name, layers = layer_list(model)
    linear = [f"{list_name}.{name}" for name, module in layers.named_modules() if isinstance(module, nn.Linear)]
    wanted = list(settings.get("targets") or [])
    leaves = sorted({name.rpartition(".")[2] for name in linear})
    if missing := [target for target in wanted if target not in leaves]:
        raise ConfigError(f"lora: no linear map is called {', '.join(missing)}; there are {', '.join(leaves)}")
    rank = int(settings.get("r", 8))
    if rank < 1:
        raise ConfigError(f"lora: r={rank} must be at least 1")
    config = LoraConfig(
        r=rank,
        lora_alpha=settings.get("alpha", 2 * rank),
        lora_dropout=float(settings.get("dropout", 0.0)),
        target_modules=[name for name in linear if not wanted or name.rpartition(".")[2] in wanted],
    )
    inject_adapter_in_model(config, model)
