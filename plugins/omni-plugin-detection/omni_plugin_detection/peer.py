"""The peer of the benchmark: torchvision's FCOS on a small backbone of chosen size, from random weights."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork

from omni_plugin_detection.head import Detections

STRIDES = (8, 16, 32)
_PYRAMID = 64


class SmallBackbone(nn.Module):
    """Convolutions of stride 2, one more at each level, and torchvision's pyramid on strides 8, 16, 32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = [3, channels, 2 * channels, 3 * channels, 4 * channels, 4 * channels]
        self.stages = nn.ModuleList(
            nn.Sequential(
                Conv2dNormActivation(sizes[i], sizes[i + 1], 3, 2),
                *([Conv2dNormActivation(sizes[i + 1], sizes[i + 1], 3)] if i else []),
            )
            for i in range(5)
        )
        self.pyramid = FeaturePyramidNetwork(sizes[3:], _PYRAMID)
        self.out_channels = _PYRAMID

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Three maps of 64 channels."""
        found: OrderedDict[str, Tensor] = OrderedDict()
        for number, stage in enumerate(self.stages):
            pixels = stage(pixels)
            if number >= 2:
                found[str(number)] = pixels
        return self.pyramid(found)


def build_peer(num_classes: int, parameters: int, *, side: int) -> FCOS:
    """FCOS of as nearly ``parameters`` parameters as a whole number of channels gives."""
    best = min(range(4, 129), key=lambda channels: abs(_count(channels, num_classes, side) - parameters))
    return _build(best, num_classes, side)


def _build(channels: int, num_classes: int, side: int) -> FCOS:
    anchors = AnchorGenerator(sizes=tuple((stride,) for stride in STRIDES), aspect_ratios=((1.0,),) * len(STRIDES))
    return FCOS(
        SmallBackbone(channels), num_classes, min_size=side, max_size=side, anchor_generator=anchors, score_thresh=0.05,
        nms_thresh=0.5, detections_per_img=100,
    )  # fmt: skip


def _count(channels: int, num_classes: int, side: int) -> int:
    with torch.device("meta"):
        return sum(item.numel() for item in _build(channels, num_classes, side).parameters())


def train_peer(
    model: FCOS, pictures: Tensor, boxes: Sequence[np.ndarray], labels: Sequence[np.ndarray], *, seconds: float,
    batch_size: int = 32, lr: float = 1e-3, seed: int = 0,
) -> int:  # fmt: skip
    """AdamW with warm-up and cosine over ``seconds`` of this process's processor time; the number of steps.

    Args:
        pictures: (n, 3, H, W) uint8. boxes, labels: of each.
    """
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.05)
    generator = torch.Generator().manual_seed(seed)
    start, steps = time.process_time(), 0
    order: list[int] = []
    while (spent := time.process_time() - start) < seconds:
        if len(order) < batch_size:
            order = torch.randperm(len(pictures), generator=generator).tolist()
        rows, order = order[:batch_size], order[batch_size:]
        share = spent / seconds
        rate = lr * min(1.0, share / 0.05 + 1e-3) * (0.5 + 0.5 * float(np.cos(np.pi * share)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = model(
            [pictures[row].float() / 255 for row in rows],
            [{"boxes": torch.from_numpy(boxes[row]), "labels": torch.from_numpy(labels[row])} for row in rows],
        )
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()
        steps += 1
    return steps


@torch.no_grad()
def detect_peer(model: FCOS, pictures: Tensor, *, batch_size: int = 50) -> list[Detections]:
    """Detections of (n, 3, H, W) uint8 pictures, in their pixels."""
    model.eval()
    found: list[Any] = []
    for part in pictures.split(batch_size):
        found += model([item.float() / 255 for item in part])
    return [
        Detections(boxes_N4=item["boxes"], scores_N=item["scores"], labels_N=item["labels"]) for item in found
    ]  # fmt: skip
