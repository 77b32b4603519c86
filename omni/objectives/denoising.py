"""Denoising contrast over masked tokens (ONE-PEACE, 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.denoiser import DenoisedTokens
from omni.core.positions import at_least_float32
from omni.data.masking import mask_tokens
from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives.base import Leaf, Objective
from omni.objectives.functional import denoising_contrast
from omni.objectives.gather import rank
from omni.types import ObjectiveOutput


class Denoising(Objective):
    """Hide tokens, predict their states, and find each among the states of all tokens of the unmasked input.

    One slot is masked alone; several slots are masked and encoded in one sequence, over the samples that have them all.
    The loss is the sum over the slots; candidates are the tokens of this process.

    Args:
        slots, weight: see Objective.
        masks: slot -> {"ratio", "kind", "span"} of omni.data.masking.mask_tokens, for every slot.
        slot_weights: slot -> factor of its part; default 1.
        complement: hide what the slot's own masked pass showed first. Needs a Denoising objective of each slot alone,
            listed before this one.
        teacher: slots whose joint unmasked pass gives the targets; default: ``slots``. (Published audio training
            matches audio alone to audio fused with text.)
        scale: multiplier of the cosines, fixed.
        smoothing: of the targets over the candidates.
    """

    def __init__(
        self,
        *,
        slots: Sequence[str],
        masks: Mapping[str, Mapping[str, Any]],
        weight: float = 1.0,
        slot_weights: Mapping[str, float] | None = None,
        complement: bool = False,
        teacher: Sequence[str] | None = None,
        scale: float = 2.5,
        smoothing: float = 0.1,
    ) -> None:
        super().__init__(slots=slots, weight=weight)
        self.masks = {slot: dict(options) for slot, options in masks.items()}
        if set(self.masks) != set(self.slots):
            raise ConfigError(f"denoising: `masks` names {', '.join(masks)}, but the slots are {', '.join(slots)}.")
        self.slot_weights = {slot: float((slot_weights or {}).get(slot, 1.0)) for slot in self.slots}
        self.complement = complement
        self.teacher = tuple(teacher) if teacher is not None else self.slots
        if not set(self.slots) <= set(self.teacher):
            raise ConfigError(f"denoising: the teacher {self.teacher} must see all of the slots {self.slots}.")
        self.scale, self.smoothing = float(scale), float(smoothing)

    def bind(self, model: nn.Module) -> None:
        """Checks that the model has a decoder."""
        if getattr(model, "denoiser", None) is None:
            raise ConfigError("denoising needs a decoder; set `decoder` in the model's config.")

    def reads(self) -> tuple[Leaf, ...]:
        """Masked passes: not replayed by gradient caching."""
        return (Leaf(kind="masked", slots=self.slots),)

    def forward(self, fp: ForwardPass) -> ObjectiveOutput:
        """Sum of the slots' losses; parts and counts (hidden tokens) are per slot."""
        generator = self._generator(fp)  # drawn on every process, whatever it holds
        found = fp.masked(self.slots, draw=lambda *given: self._draw(fp, generator, *given), teacher=self.teacher)
        if found is None:
            zero = torch.zeros((), device=fp.present(self.slots[0]).device)
            return ObjectiveOutput(total=zero, counts={slot: 0 for slot in self.slots})
        losses = {slot: denoising_loss(found[slot], scale=self.scale, smoothing=self.smoothing) for slot in self.slots}
        return ObjectiveOutput(
            total=sum(self.slot_weights[slot] * value for slot, value in losses.items()),
            parts={slot: value.detach() for slot, value in losses.items()} if len(losses) > 1 else {},
            counts={slot: int((found[slot].masked_BL & found[slot].valid_BL).sum()) for slot in self.slots},
        )

    def _draw(
        self,
        fp: ForwardPass,
        generator: torch.Generator,
        slot: str,
        candidates_BL: Tensor,
        inputs: Mapping[str, Tensor],
        rows_S: Tensor,
    ) -> Tensor:
        """(B, L) tokens to hide of one slot."""
        alone = ("denoising", "masked", slot)
        first = None
        if self.complement:
            whole = fp.once(alone, lambda: None)
            if whole is None:
                raise ConfigError(
                    f"denoising: complement=True needs a denoising objective of {slot!r} alone, listed before it."
                )
            first = candidates_BL & ~whole[rows_S]
        groups = inputs.get("groups_BL")
        if groups is not None:
            groups = F.pad(groups, (candidates_BL.shape[1] - groups.shape[1], 0), value=-1)
            candidates_BL = candidates_BL & (groups >= 0)
        masked = mask_tokens(candidates_BL, groups_BL=groups, first_BL=first, generator=generator, **self.masks[slot])
        if len(self.slots) == 1 and bool(rows_S.all()):
            fp.once(alone, lambda: masked)
        return masked

    def _generator(self, fp: ForwardPass) -> torch.Generator:
        """A generator of this process's own, from one draw that all processes make alike."""
        seed = torch.randint(2**48, (), generator=fp.generator)
        return torch.Generator().manual_seed(int(seed) + rank())


def denoising_loss(tokens: DenoisedTokens, *, scale: float = 2.5, smoothing: float = 0.1) -> Tensor:
    """The denoising contrast of cosines: scalar."""
    return denoising_contrast(
        F.normalize(at_least_float32(tokens.student_BLD), dim=-1),
        F.normalize(at_least_float32(tokens.teacher_BLD), dim=-1),
        tokens.masked_BL,
        tokens.valid_BL,
        scale,
        smoothing,
    )
