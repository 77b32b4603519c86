"""Masked prediction on one batch: the encoder on visible tokens, the decoder, and the teacher's states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from omni.core.denoiser import DenoisedTokens
from omni.core.model import OmniModel
from omni.errors import ConfigError, InputError
from omni.types import CoreOutput, TokenSequence


def select_rows(inputs: Mapping[str, Tensor], rows_S: Tensor) -> dict[str, Tensor]:
    """The samples of a slot's inputs for which ``rows_S`` (S,) is True."""
    if bool(rows_S.all()):
        return dict(inputs)
    return {name: value[rows_S] for name, value in inputs.items()}


def denoise(
    model: OmniModel,
    inputs: Mapping[str, dict[str, Tensor]],
    *,
    keep: Mapping[str, Tensor],
    teacher: CoreOutput,
) -> dict[str, DenoisedTokens]:
    """Student and teacher states of the slots of one sequence.

    Args:
        model: with a decoder.
        inputs: slot -> adapter inputs, all of the same B samples; their order is the order of the sequence.
        keep: slot -> (B, L) bool over the unmasked sequence, what the student may see. Summary tokens are always seen.
        teacher: the unmasked pass of these samples; its spans may hold further slots.

    Returns:
        slot -> DenoisedTokens.

    Raises:
        ConfigError: the model has no decoder.
        InputError: a mask of another shape than the sequence.
    """
    if model.denoiser is None:
        raise ConfigError("Masked prediction needs a decoder; set `decoder` in the model's config.")
    whole = {slot: _places(model, slot, values) for slot, values in inputs.items()}
    seen = {}
    for slot, sequence in whole.items():
        if keep[slot].shape != sequence.valid_BL.shape or teacher.valid(slot).shape != sequence.valid_BL.shape:
            raise InputError(
                f"Slot {slot!r} has tokens of shape {tuple(sequence.valid_BL.shape)}, but its mask is "
                f"{tuple(keep[slot].shape)} and the teacher's states are {tuple(teacher.valid(slot).shape)}."
            )
        seen[slot] = (keep[slot] | summary_mask(sequence)) & sequence.valid_BL
    states = model.denoiser(model.fuse(inputs, keep=seen), keep=seen, whole=whole)
    return {
        slot: DenoisedTokens(
            student_BLD=states[slot],
            teacher_BLD=teacher.tokens(slot).detach(),
            masked_BL=sequence.valid_BL & ~seen[slot],
            valid_BL=sequence.valid_BL & ~summary_mask(sequence),
        )
        for slot, sequence in whole.items()
    }


def summary_mask(sequence: TokenSequence) -> Tensor:
    """(1, L) bool, True at the summary token."""
    place = torch.arange(sequence.valid_BL.shape[1], device=sequence.valid_BL.device)[None]
    return place == (-1 if sequence.summary_index is None else sequence.summary_index)


def touch(modules: Sequence[torch.nn.Module | None]) -> Tensor:
    """Zero with a graph to every parameter of the modules, for a process whose samples did not use them."""
    parameters = [item for module in modules if module is not None for item in module.parameters() if item.requires_grad]
    return sum((item.sum() * 0.0 for item in parameters), torch.zeros(()))


def _places(model: OmniModel, slot: str, inputs: dict[str, Tensor]) -> TokenSequence:
    """Mask and positions of the unmasked sequence; its tokens are of no interest here."""
    with torch.no_grad():
        return model.tokenize(slot, inputs)
