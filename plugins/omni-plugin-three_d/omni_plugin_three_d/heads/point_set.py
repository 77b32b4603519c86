"""The head ``point_set``: any slots' tokens -> so many points of a surface."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from omni.errors import ConfigError
from omni.heads.base import Head
from omni.types import CoreOutput, HeadOutput, Prediction
from omni_plugin_three_d.heads import targets as wanted
from omni_plugin_three_d.heads.reader import Reader, check_rows
from omni_plugin_three_d.losses import chamfer_loss
from omni_plugin_three_d.shape import Shape


class PointSet(Head):
    """Points of a surface in shape space, without order or triangles: the light way (Fan et al. 2017, A point set
    generation network).

    Learnt queries read all valid tokens by cross-attention; each becomes a small group of points about a place of its
    own.

    Target: ``surface`` (B, M, 3) in shape space, its mask ``valid_surface``.

    Args:
        width: D of the core.
        queries, group: queries, and points of each.
        hidden: width of the queries; None = that of the core. depth, num_heads: of the reading blocks.
        train_points: so many random ones of the target's points in training.
        squared: the loss is the mean of squared distances both ways; False = of plain ones.
        up: "y" or "z", the axis that points up in pictures.
        fused: as of the base Head.

    Raises:
        ConfigError: values that cannot be meant.
    """

    def __init__(
        self, *, width: int, queries: int = 64, group: int = 16, hidden: int | None = None, depth: int = 2,
        num_heads: int = 4, train_points: int = 1024, squared: bool = True, up: str = "y", fused: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(width=width, fused=fused)
        if group < 1 or train_points < 1 or up not in ("y", "z"):
            raise ConfigError(
                f"point_set: group={group} and train_points={train_points} must be above 0, up={up!r} 'y' or 'z'."
            )
        hidden = width if hidden is None else hidden
        self.group, self.train_points, self.squared, self.up = int(group), int(train_points), bool(squared), up
        self.reader = Reader(width=width, queries=queries, hidden=hidden, depth=depth, num_heads=num_heads)
        self.center = nn.Linear(hidden, 3)
        self.offsets = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, 3 * group))
        self.start = nn.Parameter(torch.empty(queries, group, 3).uniform_(-0.7, 0.7))

    def forward(self, core_output: CoreOutput, targets: dict[str, Tensor] | None = None) -> HeadOutput:
        """``values``: ``points`` (B, N, 3), N = queries * group, in shape space; with targets also the loss.

        Raises:
            InputError: targets that are missing or do not fit.
        """
        state = self.reader(core_output)
        offsets = self.offsets(state).unflatten(2, (self.group, 3))
        points = (self.start + self.center(state)[:, :, None] + offsets).flatten(1, 2)
        if targets is None:
            return HeadOutput(values={"points": points})
        truth, valid = wanted.take(targets, "surface", rows=len(points), who="point_set", columns=3)
        if self.training:
            truth, valid = wanted.some_of(self.train_points, truth, valid)
        return HeadOutput(
            values={"points": points}, loss=chamfer_loss(points.float(), truth.float(), valid, squared=self.squared)
        )

    @torch.no_grad()
    def predict(self, core_output: CoreOutput, **options: Any) -> list[Prediction]:
        """One Shape a sample, of points.

        Raises:
            ConfigError: options, of which there are none. InputError: a sample has no slot at all.
        """
        if options:
            raise ConfigError(f"point_set: predict() has no options, not {', '.join(options)}.")
        check_rows(core_output, "point_set")
        points = self(core_output).values["points"].clamp(-1, 1).float().cpu().numpy()
        return [Prediction(value=Shape(points_N3=own, up=self.up)) for own in points]
