"""Gradient caching: the loss of a large batch with the memory of a small one.

First every chunk goes through the model without a graph, and only the leaves that the objectives read are kept. The
loss is taken on the concatenated leaves, and its gradients with respect to them are kept. Then every chunk goes
through once more with its random state put back, with a graph this time, and takes its leaves' gradients backwards.
The sum over chunks is the gradient of one pass. (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under
Memory Limited Setup".)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.nn.functional import pad

from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives.base import Leaf, Objective
from omni.objectives.gather import world_size
from omni.types import Batch, SlotEmbedding, SlotTokens

if TYPE_CHECKING:
    from omni.engine.model_wrapper import TrainingModel

KINDS = ("embedding", "pooled", "tokens")


@dataclass(frozen=True)
class _RngState:
    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> _RngState:
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None)

    def restore(self, device: torch.device) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, device)


def check(objectives: Mapping[str, nn.Module]) -> None:
    """Raise a ConfigError if an objective reads something that cannot be detached and replayed."""
    for name, objective in objectives.items():
        assert isinstance(objective, Objective)
        foreign = [leaf.kind for leaf in objective.reads() if leaf.kind not in KINDS]
        if foreign or not getattr(objective, "supports_grad_cache", True):
            raise ConfigError(
                f"Objective {name!r} cannot be trained with gradient caching (it reads "
                f"{', '.join(foreign) or 'more than its leaves'}; {', '.join(KINDS)} can be cached). Leave out "
                "--grad-cache, or take the objective out."
            )


def leaves_of(objectives: Mapping[str, nn.Module]) -> list[tuple[str, str]]:
    """(kind, slot) of everything that the objectives read, each once."""
    found = [(leaf.kind, slot) for item in objectives.values() for leaf in _reads(item) for slot in leaf.slots]
    return list(dict.fromkeys(found))


def _reads(objective: nn.Module) -> tuple[Leaf, ...]:
    assert isinstance(objective, Objective)
    return objective.reads()


def backward(wrapper: TrainingModel, batch: Batch, optim_wrapper: OptimWrapper, *, chunk: int) -> dict[str, Tensor]:
    """Gradients of the whole batch into ``.grad``, and the update when accumulation is complete.

    Args:
        wrapper: model and objectives (not wrapped in DDP; the averaging over processes is done here).
        batch: on the model's device.
        chunk: samples of a chunk.

    Returns:
        what ``wrapper.losses`` returns, detached.
    """
    device = wrapper.model.device
    chunks = [slice_batch(batch, start, min(start + chunk, len(batch))) for start in range(0, len(batch), chunk)]
    wanted = leaves_of(wrapper.objectives)
    states, pieces, masks = [], [], []
    with torch.no_grad(), optim_wrapper.optim_context(wrapper):
        for part in chunks:
            states.append(_RngState.now(device))
            fp = ForwardPass(wrapper.model, part, step=wrapper.step)
            pieces.append([_read(fp, kind, slot) for kind, slot in wanted])
            masks.append({slot: fp.tokens(slot).valid_BL for kind, slot in wanted if kind == "tokens"})
    after = _RngState.now(device)

    leaves = [_join([piece[index] for piece in pieces]).requires_grad_() for index in range(len(wanted))]
    with optim_wrapper.optim_context(wrapper):
        losses = wrapper.losses(_filled(wrapper.forward_pass(batch), wanted, leaves, masks))
    optim_wrapper.backward(optim_wrapper.scale_loss(losses["loss"]))

    gradients = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in leaves]
    starts = [0] * len(wanted)
    for part, state, piece in zip(chunks, states, pieces, strict=True):
        state.restore(device)
        with optim_wrapper.optim_context(wrapper):
            fp = ForwardPass(wrapper.model, part, step=wrapper.step)
            values = [_read(fp, kind, slot) for kind, slot in wanted]
        slices = [_take(g, at, item) for g, at, item in zip(gradients, starts, piece, strict=True)]
        pairs = [(v, g) for v, g in zip(values, slices, strict=True) if v.requires_grad]
        if pairs:
            torch.autograd.backward([v for v, _ in pairs], [g.to(v.dtype) for v, g in pairs])
        starts = [at + len(item) for at, item in zip(starts, piece, strict=True)]
    after.restore(device)
    if optim_wrapper.should_update():
        average_gradients(wrapper)
        optim_wrapper.step()
        optim_wrapper.zero_grad()
    return {name: value.detach() for name, value in losses.items()}


def average_gradients(module: nn.Module) -> None:
    """Mean over processes of every trainable parameter's gradient (zero where a process has none)."""
    if world_size() == 1:
        return
    for parameter in module.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= world_size()


def slice_batch(batch: Batch, start: int, stop: int) -> Batch:
    """Samples ``start`` to ``stop`` of a batch."""
    rows = slice(start, stop)

    def cut(inputs: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
        kept = {}
        for slot, values in inputs.items():
            first, last = int(batch.present[slot][:start].sum()), int(batch.present[slot][:stop].sum())
            if last > first:
                kept[slot] = {key: value[first:last] for key, value in values.items()}
        return kept

    return replace(
        batch,
        inputs=cut(batch.inputs),
        present={slot: mask[rows] for slot, mask in batch.present.items()},
        ids=batch.ids[rows],
        targets={key: value[rows] for key, value in batch.targets.items()},
        meta=batch.meta[rows],
        indices_B=None if batch.indices_B is None else batch.indices_B[rows],
        views=tuple(cut(view) for view in batch.views),
    )


def _read(fp: ForwardPass, kind: str, slot: str) -> Tensor:
    if kind == "embedding":
        return fp.embedding(slot).values_BE
    if kind == "tokens":
        return fp.tokens(slot).hidden_BLD
    return fp.pooled(slot)


def _join(pieces: list[Tensor]) -> Tensor:
    """Rows of all chunks; token sequences are padded to the longest chunk."""
    if pieces[0].ndim == 3:
        longest = max(piece.shape[1] for piece in pieces)
        pieces = [pad(piece, (0, 0, 0, longest - piece.shape[1])) for piece in pieces]
    return torch.cat(pieces).detach()


def _take(gradient: Tensor, start: int, piece: Tensor) -> Tensor:
    rows = gradient[start : start + len(piece)]
    return rows[:, : piece.shape[1]] if piece.ndim == 3 else rows


def _filled(
    fp: ForwardPass, wanted: list[tuple[str, str]], leaves: list[Tensor], masks: list[dict[str, Tensor]]
) -> ForwardPass:
    """The ForwardPass of the whole batch, holding the leaves already."""
    for (kind, slot), leaf in zip(wanted, leaves, strict=True):
        value: Tensor | SlotEmbedding | SlotTokens = leaf
        if kind == "embedding":
            value = SlotEmbedding(values_BE=leaf, present_B=fp.present(slot))
        elif kind == "tokens":
            length = leaf.shape[1]
            valid = torch.cat([pad(mask[slot], (0, length - mask[slot].shape[1])) for mask in masks])
            value = SlotTokens(hidden_BLD=leaf, valid_BL=valid, present_B=fp.present(slot))
        fp.provide(kind, slot, value)
    return fp
