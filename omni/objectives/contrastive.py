"""Alignment of two or more slots: InfoNCE over pairs, sums over pairs, and Symile."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives.embedding import EmbeddingObjective, gathered_labels, valid_negatives
from omni.objectives.functional import info_nce, joint_pair_sum, symile
from omni.types import ObjectiveOutput, SlotEmbedding, TrainedGroup

REAL_SLOTS = 2  # a sample with fewer real slots has nothing to align


class InfoNCE(EmbeddingObjective):
    """Symmetric InfoNCE over pairs of slots, averaged over the pairs. A pair uses the samples that have both slots.

    Args:
        slots, weight, scale: as of EmbeddingObjective.
        pairs: pairs of slots; None = all pairs of ``slots``.
        labels: name of an integer target; samples of one class are not each other's negatives.
        label_smoothing: of the targets over an anchor's candidates.
        detach_candidates: no gradient through candidates (ONE-PEACE's published loss).
    """

    reduction = "mean"

    def __init__(
        self,
        *,
        slots: Sequence[str],
        weight: float = 1.0,
        scale: str | float = "shared",
        pairs: Sequence[Sequence[str]] | None = None,
        labels: str | None = None,
        label_smoothing: float = 0.0,
        detach_candidates: bool = False,
    ) -> None:
        super().__init__(slots=slots, weight=weight, scale=scale)
        self.pairs = [tuple(pair) for pair in pairs] if pairs is not None else list(combinations(self.slots, 2))
        for pair in self.pairs:
            if len(pair) != 2 or len(set(pair)) != 2 or not set(pair) <= set(self.slots):
                raise ConfigError(f"{type(self).__name__}: {pair} is no pair of its slots {', '.join(self.slots)}.")
        self.labels = labels
        self.label_smoothing = label_smoothing
        self.detach_candidates = detach_candidates

    def forward(self, fp: ForwardPass) -> ObjectiveOutput:
        """Sum or mean over pairs; parts and counts are per pair."""
        found = dict(zip(self.slots, self.embeddings(fp), strict=True))
        allowed = None if self.labels is None else valid_negatives(gathered_labels(fp, self.labels))
        losses, counts = {}, {}
        for a, b in self.pairs:
            losses[f"{a}_{b}"] = info_nce(
                found[a].values_BE,
                found[b].values_BE,
                self.scale_once(fp),
                a_present_B=found[a].present_B,
                b_present_B=found[b].present_B,
                valid_negatives_BB=allowed,
                detach_candidates=self.detach_candidates,
                label_smoothing=self.label_smoothing,
            )
            counts[f"{a}_{b}"] = int((found[a].present_B & found[b].present_B).sum())
        stacked = torch.stack(list(losses.values()))
        return ObjectiveOutput(
            total=stacked.mean() if self.reduction == "mean" else stacked.sum(),
            parts={name: value.detach() for name, value in losses.items()} if len(losses) > 1 else {},
            counts=counts,
        )

    def scale_once(self, fp: ForwardPass) -> Tensor | float:
        """The multiplier, computed once for all pairs."""
        return fp.once(("scale", self), lambda: self.scale(fp))

    def trained_groups(self) -> tuple[TrainedGroup, ...]:
        """Each pair, by its own score."""
        return tuple(TrainedGroup(slots=pair, score=self.pair_score) for pair in self.pairs)


class PairSum(InfoNCE):
    """InfoNCE summed over pairs, the pairwise baseline of Symile. Queries of several slots add the pairs' scores.

    Arguments are those of InfoNCE.
    """

    reduction = "sum"

    def trained_groups(self) -> tuple[TrainedGroup, ...]:
        """Each pair, and the whole set by the sum of its pairs' scores."""
        groups = super().trained_groups()
        whole = len(self.slots) > 2 and len(self.pairs) == len(self.slots) * (len(self.slots) - 1) // 2
        return (*groups, TrainedGroup(slots=self.slots, score="pair_sum")) if whole else groups


class TupleObjective(EmbeddingObjective):
    """Base of the objectives over whole tuples.

    A sample takes part when it has every slot, or a learnt missing embedding stands in for those that it lacks and at
    least two are real.

    Args:
        slots, weight, scale: as of EmbeddingObjective.
        negatives: "permute" (N - 1 negative tuples, shuffled) or "all" (every combination).
        use_missing: let learnt missing embeddings stand in.
    """

    score = "multilinear"

    def __init__(
        self,
        *,
        slots: Sequence[str],
        weight: float = 1.0,
        scale: str | float = "shared",
        negatives: str = "permute",
        use_missing: bool = True,
    ) -> None:
        super().__init__(slots=slots, weight=weight, scale=scale)
        if negatives not in ("permute", "all"):
            raise ConfigError(f"{type(self).__name__}: negatives is {negatives!r}; it must be 'permute' or 'all'.")
        self.negatives = negatives
        self.use_missing = use_missing

    def taking_part(self, fp: ForwardPass, found: Sequence[SlotEmbedding]) -> Tensor:
        """(N,) bool: which samples take part."""
        real_ZN = torch.stack([item.present_B for item in found])
        if not self.use_missing:
            return real_ZN.all(0)
        stands_in = torch.tensor([slot in fp.model.missing for slot in self.slots], device=real_ZN.device)
        return (real_ZN | stands_in[:, None]).all(0) & (real_ZN.sum(0) >= REAL_SLOTS)

    def forward(self, fp: ForwardPass) -> ObjectiveOutput:
        """Mean over anchors and slots of the tuples' cross-entropy."""
        found = self.embeddings(fp)
        present_N = self.taking_part(fp, found)
        loss = self.contrast([item.values_BE for item in found], self.scale(fp), fp.generator, present_N)
        count = int(present_N.sum())
        return ObjectiveOutput(total=loss, counts={"tuples": count})

    @abstractmethod
    def contrast(
        self, values: Sequence[Tensor], scale: Tensor | float, generator: torch.Generator | None, present_N: Tensor
    ) -> Tensor:
        """The function of omni.objectives.functional."""

    def trained_groups(self) -> tuple[TrainedGroup, ...]:
        """All slots together; two slots are a pair."""
        return (TrainedGroup(slots=self.slots, score=self.pair_score if len(self.slots) == 2 else self.score),)


class Symile(TupleObjective):
    """Symile over all its slots (Saporta et al. 2024); the multilinear score. Arguments: TupleObjective's."""

    def contrast(
        self, values: Sequence[Tensor], scale: Tensor | float, generator: torch.Generator | None, present_N: Tensor
    ) -> Tensor:
        """functional.symile."""
        present = None if bool(present_N.all()) else present_N
        return symile(values, scale, negatives=self.negatives, generator=generator, present=present)


class JointPairSum(TupleObjective):
    """The loss of Symile under the sum of the pairs' dot products. Arguments: TupleObjective's."""

    score = "pair_sum"

    def contrast(
        self, values: Sequence[Tensor], scale: Tensor | float, generator: torch.Generator | None, present_N: Tensor
    ) -> Tensor:
        """functional.joint_pair_sum."""
        present = None if bool(present_N.all()) else present_N
        return joint_pair_sum(values, scale, negatives=self.negatives, generator=generator, present=present)
