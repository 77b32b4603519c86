"""A head's loss with labels of any modality: Task, and embeddings of label slots among the head's targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives.base import Leaf
from omni.objectives.task import Task
from omni.types import TrainedGroup

UNKNOWN = -100


class LabelTask(Task):
    """``task`` for heads that compare regions with labels.

    Each label slot (a text, a picture, a sound ...) holds one label a sample. All labels of the batch, projected by the
    model, are candidates for every region of it; target ``SLOT_id`` says what a label names, and the head's target of
    ids (``labels``) what each region is. The head gets ``label_embeddings_KE`` and ``label_ids_K`` beside its
    targets. Several processes: each compares with its own labels.

    Args:
        slots, head, targets, groups, group_weights, weight: as of ``task``.
        labels: the label slots; their samples' ids are the batch targets ``SLOT_id``.

    Raises:
        ConfigError: no label slot, one that is an input too, or one that the model does not have.
    """

    def __init__(self, *, slots: Sequence[str], labels: Sequence[str], **options: Any) -> None:
        super().__init__(slots=slots, **options)
        self.labels = tuple(labels)
        both = [slot for slot in self.labels if slot in self.slots]
        if not self.labels or both:
            raise ConfigError(
                f"label_task: labels {list(self.labels)} must be slots that are not in {list(self.slots)}."
            )

    def bind(self, model: Any) -> None:
        """Find the head; check the label slots."""
        super().bind(model)
        unknown = [slot for slot in self.labels if slot not in model.slots]
        if unknown:
            raise ConfigError(f"label_task: the model has no slot {unknown[0]!r}; it has {', '.join(model.slots)}.")

    def reads(self) -> tuple[Leaf, ...]:
        return (*super().reads(), *(Leaf(kind="embedding", slots=(slot,)) for slot in self.labels))

    def trained_groups(self) -> tuple[TrainedGroup, ...]:
        """None: regions meet labels, not slots each other."""
        return ()

    def _targets(self, fp: ForwardPass, wanted_B: Tensor) -> dict[str, Tensor]:
        found = super()._targets(fp, wanted_B)
        embeddings, ids = [], []
        for slot in self.labels:
            item = fp.embedding(slot)
            ids_B = self._target(fp, f"{slot}_id")
            named_B = item.present_B & (ids_B != UNKNOWN)
            embeddings.append(item.values_BE[named_B])
            ids.append(ids_B[named_B])
        return found | {"label_embeddings_KE": torch.cat(embeddings), "label_ids_K": torch.cat(ids)}
