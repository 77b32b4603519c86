"""Tensors whose rows lie spread over the processes: this process's part, and the whole again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from omni.objectives.gather import rank


def is_sharded(tensor: Any) -> bool:
    """Whether it is torch's DTensor (asked without importing it, which costs start-up time)."""
    return hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """This process's rows, in the same memory; a tensor that is not sharded as it is."""
    return tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[operator]


def whole(tensor: Tensor) -> Tensor:
    """All rows, on every process. A collective where the tensor is sharded."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[operator]


def whole_like(part: Tensor, parameter: Tensor) -> Tensor:
    """All rows of a tensor that is spread as ``parameter`` is, from every process's ``part``. A collective."""
    if not is_sharded(parameter):
        return part
    from torch.distributed.tensor import DTensor

    spread = DTensor.from_local(
        part.contiguous(),
        parameter.device_mesh,  # type: ignore[attr-defined]
        parameter.placements,  # type: ignore[attr-defined]
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )
    return spread.full_tensor()


def part_of(full: Tensor, parameter: Tensor) -> Tensor:
    """The rows of ``full`` (a tensor of ``parameter``'s shape) that this process holds."""
    if not is_sharded(parameter):
        return full
    each = -(-parameter.shape[0] // parameter.device_mesh.size())  # type: ignore[attr-defined]
    start = min(rank() * each, full.shape[0])
    return full[start : start + each]


def gather_state(state: Mapping[str, Any], *, keep: bool = True) -> dict[str, Any]:
    """A state dictionary with whole tensors on the CPU.

    Args:
        state: a module's, the same names in the same order on every process. A collective.
        keep: False = take part, and return {}: so only one process holds them all.
    """
    found: dict[str, Any] = {}
    for name, value in state.items():
        full = whole(value.detach()) if isinstance(value, Tensor) else value
        if keep:
            found[name] = full.cpu() if isinstance(full, Tensor) else full
    return found


@torch.no_grad()
def spread_state(module: torch.nn.Module, state: Mapping[str, Any]) -> None:
    """Put whole tensors into a module whose parameters may be sharded. No collective.

    Raises:
        RuntimeError: names or shapes differ, as torch's own load_state_dict raises.
    """
    mine = module.state_dict()
    if mine.keys() != state.keys():
        raise RuntimeError(f"state_dict: the names {', '.join(sorted(mine.keys() ^ state.keys())[:5])} differ.")
    for name, value in mine.items():
        if not isinstance(value, Tensor):
            continue
        if value.shape != state[name].shape:
            raise RuntimeError(f"state_dict: {name} is {tuple(value.shape)}, not {tuple(state[name].shape)}.")
        local(value.detach()).copy_(part_of(state[name], value))


def blocks_of(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The blocks of the shared core, in order."""
    yield from module.model.core.layers  # type: ignore[union-attr]
