"""LoRA on the core: W + alpha / rank * B A, A random and B zero at the start (Hu et al., 2021, section 4.1).

As parametrizations of torch. peft puts a module beside a module and adds their outputs; the core computes with weights
(queries, keys and values as one matrix, LayerScale folded into the last map), so what changes here is the weight. The
two are equal, and a test compares them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from omni.errors import ConfigError

SETTINGS = ("rank", "alpha", "targets")
TARGETS = ("attention", "experts")
_ORIGINAL = re.compile(r"\.parametrizations\.(\w+)\.original$")


class LowRank(nn.Module):
    """What is added to one matrix.

    Args:
        weight_FD: the matrix, for shape, dtype and device.
        rank: R.
        alpha: the sum of R products is multiplied by alpha / R.
    """

    def __init__(self, weight_FD: Tensor, *, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight_FD.shape
        self.scale = alpha / rank
        self.lora_A = nn.Parameter(weight_FD.new_empty(rank, columns))
        self.lora_B = nn.Parameter(weight_FD.new_zeros(rows, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, weight_FD: Tensor) -> Tensor:
        """(F, D) in the weight's dtype, autocast or not: what is trained is then what merging gives."""
        with torch.autocast(weight_FD.device.type, enabled=False):
            return weight_FD + self.scale * (self.lora_B @ self.lora_A)


def add_lora(
    core: nn.Module, *, rank: int = 8, alpha: float | None = None, targets: Sequence[str] = TARGETS
) -> list[str]:
    """Put low-rank matrices beside the matrices of the core's blocks; they start without effect.

    Args:
        core: the OmniCore.
        rank: R, at most the smaller side of each matrix.
        alpha: None = 2 * rank.
        targets: names or globs of modules or parameters within a block, e.g. "attention", "experts.NAME",
            "attention.qkv_weight".

    Returns:
        names of the matrices, below the core.

    Raises:
        ConfigError: a rank that is not possible, or a target without a matrix.
    """
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise ConfigError(f"lora: rank is {rank!r}; it must be a whole number of at least 1.")
    if isinstance(targets, str) or not targets:
        raise ConfigError(f"lora: targets is {targets!r}; it must be a list, such as {list(TARGETS)}.")
    matrices = {name: value for name, value in core.named_parameters() if value.ndim == 2 and "layers." in name}
    chosen: dict[str, None] = {}
    for target in targets:
        hits = [name for name in matrices if _meant(target, name)]
        if not hits:
            known = dict.fromkeys(_in_block(name) for name in matrices)
            raise ConfigError(f"lora: the target {target!r} matches no matrix of a block: {', '.join(known)}.")
        chosen.update(dict.fromkeys(hits))
    for name in chosen:
        if rank > min(matrices[name].shape):
            raise ConfigError(
                f"lora: rank {rank} is more than the smaller side of core.{name}, {tuple(matrices[name].shape)}."
            )
    for name in chosen:
        owner, _, own = name.rpartition(".")
        added = LowRank(matrices[name].detach(), rank=rank, alpha=2 * rank if alpha is None else float(alpha))
        parametrize.register_parametrization(core.get_submodule(owner), own, added, unsafe=True)
    return list(chosen)


def merge_lora(model: nn.Module) -> nn.Module:
    """Add the low-rank matrices to the weights for good, in place; the model is then an ordinary one.

    Args:
        model: an OmniModel, with or without LoRA.

    Returns:
        the model.
    """
    for module, name in list(lora_places(model)):
        parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    model.config = replace(model.config, lora=None)
    return model


def lora_places(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """The modules and the names of their matrices that have low-rank ones beside them."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            for name, added in module.parametrizations.items():
                if any(isinstance(item, LowRank) for item in added):
                    yield module, name


def plain_name(name: str) -> str:
    """The name that a matrix has without LoRA."""
    return _ORIGINAL.sub(r".\1", name)


def lora_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a model's config, without those of a run."""
    return {key: config[key] for key in SETTINGS if key in config}


def _in_block(name: str) -> str:
    """``layers.3.attention.out.weight`` -> ``attention.out.weight``."""
    return name.split(".", 2)[2]


def _meant(target: str, name: str) -> bool:
    shown = (_in_block(name), name, f"core.{name}")
    return any(fnmatchcase(item, target) or fnmatchcase(item, f"{target}.*") for item in shown)
