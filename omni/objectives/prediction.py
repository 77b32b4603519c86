"""Predicting a label from one slot's pooled state: the plain supervised term."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from omni.core.layers import init_linear
from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives.base import Leaf, Objective
from omni.objectives.embedding import gathered_labels, gathered_rows
from omni.types import ObjectiveOutput


class LabelPrediction(Objective):
    """Cross-entropy of a linear map of one slot's pooled state; the map belongs to the objective, not to the model.

    Samples without the slot or with a negative label take no part.

    Args:
        slots: exactly one.
        labels: name of an integer target in [0, num_classes).
        num_classes: how many.
        weight: of the total.
        label_smoothing: of the targets.
        init_std: of the map's first weights, a normal cut at one of these. What a label tells the model at the start
            grows with it: in narrow models (D of some hundred or less) a label that is hard to see beside easy ones of
            the same slot is learnt sooner with 2 * D ** -0.5.

    Raises:
        ConfigError: not one slot, or labels out of range.
    """

    def __init__(
        self,
        *,
        slots: Sequence[str],
        labels: str,
        num_classes: int,
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        init_std: float = 0.02,
    ) -> None:
        super().__init__(slots=slots, weight=weight)
        if len(self.slots) != 1 or num_classes < 2:
            raise ConfigError("label_prediction needs exactly one slot and at least two classes.")
        if not init_std > 0:
            raise ConfigError(f"label_prediction: init_std is {init_std!r}; it must be above 0.")
        self.labels, self.num_classes = labels, num_classes
        self.label_smoothing, self.init_std = label_smoothing, init_std
        self.classifier: nn.Linear | None = None

    def bind(self, model: nn.Module) -> None:
        """Size the map by the model's width."""
        self.classifier = nn.Linear(model.width, self.num_classes)
        init_linear(self.classifier.weight, std=self.init_std)
        nn.init.zeros_(self.classifier.bias)

    def reads(self) -> tuple[Leaf, ...]:
        """The pooled state of its slot."""
        return (Leaf(kind="pooled", slots=self.slots),)

    def forward(self, fp: ForwardPass) -> ObjectiveOutput:
        """Mean over the labelled samples of all processes."""
        assert self.classifier is not None, "bind() comes first"
        (slot,) = self.slots
        present_B = fp.present(slot)
        pooled_SD = fp.pooled(slot).float()
        pooled_BD = pooled_SD.new_zeros(len(present_B), pooled_SD.shape[1])
        pooled_BD = pooled_BD.masked_scatter(present_B[:, None].expand_as(pooled_BD), pooled_SD)
        rows = gathered_rows(fp)
        labels_N = gathered_labels(fp, self.labels)
        known_N = rows.gather(present_B) & (labels_N >= 0)
        logits = self.classifier(rows.gather(pooled_BD))
        count = int(known_N.sum())
        if count == 0:
            return ObjectiveOutput(total=logits.sum() * 0, counts={slot: 0})
        chosen = labels_N[known_N]
        if int(chosen.max()) >= self.num_classes:
            raise ConfigError(
                f"label_prediction: target {self.labels!r} has the label {int(chosen.max())}, num_classes is "
                f"{self.num_classes}. Raise num_classes."
            )
        loss = F.cross_entropy(logits[known_N], chosen, label_smoothing=self.label_smoothing)
        with torch.no_grad():
            hits = (logits[known_N].argmax(1) == chosen).float().mean()
        return ObjectiveOutput(total=loss, parts={"accuracy": hits}, counts={slot: count})
