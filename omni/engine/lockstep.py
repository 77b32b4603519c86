"""A forward pass in which every process runs the core's blocks equally often, in the same order.

With sharded blocks each call of a block is a collective. A process none of whose samples has a slot would leave the
others waiting; here it sends one empty token through the core instead, with a gradient of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from omni.core.denoiser import DenoisedTokens
from omni.core.encoder import take_rows
from omni.engine.forward_pass import ForwardPass
from omni.objectives.gather import largest
from omni.types import CoreOutput, TokenSequence

# What a process has to say before the core runs; the largest of all processes' words is what happens.
NOTHING, RUNS, RUNS_WITH_GRADIENT, POOLED_ALREADY = range(4)


class LockstepPass(ForwardPass):
    """ForwardPass for sharded training; arguments as there.

    Attributes:
        idle: outputs of the passes that stood in for missing ones; the loss must touch them.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.idle: list[Tensor] = []

    def masked(
        self, slots: Sequence[str], *, draw: Callable[..., Tensor], teacher: Sequence[str] | None = None
    ) -> dict[str, DenoisedTokens] | None:
        """As of ForwardPass."""
        names = tuple(teacher or slots)
        sequences = [self.sequence(slot) for slot in names]
        runs = all(item is not None for item in sequences) and bool(self.complete(names).any())
        agreed = self._agree(_word([item for item in sequences if item is not None]) if runs else NOTHING)
        if runs:
            return super().masked(slots, draw=draw, teacher=teacher)
        if agreed != NOTHING:
            self._targets(names)
            self._idle(agreed)
        return None

    def _compute_core(self, slot: str) -> CoreOutput | None:
        inputs = self._inputs(slot)
        if inputs is not None and "pooled_BD" in inputs:
            self._agree(POOLED_ALREADY)
            return None
        sequence = self.sequence(slot)
        return self._encode(None if sequence is None else {slot: sequence})

    def _compute_fused(self, slots: tuple[str, ...]) -> CoreOutput | None:
        rows_B = self.complete(slots)
        sequences = {slot: self.sequence(slot) for slot in slots}
        if any(item is None for item in sequences.values()) or not bool(rows_B.any()):
            return self._encode(None)
        return self._encode(
            {slot: take_rows(item, rows_B[self.present(slot)]) for slot, item in sequences.items() if item is not None}
        )

    def _compute_partly(self, slots: tuple[str, ...]) -> CoreOutput | None:
        return self.core(slots[0]) if len(slots) == 1 else self._encode(self._partly_segments(slots))

    def _compute_pooled(self, slot: str) -> Tensor:
        self.core(slot)  # also where pooled features are there: every process takes part in the agreement
        return super()._compute_pooled(slot)

    def _encode(self, segments: Mapping[str, TokenSequence] | None) -> CoreOutput | None:
        agreed = self._agree(NOTHING if segments is None else _word(segments.values()))
        if segments is not None:
            return self.model.core(segments)
        if agreed in (RUNS, RUNS_WITH_GRADIENT):
            self._idle(agreed)
        return None

    def _agree(self, word: int) -> int:
        return largest(word, self.model.device)

    def _idle(self, agreed: int) -> None:
        """One empty token through the core; its input needs a gradient where that of the others does."""
        scale = self.model.logit_scale.log_scale
        tokens_BLD = scale.new_zeros(1, 1, self.model.width)
        if agreed == RUNS_WITH_GRADIENT and torch.is_grad_enabled():
            tokens_BLD.requires_grad_()
        modality = next(iter(self.model.core.final_norms))
        valid_BL = torch.ones(1, 1, dtype=torch.bool, device=scale.device)
        output = self.model.core(
            {"idle": TokenSequence(tokens_BLD=tokens_BLD, valid_BL=valid_BL, modality=modality, summary_index=0)}
        )
        if output.hidden_BLD.requires_grad:
            self.idle.append(output.hidden_BLD)


def _word(sequences: Any) -> int:
    tensors = [tensor for item in sequences for tensor in (item.tokens_BLD, *item.bias)]
    needs = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return RUNS_WITH_GRADIENT if needs else RUNS
