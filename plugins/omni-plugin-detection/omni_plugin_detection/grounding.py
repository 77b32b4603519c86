"""The box of a phrase: phrase and picture are read in one sequence, and the best point's box is the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from omni.core.positions import at_least_float32
from omni.errors import ConfigError, InputError
from omni.heads.base import Head
from omni.inference import OmniPredictor
from omni.predicting import find_head, predict
from omni.types import CoreOutput, HeadOutput, Prediction
from omni_plugin_detection.assign import Points, decode, make_points, pairwise_iou
from omni_plugin_detection.detector import as_array
from omni_plugin_detection.frames import frame_of
from omni_plugin_detection.head import fraction_boxes
from omni_plugin_detection.pyramid import Pyramid, flat, token_map


class GroundingHead(Head):
    """One box a sample, of what another slot describes (a phrase, a sound, a picture of it).

    The score of a point is a map of its own features plus their product with the describing slot's summary state; the
    slots also attend to each other in the core. The loss is ``-log`` of the softmax's mass (over all points) within the
    true box's middle half, plus the generalised IoU loss (Rezatofighi et al. 2019) of the boxes of these points.

    Targets: one name ending in "box" or "boxes", (B, 1, 4) pixels with its mask, and ``picture_size`` (B, 1, 2).

    Args:
        width: D. slot: whose patches are searched. query: the slot that describes.
        grid, summary, channels, scales, depth, box_weight: as of DetectionHead.

    Raises:
        ConfigError: values that do not fit.
    """

    part_names = ("point", "box", "iou", "hits")

    def __init__(
        self, *, width: int, slot: str, query: str, grid: Sequence[int] | None = None, summary: int = 1,
        channels: int = 64, scales: Sequence[float] = (2, 1), depth: int = 2, box_weight: float = 2.0,
        fused: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(width=width, fused=fused)
        if slot == query:
            raise ConfigError(f"grounding: slot and query are both {slot!r}; the query describes what is to be found.")
        self.slot, self.query, self.summary, self.box_weight = slot, query, summary, box_weight
        self.grid = None if grid is None else tuple(grid)
        self.pyramid = Pyramid(width=width, channels=channels, scales=scales, depth=depth)
        self.box = nn.Conv2d(channels, 5, 3, padding=1)
        nn.init.normal_(self.box.weight, std=0.01)
        assert self.box.bias is not None
        nn.init.zeros_(self.box.bias)
        self.ask = nn.Linear(width, channels)
        self.look = nn.Linear(channels, channels)

    def forward(self, core_output: CoreOutput, targets: dict[str, Tensor] | None = None) -> HeadOutput:
        """``boxes_BP4`` in fractions and ``scores_BP`` (log of a softmax over the points); the loss with targets.

        Raises:
            InputError: a slot is not there, or a target is missing.
        """
        if self.query not in core_output.pooled:
            raise InputError(f"grounding: no slot {self.query!r}, which says what is to be found. Give it.")
        maps = self.pyramid(token_map(core_output, self.slot, self.grid, summary=self.summary))
        points = make_points([(item.shape[2], item.shape[3]) for item in maps], device=maps[0].device)
        raw_BP5 = at_least_float32(flat([self.box(item) for item in maps]))
        query_BC = self.ask(core_output.pooled[self.query])
        products_BP = torch.einsum("bpc,bc->bp", self.look(flat(maps)), query_BC) / math.sqrt(query_BC.shape[1])
        scores_BP = (raw_BP5[..., 4] + at_least_float32(products_BP)).log_softmax(1)
        values = {"boxes_BP4": decode(raw_BP5[..., :4], points), "scores_BP": scores_BP}
        return HeadOutput(values=values) if targets is None else self._learn(values, points, targets)

    def _learn(self, values: dict[str, Tensor], points: Points, targets: dict[str, Tensor]) -> HeadOutput:
        names = [name for name in targets if name.endswith(("box", "boxes")) and not name.startswith("valid_")]
        if len(names) != 1:
            raise InputError(f"grounding takes one target of boxes, not {', '.join(names) or 'none'}.")
        boxes_B14, valid_B1 = fraction_boxes(targets, names[0])
        if boxes_B14.shape[1] != 1:
            raise InputError(
                f"grounding: target {names[0]!r} has {boxes_B14.shape[1]} boxes a sample; it must have one."
            )
        known_B = valid_B1[:, 0]
        count = int(known_B.sum())
        scores_BP, boxes_BP4 = values["scores_BP"][known_B], values["boxes_BP4"][known_B]
        if not count:
            nothing = values["scores_BP"].sum() * 0 + values["boxes_BP4"].sum() * 0
            return HeadOutput(values=values, loss=nothing, count=0)
        truth_B14 = boxes_B14[known_B]
        positive_BP = middle_points(truth_B14[:, 0], points)
        point = -scores_BP.masked_fill(~positive_BP, float("-inf")).logsumexp(1).mean()
        rows = positive_BP.nonzero()[:, 0]
        each = generalized_box_iou_loss(boxes_BP4[positive_BP], truth_B14[rows, 0])
        weight = 1.0 / positive_BP.sum(1)[rows]  # each sample counts once, however large its box
        box = (each * weight).sum() / count
        best = scores_BP.argmax(1)
        iou_B = pairwise_iou(truth_B14, boxes_BP4[torch.arange(count), best][:, None])[:, 0, 0]
        parts = {"point": point, "box": box, "iou": iou_B.mean(), "hits": (iou_B >= 0.5).to(iou_B.dtype).mean()}
        loss = point + self.box_weight * box
        return HeadOutput(values=values, loss=loss, count=count, parts={k: v.detach() for k, v in parts.items()})

    @torch.no_grad()
    def predict(self, core_output: CoreOutput, **options: Any) -> list[Prediction]:
        """A Prediction whose value is (4,) float32 x0, y0, x1, y1 in fractions of what the model saw; its score is the
        softmax's mass on points whose boxes overlap the answer by at least a half."""
        if options:
            raise InputError(f"grounding: its predict takes no options, not {', '.join(options)}.")
        values = self(core_output).values
        found = []
        for boxes_P4, scores_P in zip(values["boxes_BP4"].clamp(0, 1), values["scores_BP"], strict=True):
            best = boxes_P4[scores_P.argmax()]
            near_P = pairwise_iou(best[None, None], boxes_P4[None])[0, 0] >= 0.5
            found.append(Prediction(value=best.float(), score=float(scores_P.exp()[near_P].sum())))
        return found


def middle_points(boxes_B4: Tensor, points: Points) -> Tensor:
    """(B, P) bool: points within the middle half of a box; where there is none, the point nearest to its middle."""
    middle_B12 = ((boxes_B4[:, :2] + boxes_B4[:, 2:]) / 2)[:, None]
    apart_BP2 = (points.centre_P2[None] - middle_B12).abs()
    inside_BP = (apart_BP2 <= (boxes_B4[:, 2:] - boxes_B4[:, :2])[:, None] / 4).all(-1)
    nearest_BP = F.one_hot(apart_BP2.square().sum(-1).argmin(1), len(points.centre_P2)).bool()
    return torch.where(inside_BP.any(1, keepdim=True), inside_BP, nearest_BP)


def ground(
    model: OmniPredictor, pictures: Sequence[Any], queries: Sequence[Any], *, head: str | None = None,
    batch_size: int = 32,
) -> list[Prediction]:  # fmt: skip
    """The box of each phrase in its picture: (4,) x0, y0, x1, y1 in pixels of the original.

    Raises:
        OmniError: the model has no such head. InputError: lists of different lengths, or a value that cannot be read.
    """
    name = find_head(model.model, "grounding", head)
    module = model.model.heads[name]
    assert isinstance(module, GroundingHead)
    originals = [as_array(picture) for picture in pictures]
    values = {module.slot: originals, module.query: list(queries)}
    made = predict(model, name, values, batch_size=batch_size, progress=False)
    transform = model.processor.transforms[module.slot]
    found = []
    for item, original in zip(made, originals, strict=True):
        height, width = original.shape[:2]
        box_14 = frame_of(transform, height, width).to_pixels(item.value.cpu()[None])
        box_14[:, 0::2] = box_14[:, 0::2].clamp(0, width)
        box_14[:, 1::2] = box_14[:, 1::2].clamp(0, height)
        found.append(Prediction(value=box_14[0], score=item.score, details={"size": (height, width)}))
    return found
