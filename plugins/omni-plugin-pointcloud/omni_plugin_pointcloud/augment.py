"""Changes of a cloud for training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from omni.errors import ConfigError

UPS = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True, kw_only=True)
class PointcloudAugment:
    """Random changes; 0 = none. Draws from torch's global generator.

    Attributes:
        rotate: turned about the axis that points up, by up to this many degrees either way; 180 = any way round.
        scale: all axes by one factor from 1 - scale to 1 + scale.
        jitter: deviation of noise on every coordinate, in units of the cloud's radius, cut at three deviations.
        drop: up to this share of the points is left out; one always stays.
    """

    rotate: float = 0.0
    scale: float = 0.0
    jitter: float = 0.0
    drop: float = 0.0

    def problems(self) -> str:
        """What is wrong with the settings; empty when they are sound."""
        if not 0 <= self.rotate <= 180:
            return f"rotate is {self.rotate}; it lies in 0 to 180 degrees"
        if not (0 <= self.scale < 1 and 0 <= self.drop < 1):
            return f"scale is {self.scale} and drop is {self.drop}; they lie in 0 to below 1"
        return "" if self.jitter >= 0 else f"jitter is {self.jitter}; it is not negative"

    def __call__(
        self, points_N3: Tensor, normals_N3: Tensor | None, *, up: str
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Changed copies, and which of the points (N,) bool stay."""
        if self.rotate:
            turn_33 = rotation(float(self.rotate * (2 * torch.rand(()) - 1)), up=up).to(points_N3)
            points_N3 = points_N3 @ turn_33.T
            normals_N3 = None if normals_N3 is None else normals_N3 @ turn_33.T
        if self.scale:
            points_N3 = points_N3 * float(1 + self.scale * (2 * torch.rand(()) - 1))
        if self.jitter:
            points_N3 = points_N3 + self.jitter * torch.randn(points_N3.shape).clamp(-3, 3).to(points_N3)
        stay_N = torch.ones(len(points_N3), dtype=torch.bool)
        if self.drop:
            stay_N = torch.rand(len(points_N3)) >= self.drop * torch.rand(())
            stay_N[torch.randint(len(points_N3), ())] = True
        return points_N3, normals_N3, stay_N.to(points_N3.device)


def make_augment(settings: Mapping[str, Any] | None, *, up: str, who: str) -> PointcloudAugment:
    """From keyword arguments; None = no change.

    Raises:
        ConfigError: unknown or senseless ones, or no such axis.
    """
    if up not in UPS:
        raise ConfigError(f"{who}: up is one of {', '.join(UPS)}, not {up!r}.")
    try:
        augment = PointcloudAugment(**(settings or {}))
    except TypeError as error:
        known = ", ".join(PointcloudAugment.__dataclass_fields__)
        raise ConfigError(f"{who}: augment: {error}. Known are {known}.") from error
    if augment.problems():
        raise ConfigError(f"{who}: augment: {augment.problems()}.")
    return augment


def augment_batch(
    points_BN3: Tensor, normals_BN3: Tensor | None, valid_BN: Tensor, augment: PointcloudAugment, *, up: str
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Each cloud of a batch changed by itself; of each at least one point stays valid."""
    changed = [
        augment(points, None if normals_BN3 is None else normals_BN3[row], up=up)
        for row, points in enumerate(points_BN3)
    ]
    stay_BN = torch.stack([stay for _, _, stay in changed]) & valid_BN
    stay_BN = torch.where(stay_BN.any(1, keepdim=True), stay_BN, valid_BN)
    normals = None if normals_BN3 is None else torch.stack([normals for _, normals, _ in changed])
    return torch.stack([points for points, _, _ in changed]), normals, stay_BN


def rotation(degrees: float, *, up: str) -> Tensor:
    """(3, 3) float32: a turn about an axis, counterclockwise seen from its tip."""
    axis = UPS[up]
    first, second = (axis + 1) % 3, (axis + 2) % 3
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn_33 = torch.eye(3)
    turn_33[first, first] = turn_33[second, second] = cosine
    turn_33[first, second], turn_33[second, first] = -sine, sine
    return turn_33
