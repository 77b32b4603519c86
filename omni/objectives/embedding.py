"""What objectives over embeddings share: gathering, presence, labels, scales."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives.base import Leaf, Objective
from omni.objectives.gather import GatheredRows, agree_on_rows
from omni.plugin.suggest import did_you_mean
from omni.types import SlotEmbedding


def gathered_rows(fp: ForwardPass) -> GatheredRows:
    """How many samples each process has, agreed on once a batch."""
    device = next(iter(fp.batch.present.values())).device
    return fp.once(("gather", "rows"), lambda: agree_on_rows(len(fp.batch), device))


def gathered_embedding(fp: ForwardPass, slot: str) -> SlotEmbedding:
    """(N, E) embeddings of all processes in rank order, float32 or better, with gradient."""

    def compute() -> SlotEmbedding:
        mine = fp.embedding(slot)
        rows = gathered_rows(fp)
        values = mine.values_BE if mine.values_BE.dtype == torch.float64 else mine.values_BE.float()
        return SlotEmbedding(values_BE=rows.gather(values), present_B=rows.gather(mine.present_B))

    return fp.once(("gather", "embedding", slot), compute)


class OwnScale(nn.Module):
    """A learnt multiplier of one objective: exp of a parameter, bounded when read.

    Args:
        init: start value.
        max: bound, or None.
    """

    def __init__(self, *, init: float, max: float | None) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(init)))
        self.max = max

    def forward(self) -> Tensor:
        """Scalar multiplier."""
        scale = self.log_scale.exp()
        return scale if self.max is None else scale.clamp(max=self.max)


class EmbeddingObjective(Objective):
    """Base of the objectives over projected embeddings.

    Args:
        slots: two or more, in order.
        weight: of the total.
        scale: "shared" = the model's logit scale, "own" = a learnt one (from 1 / 0.07, at most 100), or a fixed number.
    """

    def __init__(self, *, slots: Sequence[str], weight: float = 1.0, scale: str | float = "shared") -> None:
        super().__init__(slots=slots, weight=weight)
        if len(set(self.slots)) != len(self.slots) or len(self.slots) < 2:
            raise ConfigError(f"{type(self).__name__}: slots are {self.slots}; it needs two or more different ones.")
        if isinstance(scale, str) and scale not in ("shared", "own"):
            raise ConfigError(f"{type(self).__name__}: scale is {scale!r}; it must be 'shared', 'own' or a number.")
        self.fixed_scale = None if isinstance(scale, str) else float(scale)
        self.own_scale = OwnScale(init=1 / 0.07, max=100.0) if scale == "own" else None
        self.pair_score = "cosine"

    def bind(self, model: nn.Module) -> None:
        """The score of a pair is the dot product that was trained: a cosine only of embeddings of unit length."""
        self.pair_score = "cosine" if model.config.embedding_norm == "l2" else "pair_sum"

    def reads(self) -> tuple[Leaf, ...]:
        """The embeddings of its slots."""
        return (Leaf(kind="embedding", slots=self.slots),)

    def scale(self, fp: ForwardPass) -> Tensor | float:
        """The positive multiplier of the logits."""
        if self.fixed_scale is not None:
            return self.fixed_scale
        return self.own_scale() if self.own_scale is not None else fp.logit_scale()

    def embeddings(self, fp: ForwardPass) -> list[SlotEmbedding]:
        """Gathered embeddings of its slots."""
        return [gathered_embedding(fp, slot) for slot in self.slots]


def gathered_labels(fp: ForwardPass, name: str) -> Tensor:
    """(N,) integer labels of all processes.

    Raises:
        ConfigError: the batch has no such target, or it is not one whole number a sample.
    """
    if name not in fp.batch.targets:
        raise ConfigError(
            f"labels={name!r}: the batch has no such target.{did_you_mean(name, fp.batch.targets)} It has "
            f"{', '.join(fp.batch.targets) or 'none'}; data sets give them as Sample.targets."
        )
    labels = fp.batch.targets[name]
    if labels.ndim != 1 or labels.is_floating_point():
        raise ConfigError(f"labels={name!r}: the target must be one whole number a sample, not {tuple(labels.shape)}.")
    return fp.once(("gather", "target", name), lambda: gathered_rows(fp).gather(labels.long()))


def valid_negatives(labels_N: Tensor) -> Tensor:
    """(N, N) bool: pairs of different classes, or of a class that is not known (negative label)."""
    same = labels_N[:, None] == labels_N[None, :]
    return ~(same & (labels_N >= 0)[:, None])
