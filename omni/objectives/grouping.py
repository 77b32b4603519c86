"""Multimodal grouping alignment over tokens (VALOR): one slot against groups of the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from omni.core.model import OmniModel
from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives.base import Leaf, Objective
from omni.objectives.embedding import OwnScale, gathered_rows
from omni.objectives.functional import grouping_alignment, grouping_present
from omni.objectives.gather import largest
from omni.types import ObjectiveOutput


class TokenProjection(nn.Module):
    """Tokens to the shared space, and the logit of each token's weight.

    Args:
        width: D of the tokens.
        shared_width: E.
    """

    def __init__(self, width: int, shared_width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, shared_width, bias=False)
        self.weigh = nn.Sequential(nn.Linear(shared_width, shared_width), nn.ReLU(), nn.Linear(shared_width, 1))

    def forward(self, tokens_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """L2-normalised (B, L, E) and logits (B, L)."""
        shared_BLE = normalize(self.project(tokens_BLD), dim=-1)
        return shared_BLE, self.weigh(shared_BLE).squeeze(-1)


class GroupingAlignment(Objective):
    """The anchor slot against each group of slots by the fine token score; the groups are averaged with equal weights.

    A group uses the samples that have the anchor and at least one of the group's slots; absent slots add no token.

    Args:
        slots: the anchor first, then the slots of the groups.
        groups: lists of slots; None = all others together, then each alone.
        shared_width: E of the token space.
        weight: of the total (1.5 in both released recipes).
        scale_init: start of the learnt multiplier, 1 / 0.07.

    Source: Chen et al. 2023 (VALOR), section on grouping alignment; projections and weight MLPs are kept by modality.
    """

    def __init__(
        self,
        *,
        slots: Sequence[str],
        groups: Sequence[Sequence[str]] | None = None,
        shared_width: int = 512,
        weight: float = 1.0,
        scale_init: float = 1 / 0.07,
    ) -> None:
        super().__init__(slots=slots, weight=weight)
        anchor, *others = self.slots
        if not others:
            raise ConfigError("GroupingAlignment: slots are the anchor and at least one more.")
        default = [others] + ([[slot] for slot in others] if len(others) > 1 else [])
        self.groups = [tuple(group) for group in (groups if groups is not None else default)]
        for group in self.groups:
            if not group or not set(group) <= set(others):
                raise ConfigError(f"GroupingAlignment: the group {group} is not made of {', '.join(others)}.")
        self.anchor = anchor
        self.shared_width = shared_width
        self.scale = OwnScale(init=scale_init, max=100.0)
        self.projections = nn.ModuleDict()

    def bind(self, model: OmniModel) -> None:
        """Build one projection a modality, of the model's width."""
        for slot in self.slots:
            modality = model.modality(slot)
            if modality not in self.projections:
                self.projections[modality] = TokenProjection(model.width, self.shared_width)

    def reads(self) -> tuple[Leaf, ...]:
        """The tokens of its slots."""
        return (Leaf(kind="tokens", slots=self.slots),)

    def forward(self, fp: ForwardPass) -> ObjectiveOutput:
        """Mean over the groups; parts and counts are per group."""
        sides = {slot: self._side(fp, slot) for slot in self.slots}
        tokens, logits, valid = sides[self.anchor]
        losses, counts = {}, {}
        for group in self.groups:
            others, weights, masks = (torch.cat([sides[slot][part] for slot in group], 1) for part in range(3))
            name = "_".join((self.anchor, *group))
            losses[name] = grouping_alignment(tokens, others, logits, weights, valid, masks, self.scale())
            counts[name] = int(grouping_present(valid, masks).sum())
        stacked = torch.stack(list(losses.values()))
        return ObjectiveOutput(
            total=stacked.mean(), parts={name: value.detach() for name, value in losses.items()}, counts=counts
        )

    def _side(self, fp: ForwardPass, slot: str) -> tuple[Tensor, Tensor, Tensor]:
        """Gathered tokens (N, L, E), weight logits (N, L) and mask (N, L) of one slot."""
        found = fp.tokens(slot)
        tokens, logits = self.projections[fp.model.modality(slot)](found.hidden_BLD)
        valid = found.valid_BL
        rows = gathered_rows(fp)
        missing = largest(tokens.shape[1], tokens.device) - tokens.shape[1]
        if missing:
            tokens, logits, valid = pad(tokens, (0, 0, 0, missing)), pad(logits, (0, missing)), pad(valid, (0, missing))
        return (
            rows.gather(tokens.float() if tokens.dtype != torch.float64 else tokens),
            rows.gather(logits.to(tokens.dtype if tokens.dtype == torch.float64 else torch.float32)),
            rows.gather(valid),
        )
