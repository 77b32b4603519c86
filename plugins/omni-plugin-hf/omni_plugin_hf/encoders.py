"""Encoders of transformers: found by kind, built from a saved architecture, read from safetensors; never fetched.

Nothing is unpickled (only safetensors are read) and no code of a checkpoint is run (no ``trust_remote_code``).
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging

from omni.errors import ConfigError, WeightsError

KINDS = {"vision": ("pixel_values",), "text": ("input_ids",), "audio": ("input_values", "input_features")}
SUMMARIES = ("auto", "class", "mean", "pooler")
POOLED_FAMILIES = ("clip", "siglip", "clap")  # their pooled output is what they were trained by
SUMMARY_PARTS = ("pooler", "post_layernorm", "head")  # modules that only a pooled output uses
CLASS_TOKENS = ("cls_token", "class_embedding")
SETTINGS = ("path", "config", "sha256")


@dataclass(kw_only=True)
class Encoder:
    """An encoder and what is known of it.

    Attributes:
        model: of transformers.
        config: of the part that is used (of CLIP, say, its vision_config).
        summary: "class", "mean" or "pooler".
        unread: where the weights should have come from and did not; "" = they are there.
    """

    model: PreTrainedModel
    config: PreTrainedConfig
    summary: str
    unread: str = ""


def open_encoder(settings: Mapping[str, Any], kind: str, *, summary: str = "auto") -> Encoder:
    """Build an encoder, and read its weights where a folder with them is named.

    A dictionary that can be changed is completed: ``config`` gets the architecture and ``sha256`` that of the weights
    file, so that a model saved with it is whole without the folder.

    Args:
        settings: ``{"path": folder}`` (or the name of a repository in Hugging Face's local cache), ``{"config":
            {"model_type": ..., ...}}`` for an encoder that starts anew, or both.
        kind: "vision", "text" or "audio".
        summary: see Encoder; "auto" = the pooled output for CLIP, SigLIP and CLAP, else a class token that the encoder
            learnt (not for text), else the mean.

    Raises:
        ConfigError: no such folder, an encoder of another kind or without such a summary, or unknown settings.
        WeightsError: weights that are not safetensors, or do not fit the architecture.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(f"encoder is a dictionary, as dict(path={settings!r}), which is completed and saved")
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown or not (settings.get("path") or settings.get("config")):
        wrong = f"has no setting {', '.join(map(repr, unknown))}" if unknown else "names neither path nor config"
        raise ConfigError(f"encoder: {wrong}; give dict(path='folder') or dict(config=dict(model_type=...))")
    path, saved = settings.get("path") or "", settings.get("config")
    whole = _rebuilt(saved) if saved else _read_config(path)
    config = part_of(whole, kind)
    to_be_filled = torch.get_default_device().type == "meta"  # a model folder's weights are about to be read
    readable = not to_be_filled and _weights_match(path, settings.get("sha256", ""))
    if path and not (readable or saved or to_be_filled):
        raise ConfigError(f"encoder: {path!r} holds no model.safetensors; convert the weights, or download them first")
    with torch.device("cpu"):  # buffers that no weights file brings back must not be made on the meta device
        chosen = _choose_summary(config, kind, summary)
        if readable:
            model = _from_folder(path, _read_config(path), kind, chosen)
        else:
            model = _from_config(config, chosen, initialise=not path and not to_be_filled)
    _check_kind(model, kind, path or config.model_type)
    unread = path if path and not readable and not to_be_filled else ""
    if unread:
        _spoil(model)
    if isinstance(settings, dict):
        settings["config"] = plain_config(config)
        if readable:
            settings.setdefault("sha256", _weights_sha256(path))
    return Encoder(model=model, config=config, summary=chosen, unread=unread)


def part_of(config: PreTrainedConfig, kind: str) -> PreTrainedConfig:
    """The part of a model of several (CLIP) that is of this kind, or the config itself."""
    part = getattr(config, f"{kind}_config", None)
    return part if isinstance(part, PreTrainedConfig) else config


def class_of(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The bare model of a config.

    Raises:
        ConfigError: transformers has none.
    """
    found = MODEL_MAPPING.get(type(config), None)
    if isinstance(found, (tuple, list)):
        found = found[0]
    if found is None:
        found = getattr(transformers, type(config).__name__.removesuffix("Config") + "Model", None)
    if found is None:
        raise ConfigError(f"encoder: transformers has no bare model for {config.model_type!r}")
    return found


def plain_config(config: PreTrainedConfig) -> dict[str, Any]:
    """JSON form, without the name of the folder that it came from."""
    value = json.loads(config.to_json_string(use_diff=False))
    value.pop("_name_or_path", None)
    return value


def _rebuilt(saved: Mapping[str, Any]) -> PreTrainedConfig:
    options = json.loads(json.dumps(saved))
    model_type = options.pop("model_type", None)
    try:
        return AutoConfig.for_model(model_type, **options)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"encoder: no architecture can be built from its config ({error})") from error


def _read_config(path: str) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"encoder: {path!r} is neither a folder of transformers nor in its local cache; nothing is fetched here. "
            f"Get it first: hf download {Path(path).name if Path(path).is_absolute() else path} ({_first_line(error)})"
        ) from error


def _choose_summary(config: PreTrainedConfig, kind: str, summary: str) -> str:
    if summary not in SUMMARIES:
        raise ConfigError(f"summary {summary!r} is not known; use one of {', '.join(SUMMARIES)}")
    if summary == "mean" or (summary == "class" and kind == "text"):
        return summary
    if summary == "auto" and config.model_type.startswith(POOLED_FAMILIES):
        return "pooler"
    if summary == "auto" and kind == "text":
        return "mean"
    with torch.device("meta"), no_init_weights():
        names = [name for name, _ in _bare(class_of(config)(config)).named_parameters()]
    has_class = any(name.rpartition(".")[2] in CLASS_TOKENS for name in names)
    if summary == "class" and not has_class:
        raise ConfigError(f"summary='class': {config.model_type} has no class token; use 'mean' or 'pooler'")
    if summary != "auto":
        return summary
    return "class" if has_class else "mean"


def _options(config: PreTrainedConfig, summary: str) -> dict[str, Any]:
    """No pooling layer where none is used: it would be idle, and checkpoints may lack it."""
    takes = inspect.signature(class_of(config).__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in takes and summary != "pooler" else {}


def _bare(model: PreTrainedModel) -> PreTrainedModel:
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model


def _from_config(config: PreTrainedConfig, summary: str, *, initialise: bool) -> PreTrainedModel:
    options = _options(config, summary)
    if initialise:
        return _bare(class_of(config)(config, **options)).float()
    with no_init_weights():
        return _bare(class_of(config)(config, **options)).float()


def _from_folder(path: str, whole: PreTrainedConfig, kind: str, summary: str) -> nn.Module:
    """The weights of a folder, all of them its own; of a model of several parts only the part of this kind."""
    config = part_of(whole, kind)
    is_part = config is not whole
    options = {} if is_part else _options(config, summary)
    try:
        with _quiet():
            model, report = class_of(whole).from_pretrained(
                path,
                config=whole,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"encoder: no safetensors can be read from {path!r} ({_first_line(error)})") from error
    name = f"{kind}_model"
    missing = [key for key in sorted(report["missing_keys"]) if not is_part or key.startswith(f"{name}.")]
    missing = [key for key in missing if summary == "pooler" or not _pools(key)]
    if missing or report["mismatched_keys"]:
        wrong = ", ".join([*missing, *map(str, report["mismatched_keys"])][:5])
        raise WeightsError(
            f"encoder: the weights in {path!r} do not fit {config.model_type}: {wrong}. What is missing would be "
            "random; choose a summary that does not use it, or the right folder."
        )
    return _part_alone(getattr(model, name, None), config, kind, summary) if is_part else _bare(model)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar, and no table of weights that are not used: what is missing is an error here."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _part_alone(part: nn.Module | None, config: PreTrainedConfig, kind: str, summary: str) -> nn.Module:
    """The part of a model of several as its own bare model: some are kept there without their outermost module."""
    if part is None:
        raise ConfigError(f"encoder: the part of {kind} of {config.model_type} is not found")
    alone = _from_config(config, summary, initialise=False)
    state, wanted = part.state_dict(), alone.state_dict().keys()
    if not wanted <= state.keys():
        state = {f"{kind}_model.{name}": value for name, value in state.items()}
    unknown = sorted(wanted - state.keys())
    if unknown:
        raise WeightsError(f"encoder: the part of {kind} has no {', '.join(unknown[:5])}; it cannot be taken alone")
    alone.load_state_dict({name: state[name] for name in wanted})
    return alone


def _pools(name: str) -> bool:
    return not set(SUMMARY_PARTS).isdisjoint(name.split("."))


def _check_kind(model: PreTrainedModel, kind: str, name: str) -> None:
    if model.main_input_name not in KINDS[kind]:
        kinds = [other for other, inputs in KINDS.items() if model.main_input_name in inputs]
        raise ConfigError(
            f"encoder: {name!r} reads {model.main_input_name}, so it is no encoder of {kind}"
            + (f"; use hf_{kinds[0]}" if kinds else "")
        )


@torch.no_grad()
def _spoil(model: nn.Module) -> None:
    """Weights that are still to come are not a number, so that they cannot be used by mistake."""
    for value in model.parameters():
        value.fill_(float("nan"))


def weights_file(path: str) -> Path | None:
    """The one safetensors file (or the index of several) of a folder or of a repository in the local cache."""
    from transformers.utils import cached_file

    for name in ("model.safetensors", "model.safetensors.index.json"):
        try:
            found = cached_file(path, name, local_files_only=True, _raise_exceptions_for_missing_entries=False)
        except (OSError, ValueError):
            return None
        if found is not None:
            return Path(found)
    return None


def _weights_sha256(path: str) -> str:
    file = weights_file(path)
    if file is None:
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _weights_match(path: str, sha256: str) -> bool:
    """The folder has weights, and the ones that were meant."""
    return bool(path) and weights_file(path) is not None and (not sha256 or _weights_sha256(path) == sha256)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
