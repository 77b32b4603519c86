"""Detection by labels of any modality: pyramid on patch tokens, points, SimOTA, regions against label embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, box_iou, generalized_box_iou_loss

from omni.core.positions import at_least_float32
from omni.errors import ConfigError, InputError
from omni.heads.base import Head
from omni.types import CoreOutput, HeadOutput, Prediction
from omni_plugin_detection.assign import decode, make_points, sim_ota
from omni_plugin_detection.pyramid import LabelMatch, Pyramid, flat, token_map

_SMALL = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """What was found in one picture, best first.

    Attributes:
        boxes_N4: float32 x0, y0, x1, y1. As the head gives them they are fractions of the picture that the model saw;
            as ``omni_plugin_detection.detector`` gives them, pixels of the original.
        scores_N: float32, objectness times the label's probability.
        labels_N: int64, which label; -1 where no labels were given.
    """

    boxes_N4: Tensor
    scores_N: Tensor
    labels_N: Tensor

    def __len__(self) -> int:
        return len(self.scores_N)


class DetectionHead(Head):
    """Boxes of things, and which of the given labels each is.

    Every point of the pyramid tells a box, how well it fits a thing (objectness), and an embedding of its region, which
    is compared with embeddings of labels. Objectness learns at all points, boxes and embeddings at those that
    SimOTA gives a true box (YOLOX). So a batch's labels need not name every thing in its pictures.

    Targets: ``boxes`` (B, N, 4) pixels with ``valid_boxes``; ``picture_size`` (B, 1, 2) height, width in the same
    pixels; ``labels`` (B, N, M) ids, any of which may be a label's; ``label_embeddings_KE`` and ``label_ids_K``, as the
    objective ``label_task`` gives them.

    Args:
        width: D of the core.
        embedding_width: E of the model's embeddings.
        slot: whose patches are read.
        grid: its (rows, columns) of patches; None = a square.
        summary: tokens before the first patch.
        channels, scales, depth: of the pyramid.
        box_weight, label_weight: of the losses beside that of objectness.
        fused: False (the default): only the slot itself is read, alone; True lets other slots of the objective inform
            it.

    Raises:
        ConfigError: values that do not fit.
    """

    part_names = ("objectness", "box", "label", "iou", "label_accuracy")

    def __init__(
        self, *, width: int, embedding_width: int, slot: str, grid: Sequence[int] | None = None, summary: int = 1,
        channels: int = 64, scales: Sequence[float] = (2, 1, 0.5), depth: int = 2, box_weight: float = 2.0,
        label_weight: float = 1.0, fused: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(width=width, fused=fused)
        if grid is not None and (len(grid) != 2 or min(grid) < 1):
            raise ConfigError(f"detection: grid {grid} must be rows and columns of patches.")
        self.slot, self.grid, self.summary = slot, None if grid is None else tuple(grid), summary
        self.box_weight, self.label_weight = box_weight, label_weight
        self.pyramid = Pyramid(width=width, channels=channels, scales=scales, depth=depth)
        self.box = nn.Conv2d(channels, 5, 3, padding=1)
        nn.init.normal_(self.box.weight, std=0.01)
        assert self.box.bias is not None
        nn.init.zeros_(self.box.bias)
        with torch.no_grad():
            self.box.bias[4] = -3.0  # few points are of a thing
        self.match = LabelMatch(width=channels, embedding_width=embedding_width)

    def forward(self, core_output: CoreOutput, targets: dict[str, Tensor] | None = None) -> HeadOutput:
        """``boxes_BP4`` in fractions, ``objectness_BP`` logits, ``regions_BPE`` unit vectors; the loss with targets.

        Raises:
            InputError: the slot's tokens are no whole grid, or a target is missing.
        """
        maps = self.pyramid(token_map(core_output, self.slot, self.grid, summary=self.summary))
        points = make_points([(item.shape[2], item.shape[3]) for item in maps], device=maps[0].device)
        raw_BP5 = at_least_float32(flat([self.box(item) for item in maps]))
        features_BPC = flat(maps)
        values = {"boxes_BP4": decode(raw_BP5[..., :4], points), "objectness_BP": raw_BP5[..., 4]}
        if targets is None:
            return HeadOutput(values={**values, "regions_BPE": self.match.embed(features_BPC)})
        boxes_BN4, valid_BN = fraction_boxes(targets)
        index_BP, iou_BP = sim_ota(
            boxes_BN4, valid_BN, values["boxes_BP4"].detach(), values["objectness_BP"].detach(), points
        )
        positive_BP = index_BP >= 0
        count = max(int(positive_BP.sum()), 1)
        objectness = quality_focal_loss(values["objectness_BP"], iou_BP).sum() / count
        chosen = index_BP.clamp(min=0)[positive_BP]
        rows = positive_BP.nonzero()[:, 0]
        box = generalized_box_iou_loss(values["boxes_BP4"][positive_BP], boxes_BN4[rows, chosen]).sum() / count
        label, accuracy = self._label_loss(features_BPC[positive_BP], targets, rows, chosen)
        loss = objectness + self.box_weight * box + self.label_weight * label
        parts = {
            "objectness": objectness, "box": box, "label": label, "iou": iou_BP.sum() / count,
            "label_accuracy": accuracy,
        }  # fmt: skip
        return HeadOutput(
            values=values, loss=loss, count=len(boxes_BN4), parts={name: part.detach() for name, part in parts.items()}
        )

    def _label_loss(
        self, features_RC: Tensor, targets: dict[str, Tensor], rows_R: Tensor, chosen_R: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sum over the labels, mean over the points; and how often the likeliest label is right where one is."""
        embeddings_KE, ids_K = targets.get("label_embeddings_KE"), targets.get("label_ids_K")
        nothing = features_RC.sum() * 0
        if embeddings_KE is None or ids_K is None or not len(embeddings_KE) or not len(features_RC):
            return nothing, nothing
        logits_RK = at_least_float32(self.match(self.match.embed(features_RC), embeddings_KE))
        ids_RM = targets["labels"][rows_R, chosen_R]
        right_RK = (ids_RM[:, :, None] == ids_K).any(1)
        weight_K = repeats(ids_K)
        each = F.binary_cross_entropy_with_logits(logits_RK, right_RK.to(logits_RK.dtype), reduction="none")
        known_R = right_RK.any(1)
        best_R = logits_RK.argmax(1, keepdim=True)
        accuracy = right_RK.gather(1, best_R)[known_R].to(logits_RK.dtype)
        return (each * weight_K).sum(1).mean(), accuracy.mean() if len(accuracy) else nothing

    @torch.no_grad()
    def predict(
        self, core_output: CoreOutput, *, label_embeddings_KE: Tensor | None = None, score_threshold: float = 0.05,
        iou_threshold: float = 0.5, most: int = 100,
    ) -> list[Prediction]:  # fmt: skip
        """A Prediction of Detections (boxes in fractions of the picture that the model saw) for each picture.

        Args:
            label_embeddings_KE: of the labels, from the model's own ``encode``; None = things of any kind.
            score_threshold: lower ones are left out. iou_threshold: of the suppression within a label.
            most: detections a picture.
        """
        values = self(core_output).values
        chance_BP = values["objectness_BP"].sigmoid()
        if label_embeddings_KE is None:
            scores_BPK = chance_BP[..., None]
        else:
            logits_BPK = self.match(values["regions_BPE"], label_embeddings_KE.to(chance_BP.device))
            scores_BPK = chance_BP[..., None] * logits_BPK.sigmoid()
        found = []
        for boxes_P4, scores_PK in zip(values["boxes_BP4"].clamp(0, 1), scores_BPK.to(torch.float32), strict=True):
            kept = suppress(
                boxes_P4, scores_PK, score_threshold=score_threshold, iou_threshold=iou_threshold, most=most
            )
            if label_embeddings_KE is None:
                kept = Detections(boxes_N4=kept.boxes_N4, scores_N=kept.scores_N, labels_N=kept.labels_N - 1)
            best = float(kept.scores_N[0]) if len(kept) else None
            found.append(Prediction(value=kept, score=best))
        return found

    @torch.no_grad()
    def label_boxes(
        self, core_output: CoreOutput, boxes_BN4: Tensor, label_embeddings_KE: Tensor, *, points: int = 3
    ) -> Tensor:
        """(B, N, K) logits of labels for given boxes (fractions): the mean over the ``points`` whose own boxes overlap
        a given one most."""
        values = self(core_output).values
        logits_BPK = self.match(values["regions_BPE"], label_embeddings_KE)
        found = []
        for boxes_N4, own_P4, logits_PK in zip(boxes_BN4, values["boxes_BP4"], logits_BPK, strict=True):
            best_NQ = box_iou(boxes_N4.to(own_P4.dtype), own_P4).topk(min(points, len(own_P4)), 1).indices
            found.append(logits_PK[best_NQ].mean(1))
        return torch.stack(found)


def fraction_boxes(targets: dict[str, Tensor], name: str = "boxes") -> tuple[Tensor, Tensor]:
    """(B, N, 4) true boxes as fractions of their picture, and their mask (B, N); boxes without area are not real.

    Raises:
        InputError: targets are missing.
    """
    missing = [key for key in (name, "picture_size") if key not in targets]
    if missing:
        raise InputError(
            f"The head needs the targets {name!r} and 'picture_size' (height, width of the picture that the boxes are "
            f"pixels of), but {', '.join(missing)} is missing: name it in the objective's targets."
        )
    boxes_BN4 = targets[name].float()
    size_B2 = targets["picture_size"].float().reshape(len(boxes_BN4), 2)
    boxes_BN4 = boxes_BN4 / torch.stack((size_B2[:, 1], size_B2[:, 0]) * 2, 1)[:, None]
    valid_BN = targets.get(f"valid_{name}", torch.ones_like(boxes_BN4[..., 0], dtype=torch.bool))
    return boxes_BN4, valid_BN & (boxes_BN4[..., 2:] - boxes_BN4[..., :2] > _SMALL).all(-1)


def quality_focal_loss(logits: Tensor, quality: Tensor, *, beta: float = 2.0) -> Tensor:
    """``|q - p|^beta * BCE(p, q)`` (quality focal loss, Li et al. 2020, equation 5), p the logistic of the logits; with
    q in {0, 1} it is the focal loss without its alpha."""
    each = F.binary_cross_entropy_with_logits(logits, quality.to(logits.dtype), reduction="none")
    return (quality - logits.sigmoid()).abs() ** beta * each


def repeats(ids_K: Tensor) -> Tensor:
    """(K,) 1 / how often each id is there, so that a label that a batch names twice counts once."""
    return 1.0 / (ids_K[:, None] == ids_K).sum(1)


def suppress(
    boxes_P4: Tensor, scores_PK: Tensor, *, score_threshold: float, iou_threshold: float, most: int
) -> Detections:
    """Boxes of which a label's score reaches the threshold, without those that overlap a better one of the same label
    by more than ``iou_threshold``; best first."""
    point, label = (scores_PK >= score_threshold).nonzero(as_tuple=True)
    scores = scores_PK[point, label]
    kept = batched_nms(boxes_P4[point], scores, label, iou_threshold)[:most]
    return Detections(boxes_N4=boxes_P4[point[kept]], scores_N=scores[kept], labels_N=label[kept])
