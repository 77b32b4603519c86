"""What a trained model brings to a run: its shape, low-rank matrices beside its own, or a new modality all of whose old
outputs stay as they are, to the bit (after ONE-PEACE, 2023).

``load_from`` names the trained model, ``add_modality`` the new slot. Model and processor of the old slots are read from
the folder, everything of theirs is frozen, and what was read is compared again before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from omni.config_schema import known
from omni.core.config import ModelConfig
from omni.core.lora import SETTINGS, lora_settings
from omni.engine.stages import StageConfig
from omni.errors import ConfigError, TrainingError
from omni.types import TrainedGroup

KEYS = ("slot", "modality", "adapter", "processor", "missing")
LORA_SAVES = ("merged", "adapters")
LORA_FREEZE = ["*", "!core.*.lora_A", "!core.*.lora_B"]
WEIGHTS = "model.safetensors"
SHOWN = 5


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """The config with what the folder of ``load_from`` says: its model and processor where the config gives none, with
    the slots of ``add_modality`` or the matrices of ``lora``.

    Raises:
        ConfigError: ``add_modality`` without a model folder, a slot or modality that the model has already, or a
            ``model`` or ``processor`` beside it.
        WeightsError: no such folder.
    """
    added, lora, source = config.get("add_modality"), config.get("lora"), config.get("load_from")
    if source is None:
        if added is not None or lora is not None:
            key = "lora" if added is None else "add_modality"
            raise ConfigError(f"{key} needs load_from: the folder of the trained model that it is for.")
        return config
    if added is not None:
        return _with_added(config, added)
    if "model" not in config and "processor" not in config and Path(source).is_dir():
        model, processor = _old_settings(Path(source))
        config = {**config, "model": model, "processor": processor}
    return config if lora is None else _with_lora(config, lora)


def _with_added(config: dict[str, Any], added: Any) -> dict[str, Any]:
    for key, why in (
        ("load_except", "load_except would start parts of it anew"),
        ("lora", "lora would change the attention that all slots share"),
    ):
        if config.get(key):
            raise ConfigError(f"add_modality keeps all of the old model; {why}. Take one of the two out.")
    model, processor = _old_settings(Path(config["load_from"]))
    for index, item in enumerate(listed(added)):
        _add(model, processor, item, f"add_modality.{index}" if isinstance(added, Sequence) else "add_modality")
    made = {"model": ModelConfig.from_dict(model).to_dict(), "processor": processor}
    for key, value in made.items():
        if config.get(key) not in (None, value):
            raise ConfigError(
                f"`{key}` comes from {config['load_from']} when there is add_modality. Take it out of the config."
            )
    return {**config, **made}


def _with_lora(config: dict[str, Any], lora: Any) -> dict[str, Any]:
    known(lora, (*SETTINGS, "save"), "lora")
    if lora.get("save", LORA_SAVES[0]) not in LORA_SAVES:
        raise ConfigError(f"lora.save is {lora['save']!r}: it must be one of {', '.join(LORA_SAVES)}.")
    model = dict(config.get("model") or {})
    wanted = lora_settings(lora)
    if model.get("lora") not in (None, wanted):
        raise ConfigError(
            f"lora is {wanted}, but {config['load_from']} has low-rank matrices of {model['lora']}. Take lora out to "
            "train those on, or merge them first: omni.core.lora.merge_lora(model), then save it."
        )
    return {**config, "model": {**model, "lora": wanted}}


def listed(added: Any) -> list[Any]:
    """``add_modality`` as a list."""
    return [] if added is None else [added] if isinstance(added, Mapping) else list(added)


def _old_settings(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from omni.data.processor import with_paths
    from omni.model_folder import ASSETS, read_config

    found = read_config(folder)
    settings = {slot: with_paths(item, folder.absolute() / ASSETS / slot) for slot, item in found["processor"].items()}
    return ModelConfig.from_dict(found["model"]).to_dict(), settings


def _add(model: dict[str, Any], processor: dict[str, Any], item: Any, what: str) -> None:
    known(item, KEYS, what)
    slot = item.get("slot")
    if not isinstance(slot, str):
        raise ConfigError(f"{what} has no `slot`. Name the new one, as add_modality=dict(slot='...').")
    modality = item.get("modality", slot)
    if slot in model["slots"]:
        raise ConfigError(f"{what}: the model has a slot {slot!r} already. Give the new one another name.")
    if modality in model["slots"].values():
        others = [name for name, kind in model["slots"].items() if kind == modality]
        raise ConfigError(
            f"{what}: the model knows {modality!r} already, from the slot {others[0]!r}; training it further would "
            "change that slot's outputs. Train with load_from alone."
        )
    model["slots"][slot] = modality
    if item.get("adapter"):
        model["adapters"][modality] = dict(item["adapter"])
    if item.get("missing"):
        model["missing"].append(slot)
    processor[slot] = {"modality": modality, **item.get("processor", {})}


class Kept:
    """The old part of a model that gets a modality: what it is, that it does not train, and that it has not moved.

    Args:
        folder: of the old model.
        model: with the new slots.

    Raises:
        ConfigError: the config does not have all of the old model, or adds nothing to it.
    """

    def __init__(self, folder: str | Path, model: nn.Module) -> None:
        from omni.model_folder import read_config

        self.path = Path(folder) / WEIGHTS
        with safe_open(self.path, framework="pt") as file:
            self.names = frozenset(file.keys())
        lost = sorted(self.names - set(model.state_dict()))
        if lost:
            raise ConfigError(f"add_modality: {lost[0]} of {self.path} has no place in the model. Take `model` out.")
        self.groups = [TrainedGroup.from_dict(item) for item in read_config(Path(folder)).get("trained_groups", [])]
        self.freeze = ["*", *(f"!{part}" for part in new_parts(model, self.names))]
        if len(self.freeze) == 1:
            raise ConfigError("add_modality: the new slot brings nothing that could be trained.")

    def check_frozen(self, model: nn.Module, stage: StageConfig) -> None:
        """Raise a ConfigError if something of the old model trains in a stage."""
        moving = [name for name, value in model.named_parameters() if value.requires_grad and name in self.names]
        if moving:
            raise ConfigError(
                f"Stage {stage.name!r}: freeze lets {_shown(moving)} train, which the old slots share; add_modality "
                "keeps their outputs. Take the pattern out, or leave add_modality out and train with load_from alone."
            )

    @torch.no_grad()
    def check_unmoved(self, model: nn.Module) -> None:
        """Compare every tensor with the old folder's, to the bit.

        Raises:
            TrainingError: names those that differ.
        """
        state = model.state_dict()
        with safe_open(self.path, framework="pt") as file:
            moved = [name for name in self.names if not _same(state[name].cpu(), file.get_tensor(name))]
        if moved:
            raise TrainingError(
                f"add_modality: {_shown(sorted(moved))} changed, so the old outputs would not be what they were. "
                "Something writes into frozen parts while it trains (statistics of a norm, a hook). Nothing was saved."
            )


def new_parts(model: nn.Module, old: frozenset[str]) -> list[str]:
    """The outermost modules and names of a model's parameters that hold nothing of the old names."""
    above = {name[:end] for name in old for end in _ends(name)}
    parts: dict[str, None] = {}
    for name, _ in model.named_parameters():
        if name not in old:
            parts[next(name[:end] for end in _ends(name) if name[:end] not in above)] = None
    return list(parts)


def _ends(name: str) -> list[int]:
    """Where each dotted prefix of a name ends, the name itself last."""
    return [place for place, letter in enumerate(name) if letter == "."] + [len(name)]


def _same(now: torch.Tensor, old: torch.Tensor) -> bool:
    return torch.equal(now, old.to(now.dtype))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
