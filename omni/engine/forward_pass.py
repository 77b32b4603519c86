"""One batch through one model, lazily: every result is computed on first use, once, and shared by all objectives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from omni.core.denoiser import DenoisedTokens
from omni.core.encoder import take_rows
from omni.core.model import OmniModel, join_outputs, spread_rows
from omni.engine.masked_pass import candidates, denoise, select_rows
from omni.errors import ConfigError
from omni.types import Batch, CoreOutput, SlotEmbedding, SlotTokens, TokenSequence


class ForwardPass:
    """The heart of training.

    Args:
        model: the OmniModel.
        batch: one batch on the model's device.
        generator: CPU generator for permutations and masks, seeded alike on every rank, advanced by who draws.
        step: the optimizer step, for objectives that follow a schedule.
    """

    def __init__(
        self, model: OmniModel, batch: Batch, *, generator: torch.Generator | None = None, step: int = 0
    ) -> None:
        self.model = model
        self.batch = batch
        self.generator = generator
        self.step = step
        self._results: dict[Any, Any] = {}

    def _once(self, key: Any, compute: Any) -> Any:
        if key not in self._results:
            self._results[key] = compute()
        return self._results[key]

    def once(self, key: Any, compute: Any) -> Any:
        """``compute()`` on first use, the same result afterwards: for what several objectives share. Keys are tuples
        that start with the caller's own name."""
        return self._once(("shared", key), compute)

    def logit_scale(self) -> Tensor:
        """The model's own multiplier, read once: in training its parameter is clamped in place when it is read."""
        return self._once(("logit_scale",), self.model.logit_scale)

    def provide(self, kind: str, slot: str, value: Any) -> None:
        """Put a result in that was computed elsewhere ("embedding", "pooled" or "tokens"): gradient caching does."""
        self._results[kind, slot] = value

    def present(self, slot: str) -> Tensor:
        """(B,) bool: which samples have the slot."""
        if slot not in self.batch.present:
            raise ConfigError(
                f"The batch knows no slot {slot!r} (it has {', '.join(self.batch.present)}). "
                "Name the slot in the data set's or the model's `slots`, or take it out of the objective."
            )
        return self.batch.present[slot]

    def core(self, slot: str) -> CoreOutput | None:
        """Core output of the samples that have the slot, alone through the core; None where no sample of this process
        has it, or where only precomputed pooled features are there."""
        return self._once(("core", slot), lambda: self._compute_core(slot))

    def pooled(self, slot: str) -> Tensor:
        """(S, D) pooled states of the samples that have the slot."""
        return self._once(("pooled", slot), lambda: self._compute_pooled(slot))

    def embedding(self, slot: str) -> SlotEmbedding:
        """Projected embeddings (B, E) of the whole batch."""
        return self._once(("embedding", slot), lambda: self._compute_embedding(slot))

    def tokens(self, slot: str) -> SlotTokens:
        """Hidden tokens (B, L, D) of the whole batch; L is 1 where nobody has the slot."""
        return self._once(("tokens", slot), lambda: self._compute_tokens(slot))

    def sequence(self, slot: str) -> TokenSequence | None:
        """Adapter output of the samples that have the slot, shared by the passes over it; None as of ``core``."""
        return self._once(("sequence", slot), lambda: self._compute_sequence(slot))

    def complete(self, slots: Sequence[str]) -> Tensor:
        """(B,) bool: which samples have all of the slots."""
        return torch.stack([self.present(slot) for slot in slots]).all(0)

    def fused(self, *slots: str) -> CoreOutput | None:
        """Core output of the samples that have all of the slots, in one sequence; None where this process has none."""
        if len(slots) == 1:
            return self.core(slots[0])
        return self._once(("fused", slots), lambda: self._compute_fused(slots))

    def partly(self, *slots: str) -> CoreOutput | None:
        """Core output of the samples that have at least one of the slots, in one sequence; what a sample lacks is
        padding. None where this process has none. The rows are those of ``any_present``."""
        return self._once(("partly", slots), lambda: self._compute_partly(slots))

    def beside(self, *slots: str) -> CoreOutput | None:
        """As ``partly``, but each slot alone through the core, and their states beside one another: the slots do not
        attend to each other, and the passes are shared with other objectives over single slots."""
        return self._once(("beside", slots), lambda: self._compute_beside(slots))

    def any_present(self, slots: Sequence[str]) -> Tensor:
        """(B,) bool: which samples have at least one of the slots."""
        return torch.stack([self.present(slot) for slot in slots]).any(0)

    def masked(
        self, slots: Sequence[str], *, draw: Callable[..., Tensor], teacher: Sequence[str] | None = None
    ) -> dict[str, DenoisedTokens] | None:
        """Student and teacher states of masked prediction, over the samples that have all of the teacher's slots.

        Args:
            slots: what is masked and encoded in one sequence.
            draw: (slot, candidates_BL, inputs, rows_S) -> (B, L) bool, the tokens to hide; rows_S says which of the
                slot's S samples take part.
            teacher: slots of the unmasked pass that gives the targets; default: ``slots``.

        Returns:
            slot -> DenoisedTokens, or None where this process has no such sample.
        """
        teacher = tuple(teacher or slots)
        rows_B = self.complete(teacher)
        if any(self.sequence(slot) is None for slot in teacher) or not bool(rows_B.any()):
            return None
        inputs, whole, masked = {}, {}, {}
        for slot in slots:
            rows_S = rows_B[self.present(slot)]
            inputs[slot] = select_rows(self._inputs(slot), rows_S)
            whole[slot] = take_rows(self.sequence(slot), rows_S)
            masked[slot] = draw(slot, candidates(whole[slot]), inputs[slot], rows_S)
        return denoise(self.model, inputs, masked=masked, whole=whole, teacher=self._targets(teacher))

    def _targets(self, slots: tuple[str, ...]) -> CoreOutput:
        """The unmasked pass as a teacher: one that is there already, else one without a graph."""
        key = ("core", slots[0]) if len(slots) == 1 else ("fused", slots)
        if len(slots) == 1 or key in self._results:
            return self.fused(*slots)
        with torch.no_grad():
            return self._once(("targets", slots), lambda: self._compute_fused(slots))

    def _inputs(self, slot: str) -> dict[str, Tensor] | None:
        self.present(slot)  # raises for an unknown slot
        return self.batch.inputs.get(slot) or None

    def _compute_core(self, slot: str) -> CoreOutput | None:
        sequence = self.sequence(slot)
        return None if sequence is None else self.model.core({slot: sequence})

    def _compute_sequence(self, slot: str) -> TokenSequence | None:
        inputs = self._inputs(slot)
        if inputs is None or "pooled_BD" in inputs:
            return None
        return self.model.tokenize(slot, inputs)

    def _compute_fused(self, slots: tuple[str, ...]) -> CoreOutput | None:
        rows_B = self.complete(slots)
        sequences = {slot: self.sequence(slot) for slot in slots}
        if any(item is None for item in sequences.values()) or not bool(rows_B.any()):
            return None
        return self.model.core({slot: take_rows(item, rows_B[self.present(slot)]) for slot, item in sequences.items()})

    def _partly_segments(self, slots: tuple[str, ...]) -> dict[str, TokenSequence] | None:
        rows_B = self.any_present(slots)
        segments = {}
        for slot in slots:
            sequence = self.sequence(slot)
            if sequence is not None:
                segments[slot] = spread_rows(sequence, self.present(slot)[rows_B])
        return segments or None

    def _compute_partly(self, slots: tuple[str, ...]) -> CoreOutput | None:
        if len(slots) == 1:
            return self.core(slots[0])
        segments = self._partly_segments(slots)
        return None if segments is None else self.model.core(segments)

    def _compute_beside(self, slots: tuple[str, ...]) -> CoreOutput | None:
        rows_B = self.any_present(slots)
        found = {slot: self.core(slot) for slot in slots}
        return join_outputs({slot: (out, self.present(slot)[rows_B]) for slot, out in found.items() if out is not None})

    def _compute_pooled(self, slot: str) -> Tensor:
        inputs = self._inputs(slot)
        if inputs is not None and "pooled_BD" in inputs:
            return inputs["pooled_BD"]
        core = self.core(slot)
        if core is None:
            return self._zeros(0, self.model.width)
        return core.pooled[slot]

    def _zeros(self, *shape: int) -> Tensor:
        """Zeros of the parameters' dtype, on their device (asked of one that is never sharded)."""
        return self.model.logit_scale.log_scale.new_zeros(shape)

    def _compute_embedding(self, slot: str) -> SlotEmbedding:
        present_B = self.present(slot)
        values = self.model.project(slot, self.pooled(slot))
        values_BE = self.model.fill_missing(slot, values, present_B)
        return SlotEmbedding(values_BE=values_BE, present_B=present_B)

    def _compute_tokens(self, slot: str) -> SlotTokens:
        present_B = self.present(slot)
        core = self.core(slot)
        width = self.model.width
        if core is None:
            hidden = self._zeros(len(self.batch), 1, width)
            nothing_BL = hidden.new_zeros(len(self.batch), 1, dtype=torch.bool)
            return SlotTokens(hidden_BLD=hidden, valid_BL=nothing_BL, present_B=present_B)
        tokens, valid = core.tokens(slot), core.valid(slot)
        hidden = tokens.new_zeros(len(self.batch), tokens.shape[1], width)
        valid_BL = valid.new_zeros(len(self.batch), tokens.shape[1])
        hidden = hidden.masked_scatter(present_B[:, None, None].expand_as(hidden), tokens)
        valid_BL[present_B] = valid
        return SlotTokens(hidden_BLD=hidden, valid_BL=valid_BL, present_B=present_B)
