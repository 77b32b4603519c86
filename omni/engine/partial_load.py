"""Starting from weights that fit in part: ``load_from`` and ``load_except``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from omni.core.lora import plain_name
from omni.engine.freeze import match
from omni.errors import ConfigError, WeightsError


@dataclass(frozen=True, kw_only=True)
class PartialLoad:
    """What happened.

    Attributes:
        loaded: names that were read from the file.
        fresh: names of the model that the file lacks, or that a pattern kept out; they start anew.
        unused: names of the file that the model has no place for (other modalities, other heads).
    """

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]


@torch.no_grad()
def load_part(model: nn.Module, source: str | Path, *, leave_out: Sequence[str] = ()) -> PartialLoad:
    """Read from a model folder (or a .safetensors file) what the model has a place for, tensor by tensor.

    A model of fewer modalities than the file's reads only its own experts and adapters; one of more starts the others
    anew.

    Args:
        model: with whole parameters.
        source: the folder or file.
        leave_out: patterns over parameter names (as of ``freeze``) of what is not taken.

    Raises:
        WeightsError: no such file, a damaged one, a parameter of another shape, or nothing that fits.
        ConfigError: a pattern matches nothing in the file.
    """
    path = Path(source) / "model.safetensors" if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise WeightsError(f"load_from: there is no {path}. Name a model folder or a .safetensors file.")
    state = {plain_name(name): value for name, value in model.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            skipped = _matching(names, leave_out, path)
            _refuse_adapters([name for name in names if name not in state], path)
            loaded = [name for name in map(plain_name, names) if name in state and name not in skipped]
            in_file = {plain_name(name): name for name in names}
            for name in loaded:
                value = file.get_tensor(in_file[name])
                if value.shape != state[name].shape:
                    raise WeightsError(
                        f"load_from: {name} is {tuple(value.shape)} in {path} and {tuple(state[name].shape)} in the "
                        f"model. Make the config's sizes those of the file, or start it anew: load_except=[{name!r}]."
                    )
                state[name].copy_(value)
    except SafetensorError as error:
        raise WeightsError(f"load_from: {path} cannot be read ({error}). Copy the file again.") from error
    if not loaded:
        raise WeightsError(
            f"load_from: no parameter of {path} has a place in this model. Name weights of the same kind of model, or "
            "take load_from out."
        )
    return PartialLoad(
        loaded=tuple(loaded),
        fresh=tuple(sorted(state.keys() - set(loaded))),
        unused=tuple(name for name in names if plain_name(name) not in state),
    )


def _refuse_adapters(unused: Sequence[str], path: Path) -> None:
    """Without its low-rank matrices a model is not the one that was trained."""
    if any(name.endswith(".lora_A") for name in unused):
        raise WeightsError(
            f"load_from: {path} holds low-rank matrices, and the model has none of their shape. Merge them first: "
            "omni.core.lora.merge_lora(model), then save it."
        )


def _matching(names: Sequence[str], patterns: Sequence[str], path: Path) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        hits = {name for name in names if match(pattern, name)}
        if not hits:
            raise ConfigError(f"load_except: the pattern {pattern!r} matches nothing in {path}.")
        found |= hits
    return found
