"""Which tokens masked prediction hides: exact counts, whole words, spans, and masks that complete each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from omni.errors import ConfigError

KINDS = ("random", "groups", "spans")


def mask_tokens(
    candidates_BL: Tensor,
    *,
    ratio: float,
    kind: str = "random",
    span: int = 5,
    groups_BL: Tensor | None = None,
    first_BL: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the tokens to hide, row by row, with an exact count.

    "random" hides int(n * ratio) of a row's n candidates. "spans" hides as many, in runs of ``span`` tokens of which
    the last may be cut. "groups" hides ceil(g * ratio) of a row's g groups, each wholly. At least one token (group) is
    hidden in every row that has candidates.

    Args:
        candidates_BL: (B, L) bool, tokens that may be hidden: real, and not the summary token.
        ratio: in (0, 1).
        kind: "random", "groups" or "spans".
        span: length of a run, for "spans".
        groups_BL: (B, L) int64, for "groups": tokens of one number belong together, -1 = never hidden.
        first_BL: (B, L) bool, for "random": these are hidden before any other, so that a mask completes another.
        generator: CPU generator.

    Returns:
        (B, L) bool on the device of ``candidates_BL``, True = hidden.

    Raises:
        ConfigError: an unknown kind, a ratio out of range, or groups that are not given.

    Source: ONE-PEACE (2023) and its released data sets: whole words .15, random patches .75, spans of 5 frames .55.
    """
    if kind not in KINDS or not 0.0 < ratio < 1.0:
        raise ConfigError(f"Masks are of kind {', '.join(KINDS)} with a ratio in (0, 1), not {kind!r} with {ratio}.")
    if kind == "groups" and groups_BL is None:
        raise ConfigError(
            "Whole-word masks need groups_BL among the slot's inputs (the tokenizers give it); use kind='random'."
        )
    if first_BL is not None and kind != "random":
        raise ConfigError("A mask that completes another one is of kind 'random'.")
    masked = torch.zeros(candidates_BL.shape, dtype=torch.bool)
    candidates = candidates_BL.cpu()
    groups = None if groups_BL is None else groups_BL.cpu()
    first = None if first_BL is None else first_BL.cpu()
    for row in range(len(candidates)):
        places = candidates[row].nonzero()[:, 0]
        if kind == "groups":
            chosen = _whole_groups(places[groups[row, places] >= 0], groups[row], ratio, generator)
        elif kind == "spans":
            chosen = _spans(places, ratio, span, generator)
        else:
            chosen = _random(places, None if first is None else first[row, places], ratio, generator)
        masked[row, chosen] = True
    return masked.to(candidates_BL.device)


def exact_count(total: int, ratio: float) -> int:
    """int(total * ratio), at least 1 where there is anything; products like 10 * .3 are not cut below 3."""
    return 0 if total == 0 else max(1, int(total * ratio + 1e-9))


def _random(places: Tensor, first: Tensor | None, ratio: float, generator: torch.Generator | None) -> Tensor:
    order = torch.randperm(len(places), generator=generator)
    if first is not None:
        order = order[torch.argsort(~first[order], stable=True)]
    return places[order[: exact_count(len(places), ratio)]]


def _whole_groups(places: Tensor, groups_L: Tensor, ratio: float, generator: torch.Generator | None) -> Tensor:
    numbers = groups_L[places].unique()
    if len(numbers) == 0:
        return places
    order = torch.randperm(len(numbers), generator=generator)
    chosen = numbers[order[: max(1, math.ceil(len(numbers) * ratio - 1e-9))]]
    return places[torch.isin(groups_L[places], chosen)]


def _spans(places: Tensor, ratio: float, span: int, generator: torch.Generator | None) -> Tensor:
    count = exact_count(len(places), ratio)
    hidden = torch.zeros(len(places), dtype=torch.bool)
    left = count
    for start in torch.randperm(max(1, len(places) - span + 1), generator=generator).tolist():
        if left <= 0:
            break
        run = torch.arange(start, min(start + span, len(places)))
        run = run[~hidden[run]][:left]
        hidden[run] = True
        left -= len(run)
    return places[hidden]
