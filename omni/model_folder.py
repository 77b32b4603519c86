"""The folder that holds a trained model: config.json, model.safetensors, files of the transforms, a card.

Nothing in it is ever unpickled. ``save_model_folder`` writes it as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omni import __version__
from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.dtypes import resolve_dtype
from omni.errors import ConfigError, UnknownComponentError, WeightsError
from omni.model_card import write_card
from omni.plugin.catalog import get_catalog
from omni.plugin.suggest import did_you_mean, known_plugins
from omni.types import TrainedGroup
from omni.weights import explain_difference, load_tensors, split_keys

FORMAT = 1
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
ASSETS = "processor"


@dataclass(kw_only=True)
class ModelFolder:
    """A loaded model folder.

    Attributes:
        model: in eval mode, on the device.
        processor: of the model's slots.
        info: what was saved beside it (training, results, data).
        path: of the folder.
        plugins: [{"name", "distribution", "version"}] with which it was saved.
    """

    model: OmniModel
    processor: Processor
    info: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    plugins: list[dict[str, str]] = field(default_factory=list)


def save_model_folder(
    folder: str | Path,
    model: OmniModel,
    processor: Processor,
    *,
    info: Mapping[str, Any] | None = None,
    dtype: str | torch.dtype | None = None,
) -> Path:
    """Write a folder that ``omni.load`` takes; an older model folder of that name is replaced in one step.

    Args:
        info: JSON values to keep with it (data, results, licence ...); shown in the card.
        dtype: of the saved floating-point weights, e.g. "fp16"; None = as they are.

    Raises:
        WeightsError: the name is taken by something that is no model folder, or the disk refuses.
        ConfigError: ``info`` is not JSON.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    refuse_foreign(folder)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir(parents=True)
        config = {
            "omni": __version__,
            "format": FORMAT,
            "model": model.config.to_dict(),
            "processor": processor.to_config(temporary / ASSETS),
            "trained_groups": [group.to_dict() for group in model.trained_groups],
            "plugins": used_plugins(model, processor),
            "info": dict(info or {}),
        }
        if (temporary / ASSETS).is_dir() and not any((temporary / ASSETS).iterdir()):
            (temporary / ASSETS).rmdir()
        save_file(_savable(model, dtype), temporary / WEIGHTS_NAME, metadata={"format": "pt", "omni": __version__})
        (temporary / CONFIG_NAME).write_text(_json(config), encoding="utf-8")
        write_card(temporary / "README.md", folder.name, config, parameters=count_parameters(model))
        shutil.copymode(temporary / CONFIG_NAME, temporary / WEIGHTS_NAME)  # safetensors makes it private
        replace_folder(temporary, folder)
    except OSError as error:
        raise WeightsError(f"The model cannot be written to {str(folder)!r}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def load_model_folder(
    folder: str | Path,
    *,
    slots: Iterable[str] | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    sha256: str = "",
) -> ModelFolder:
    """Read a model folder.

    Args:
        slots: build and read only what these slots need; None = all.
        device: None = the CPU.
        dtype: of the weights in memory; None = float32.
        sha256: if given, the weights file must have it.

    Raises:
        WeightsError: the folder or a file is missing or damaged, or weights and config differ (says how).
        UnknownComponentError: a plugin that it needs is not installed.
        ConfigError: an unknown dtype.
    """
    folder = Path(folder)
    target_dtype = resolve_dtype(dtype)
    config = read_config(folder)
    weights = folder / WEIGHTS_NAME
    if not weights.is_file():
        raise WeightsError(f"The model folder {str(folder)!r} has no {WEIGHTS_NAME}; copy it completely.")
    if sha256:
        verify_sha256(weights, sha256)
    whole = ModelConfig.from_dict(config["model"])
    chosen = list(whole.slots) if slots is None else list(slots)
    _require_slots(folder, whole, chosen)
    _require_plugins(folder, whole, chosen, config.get("plugins", []))
    part = whole if slots is None else whole.for_slots(chosen)
    model = build_empty(part)
    read_weights(model, weights, whole=whole)
    model.trained_groups = [TrainedGroup.from_dict(item) for item in config.get("trained_groups", [])]
    settings = {slot: config["processor"][slot] for slot in part.slots if slot in config["processor"]}
    processor = Processor.from_config(settings, folder / ASSETS)
    model.to(device=device or "cpu", dtype=target_dtype).eval()
    return ModelFolder(
        model=model,
        processor=processor,
        info=config.get("info", {}),
        path=folder,
        plugins=config.get("plugins", []),
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The contents of config.json.

    Raises:
        WeightsError: no such folder, no or a damaged config, or one of a newer omni.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        what = "has no config.json" if folder.is_dir() else "does not exist"
        raise WeightsError(f"{str(folder)!r} is no model folder: it {what}.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        missing = {"omni", "model", "processor"} - set(config)
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from error
    if missing:
        raise WeightsError(f"{path} is not one of omni's: it lacks {', '.join(sorted(missing))}.")
    if config.get("format", FORMAT) > FORMAT:
        raise WeightsError(f"{path} is of a newer format (omni {config['omni']}). Fix: pip install -U omni-core")
    return config


def read_weights(model: OmniModel, path: Path, *, whole: ModelConfig | None = None) -> None:
    """Load a safetensors file into a model; ``whole`` is the config of all that the file holds, for a partial model.

    Raises:
        WeightsError: damaged file, wrong shapes, missing or unknown weights; names them.
    """
    whole = whole or model.config
    wanted = model.state_dict()
    names, _ = split_keys(path, wanted=set(wanted), dropped=_dropped_parts(whole, model.config))
    problem = explain_difference(path, wanted, names, modalities=model.config.modalities, slots=list(model.slots))
    if problem:
        raise WeightsError(problem)
    tensors = load_tensors(path, wanted)
    cast = {name: value.to(wanted[name].dtype) for name, value in tensors.items()}
    model.load_state_dict(cast, strict=True, assign=_on_meta(model))


def build_empty(config: ModelConfig) -> OmniModel:
    """The model without spending time on random values, where all of its modules allow it; the caller's random state is
    left alone."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                model = OmniModel(config)
        except (NotImplementedError, RuntimeError):
            return OmniModel(config)
        return OmniModel(config) if _has_lost_tensors(model) else model


def used_plugins(model: OmniModel, processor: Processor) -> list[dict[str, str]]:
    """The plugins that provide the model's modalities, heads and transforms."""
    catalog = get_catalog()
    wanted = [("modality", name) for name in model.config.modalities]
    wanted += [("head", options.get("type", name)) for name, options in model.config.heads.items()]
    wanted += [("transform", settings["type"]) for settings in processor.to_config().values()]
    found = {}
    for kind, name in wanted:
        entry = catalog.get(kind, name)
        found[entry.plugin] = {"name": entry.plugin, "distribution": entry.distribution, "version": entry.version}
    return [found[name] for name in sorted(found)]


def count_parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def verify_sha256(path: Path, expected: str) -> None:
    """Raise WeightsError unless the file has this SHA-256."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise WeightsError(
            f"{path} is not the file it should be (sha256 {found}, expected {expected}). "
            "It is damaged or was changed; delete it and get it again."
        )


def replace_folder(new: Path, place: Path) -> None:
    """Put ``new`` in the place of ``place``; the old one stays until the new one is complete."""
    old = None
    if place.exists():
        old = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.old")
        os.replace(place, old)
    try:
        os.replace(new, place)
    except OSError:
        if old is not None:
            os.replace(old, place)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def refuse_foreign(folder: Path) -> None:
    """Raise WeightsError where writing a model folder would replace something that is none."""
    if folder.is_file():
        raise WeightsError(f"{str(folder)!r} is a file; name a folder for the model.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG_NAME).is_file():
        raise WeightsError(f"The folder {str(folder)!r} holds other files and no model; name another one.")


def _json(config: Mapping[str, Any]) -> str:
    try:
        return json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"What is saved with a model must be plain JSON values: {error}") from error


def _savable(model: nn.Module, dtype: str | torch.dtype | None) -> dict[str, Tensor]:
    """The state dict on the CPU, contiguous, without shared memory."""
    target = None if dtype is None else resolve_dtype(dtype)
    result, seen = {}, set()
    for name, value in model.state_dict().items():
        value = value.detach().to("cpu")
        if target is not None and value.is_floating_point():
            value = value.to(target)
        value = value.contiguous()
        if value.untyped_storage().data_ptr() in seen:
            value = value.clone()
        seen.add(value.untyped_storage().data_ptr())
        result[name] = value
    return result


def _dropped_parts(whole: ModelConfig, part: ModelConfig) -> frozenset[str]:
    modalities = set(whole.modalities) - set(part.modalities)
    return frozenset(modalities | (set(whole.slots) - set(part.slots)))


def _require_slots(folder: Path, config: ModelConfig, chosen: list[str]) -> None:
    for slot in chosen:
        if slot in config.slots:
            continue
        catalog = get_catalog()
        without = ""
        if catalog.has("modality", slot):
            without = f" They were trained without {catalog.get('modality', slot).distribution}."
        else:
            for plugin in known_plugins().values():
                if slot in plugin.provides.get("modality", ()):
                    without = f" They were trained without {plugin.distribution}."
        raise WeightsError(
            f"The weights in {str(folder)!r} have no slot {slot!r}: these weights have no {slot} expert.{without} "
            f"Slots: {', '.join(f'{name} ({kind})' for name, kind in config.slots.items())}."
            f"{did_you_mean(slot, config.slots)}"
        )
    if not chosen:
        raise WeightsError(f"slots=[] asks for no part of the model; it has {', '.join(config.slots)}.")


def _require_plugins(folder: Path, config: ModelConfig, chosen: list[str], plugins: list[dict[str, str]]) -> None:
    """Explain a modality that no installed plugin provides, with the way around it."""
    catalog = get_catalog()
    lacking = {config.slots[slot] for slot in chosen if not catalog.has("modality", config.slots[slot])}
    if not lacking:
        return
    rest = [slot for slot, modality in config.slots.items() if catalog.has("modality", modality)]
    saved = ", ".join(f"{item['distribution']} {item['version']}" for item in plugins)
    explained = " ".join(catalog.explain_unknown("modality", name) for name in sorted(lacking))
    around = f" Or load the rest: omni.load({str(folder)!r}, slots={rest})." if rest else ""
    raise UnknownComponentError(
        f"The model in {str(folder)!r} needs plugins that are not there. {explained} It was saved with {saved}.{around}"
    )


def _on_meta(model: nn.Module) -> bool:
    return any(parameter.is_meta for parameter in model.parameters())


def _has_lost_tensors(model: nn.Module) -> bool:
    """True if something that no weights file would bring back lives on the meta device."""
    saved = {id(value) for value in model.state_dict(keep_vars=True).values()}
    held = [buffer for buffer in model.buffers() if id(buffer) not in saved]
    for module in model.modules():
        held += [value for value in vars(module).values() if isinstance(value, Tensor)]
    return any(value.is_meta for value in held)
