"""Masked prediction on one batch: the encoder on visible tokens, the decoder, and the teacher's states."""

from __future__ import annotations

from collections.abc import Mapping

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
    masked: Mapping[str, Tensor],
    whole: Mapping[str, TokenSequence],
    teacher: CoreOutput,
) -> dict[str, DenoisedTokens]:
    """Student and teacher states of the slots of one sequence.

    Args:
        model: with a decoder.
        inputs: slot -> adapter inputs, all of the same B samples; their order is the order of the sequence.
        masked: slot -> (B, L) bool, tokens hidden from the student; the summary token and padding stay as they are.
        whole: slot -> the unmasked sequence of these samples (mask and positions are read).
        teacher: the unmasked pass of these samples; its spans may hold further slots.

    Returns:
        slot -> DenoisedTokens.

    Raises:
        ConfigError: the model has no decoder.
        InputError: a mask of another shape than the sequence.
    """
    if model.denoiser is None:
        raise ConfigError("Masked prediction needs a decoder; set `decoder` in the model's config.")
    hidden = {}
    for slot, sequence in whole.items():
        if masked[slot].shape != sequence.valid_BL.shape:
            raise InputError(
                f"Slot {slot!r} has tokens of shape {tuple(sequence.valid_BL.shape)}, but its mask is "
                f"{tuple(masked[slot].shape)}."
            )
        hidden[slot] = masked[slot] & candidates(sequence)
    seen = {slot: sequence.valid_BL & ~hidden[slot] for slot, sequence in whole.items()}
    states = model.denoiser(model.fuse(inputs, keep=seen), keep=seen, whole=whole)
    return {
        slot: DenoisedTokens(
            student_BLD=states[slot],
            teacher_BLD=teacher.tokens(slot).detach(),
            masked_BL=hidden[slot],
            valid_BL=candidates(sequence),
        )
        for slot, sequence in whole.items()
    }


def candidates(sequence: TokenSequence) -> Tensor:
    """(B, L) bool: real tokens other than the summary token."""
    place = torch.arange(sequence.valid_BL.shape[1], device=sequence.valid_BL.device)
    return sequence.valid_BL & (place != (-1 if sequence.summary_index is None else sequence.summary_index))
