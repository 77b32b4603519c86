"""The pixels of what labels of any modality name: every cell of the pyramid's finest map against label embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from omni.core.positions import at_least_float32
from omni.errors import InputError
from omni.heads.base import Head
from omni.inference import OmniPredictor
from omni.predicting import find_head, predict
from omni.types import CoreOutput, HeadOutput, Prediction
from omni_plugin_detection.detector import as_array, embed_labels
from omni_plugin_detection.frames import frame_of
from omni_plugin_detection.pyramid import LabelMatch, Pyramid, token_map


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMasks:
    """What each label names in a picture: (K, h, w) bool and the labels' largest probabilities (K,)."""

    masks_KHW: Tensor
    scores_K: Tensor


class SegmentationHead(Head):
    """A mask a label (as LSeg, Li et al. 2022, but with a logistic for each label, so that none may fit).

    The loss is binary cross-entropy plus the soft Dice loss (Milletari et al. 2016) over the pairs of picture and
    label where the label names something there, plus the cross-entropy over the other pairs.

    Targets: ``masks`` (B, N, H, W) of the picture that the model saw, with ``valid_masks``; ``labels`` (B, N, M);
    ``label_embeddings_KE`` and ``label_ids_K`` of the objective ``label_task``.

    Args:
        width: D. embedding_width: E. slot, grid, summary, channels, depth: as of DetectionHead.
        scale: of the map whose cells are labelled, relative to the patches.
    """

    part_names = ("there", "dice", "absent", "iou")

    def __init__(
        self, *, width: int, embedding_width: int, slot: str, grid: Sequence[int] | None = None, summary: int = 1,
        channels: int = 64, scale: float = 2, depth: int = 2, fused: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(width=width, fused=fused)
        self.slot, self.grid, self.summary = slot, None if grid is None else tuple(grid), summary
        self.pyramid = Pyramid(width=width, channels=channels, scales=(scale,), depth=depth)
        self.match = LabelMatch(width=channels, embedding_width=embedding_width)

    def forward(self, core_output: CoreOutput, targets: dict[str, Tensor] | None = None) -> HeadOutput:
        """``regions_BHWE``, an embedding a cell; with targets also the loss and ``logits_BKHW``.

        Raises:
            InputError: the slot's tokens are no whole grid, or a target is missing.
        """
        (features,) = self.pyramid(token_map(core_output, self.slot, self.grid, summary=self.summary))
        regions = self.match.embed(features.permute(0, 2, 3, 1))
        if targets is None:
            return HeadOutput(values={"regions_BHWE": regions})
        missing = [name for name in ("masks", "labels", "label_embeddings_KE", "label_ids_K") if name not in targets]
        if missing:
            raise InputError(
                f"segmentation: target {missing[0]!r} is missing; train it by the objective 'label_task' with "
                "targets=['masks', 'labels']."
            )
        logits = at_least_float32(self.match(regions, targets["label_embeddings_KE"])).permute(0, 3, 1, 2)
        values = {"regions_BHWE": regions, "logits_BKHW": logits}
        if not logits.shape[1]:
            return HeadOutput(values=values, loss=regions.sum() * 0, count=0)
        truth = label_masks(targets, logits.shape[2:])
        return HeadOutput(values=values, count=len(logits), **_mask_loss(logits, truth))

    @torch.no_grad()
    def predict(
        self, core_output: CoreOutput, *, label_embeddings_KE: Tensor | None = None, threshold: float = 0.5,
        size: tuple[int, int] | None = None,
    ) -> list[Prediction]:  # fmt: skip
        """A Prediction of LabelMasks for each picture.

        Args:
            label_embeddings_KE: of the labels; needed.
            threshold: of the probability. size: height, width of the masks (bilinear); None = the map's own.

        Raises:
            InputError: no labels.
        """
        if label_embeddings_KE is None:
            raise InputError("segmentation: no labels; give label_embeddings_KE, from the model's own `encode`.")
        regions = self(core_output).values["regions_BHWE"]
        logits = self.match(regions, label_embeddings_KE.to(regions.device)).permute(0, 3, 1, 2).float()
        if size is not None:
            logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        chance = logits.sigmoid()
        return [
            Prediction(
                value=LabelMasks(masks_KHW=item >= threshold, scores_K=item.amax((1, 2))), score=float(item.max())
            )
            for item in chance
        ]


def label_masks(targets: Mapping[str, Tensor], size: Sequence[int]) -> Tensor:
    """(B, K, h, w) in 0..1: how much of each cell is of things that a label names."""
    masks_BNHW = targets["masks"].float()
    valid_BN = targets.get("valid_masks", torch.ones(masks_BNHW.shape[:2], dtype=torch.bool))
    cells = F.adaptive_avg_pool2d(masks_BNHW, (size[0], size[1]))
    named_BNK = (targets["labels"][..., None] == targets["label_ids_K"]).any(2) & valid_BN[..., None]
    return torch.einsum("bnhw,bnk->bkhw", cells, named_BNK.to(cells.dtype)).clamp(max=1.0)


def _mask_loss(logits: Tensor, truth: Tensor) -> dict[str, Any]:
    there_BK = truth.flatten(2).amax(2) > 0
    each_BK = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none").mean((2, 3))
    chance = logits.sigmoid()
    shared_BK, sum_BK = (chance * truth).sum((2, 3)), (chance + truth).sum((2, 3))
    dice_BK = 1 - (2 * shared_BK + 1) / (sum_BK + 1)
    hard, solid = logits > 0, truth >= 0.5
    iou_BK = (hard & solid).sum((2, 3)) / (hard | solid).sum((2, 3)).clamp(min=1)
    count = there_BK.sum().clamp(min=1)
    there, dice = (each_BK * there_BK).sum() / count, (dice_BK * there_BK).sum() / count
    absent = (each_BK * ~there_BK).sum() / (~there_BK).sum().clamp(min=1)
    parts = {"there": there, "dice": dice, "absent": absent, "iou": (iou_BK * there_BK).sum() / count}
    return {"loss": there + dice + absent, "parts": {name: part.detach() for name, part in parts.items()}}


def segment(
    model: OmniPredictor, picture: Any, labels: Mapping[str, Sequence[Any]], *, head: str | None = None,
    threshold: float = 0.5,
) -> tuple[np.ndarray, tuple[str, ...]]:  # fmt: skip
    """(K, H, W) bool, the pixels of the original that each label names, and the labels' names.

    What the transform cuts off is False.

    Raises:
        OmniError: the model has no such head. InputError: a value that cannot be read.
    """
    name = find_head(model.model, "segmentation", head)
    module = model.model.heads[name]
    assert isinstance(module, SegmentationHead)
    embeddings_KE, names = embed_labels(model, labels)
    original = as_array(picture)
    frame = frame_of(model.processor.transforms[module.slot], *original.shape[:2])
    size = (max(1, round(frame.height)), max(1, round(frame.width)))
    options: dict[str, Any] = {"label_embeddings_KE": embeddings_KE, "threshold": threshold, "size": size}
    (found,) = predict(model, name, {module.slot: [original]}, progress=False, **options)
    masks = np.zeros((len(names), *original.shape[:2]), bool)
    top, left = round(frame.top), round(frame.left)
    part = masks[:, top : top + size[0], left : left + size[1]]
    part[:] = found.value.masks_KHW.cpu().numpy()[:, : part.shape[1], : part.shape[2]]
    return masks, names
