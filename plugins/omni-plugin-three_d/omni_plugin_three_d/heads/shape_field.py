"""The head ``shape_field``: any slots' tokens -> a field over shape space -> a mesh."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omni.errors import ConfigError
from omni.heads.base import Head
from omni.types import CoreOutput, HeadOutput, Prediction
from omni_plugin_three_d.heads import targets as wanted
from omni_plugin_three_d.heads.latents import PointDecoder, make_latent
from omni_plugin_three_d.heads.reader import Reader, check_rows
from omni_plugin_three_d.losses import distance_loss, occupancy_loss, overlap_loss
from omni_plugin_three_d.meshing import lattice
from omni_plugin_three_d.shape import Shape

OUTPUTS = ("occupancy", "distance")
SIDES = {"triplane": 8, "grid": 4}
POINTS_AT_ONCE = 65_536


class ShapeField(Head):
    """Occupancy or signed distance at any point of shape space (the cube from -1 to 1), from the core's states.

    Learnt queries read all valid tokens by cross-attention and become a latent, three planes or a grid; a small MLP
    decodes what is read of it at a point (Peng et al. 2020, Convolutional Occupancy Networks; Hong et al. 2024, LRM).

    Targets: ``points`` (B, P, 3) in shape space, and ``occupancy`` (B, P) in 0..1 or ``distance`` (B, P), negative
    inside; masks ``valid_points``.

    Args:
        width: D of the core.
        latent: "triplane" or "grid".
        output: "occupancy" or "distance".
        side: tokens along an axis of a plane or of the grid; None = 8 or 4.
        patch: places of a token along an axis: planes have side * patch places a side.
        channels: of a place.
        hidden: width of the queries; None = that of the core. depth, num_heads: of the reading blocks.
        decoder_hidden, decoder_depth: of the MLP.
        train_points: so many random ones of the targets' points in training.
        balance: 0..1, see losses.occupancy_loss. overlap: weight of losses.overlap_loss beside it.
        clamp: of losses.distance_loss, in shape space.
        level: occupancy from which on a place is inside, unless predict() is told another.
        up: "y" or "z", the axis that points up in pictures.
        fused: as of the base Head.

    Raises:
        ConfigError: values that cannot be meant.
    """

    def __init__(
        self, *, width: int, latent: str = "triplane", output: str = "occupancy", side: int | None = None,
        patch: int = 4, channels: int = 16, hidden: int | None = None, depth: int = 2, num_heads: int = 4,
        decoder_hidden: int = 64, decoder_depth: int = 2, train_points: int = 1024, balance: float = 0.5,
        overlap: float = 0.0, clamp: float = 0.1, level: float = 0.5, up: str = "y", fused: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(width=width, fused=fused)
        if output not in OUTPUTS:
            raise ConfigError(f"shape_field: output is one of {', '.join(OUTPUTS)}, not {output!r}.")
        if not 0 < level < 1 or not 0 <= balance <= 1 or not clamp > 0 or overlap < 0 or train_points < 1:
            raise ConfigError(
                f"shape_field: level={level} must lie between 0 and 1, balance={balance} in 0..1; clamp={clamp} and "
                f"train_points={train_points} must be above 0, overlap={overlap} not below 0."
            )
        if up not in ("y", "z"):
            raise ConfigError(f"shape_field: up={up!r} must be 'y' or 'z'.")
        hidden = width if hidden is None else hidden
        self.output, self.train_points, self.up = output, int(train_points), up
        self.balance, self.overlap, self.clamp, self.level = float(balance), float(overlap), float(clamp), float(level)
        self.latent = make_latent(
            latent, hidden=hidden, side=SIDES.get(latent, 1) if side is None else side, patch=patch, channels=channels
        )
        self.reader = Reader(
            width=width, queries=self.latent.tokens, hidden=hidden, depth=depth, num_heads=num_heads
        )  # fmt: skip
        self.decoder = PointDecoder(features=self.latent.features, hidden=decoder_hidden, depth=decoder_depth)

    def latents(self, core_output: CoreOutput) -> Tensor:
        """What fields() and values() read: planes or grids of all samples, with a graph."""
        return self.latent(self.reader(core_output))

    def values(self, latents: Tensor, points_BP3: Tensor) -> Tensor:
        """(B, P): logits of occupancy, or signed distances, with a graph."""
        points = points_BP3.to(latents.dtype)
        return self.decoder(self.latent.read(latents, points), points)

    def field(self, latents: Tensor, row: int) -> Any:
        """One sample's field as a function (..., 3) -> (...) with a graph, below 0 inside, for the renderer: the signed
        distance, or the logit of ``level`` less that of the occupancy."""
        shift = math.log(self.level / (1 - self.level))

        def below_zero_inside(points: Tensor) -> Tensor:
            found = self.values(latents[row : row + 1], points.reshape(1, -1, 3)).reshape(points.shape[:-1])
            return shift - found if self.output == "occupancy" else found

        return below_zero_inside

    def forward(self, core_output: CoreOutput, targets: dict[str, Tensor] | None = None) -> HeadOutput:
        """``values``: ``latents``; with targets also ``field`` (B, P) at their points, and the loss.

        Raises:
            InputError: targets that are missing or do not fit.
        """
        latents = self.latents(core_output)
        if targets is None:
            return HeadOutput(values={"latents": latents})
        who, rows = "shape_field", len(latents)
        points, valid = wanted.take(targets, "points", rows=rows, who=who, columns=3)
        truth, known = wanted.take(targets, self.output, rows=rows, who=who, columns=None)
        wanted.same_points(points, truth, self.output, who)
        valid = valid & known
        if self.training:
            points, truth, valid = wanted.some_of(self.train_points, points, truth, valid)
        found = self.values(latents, points)
        if self.output == "distance":
            loss = distance_loss(found.float(), truth, valid, clamp=self.clamp)
            return HeadOutput(values={"latents": latents, "field": found}, loss=loss)
        loss = occupancy_loss(found.float(), truth, valid, balance=self.balance)
        if self.overlap:
            loss = loss + self.overlap * overlap_loss(found.float(), truth, valid)
        return HeadOutput(values={"latents": latents, "field": found}, loss=loss)

    @torch.no_grad()
    def predict(
        self, core_output: CoreOutput, *, resolution: int = 48, level: float | None = None, **options: Any
    ) -> list[Prediction]:
        """One Shape a sample; its ``score`` is the mean certainty |2 p - 1| of the occupancy, None for distances.

        Args:
            resolution: places along each side of the cube.
            level: of occupancy (0..1) or distance; None = the head's own, 0 for distances.

        Raises:
            ConfigError: options that there are not, or values that cannot be meant.
            InputError: a sample has no slot at all.
        """
        if options:
            raise ConfigError(f"shape_field: predict() knows resolution and level, not {', '.join(options)}.")
        if not 4 <= resolution <= 512:
            raise ConfigError(f"shape_field: resolution={resolution} must lie in 4..512.")
        occupancy = self.output == "occupancy"
        level = (self.level if occupancy else 0.0) if level is None else float(level)
        if occupancy and not 0 < level < 1:
            raise ConfigError(f"shape_field: level={level} is an occupancy between 0 and 1.")
        check_rows(core_output, "shape_field")
        latents = self.latents(core_output)
        places = torch.from_numpy(lattice(resolution)).reshape(1, -1, 3).to(latents.device)
        shapes = []
        for row in range(len(latents)):
            parts = [self.values(latents[row : row + 1], part) for part in places.split(POINTS_AT_ONCE, 1)]
            values = torch.cat(parts, 1).reshape((resolution,) * 3).float()
            values = values.sigmoid() if occupancy else values
            shape = Shape(
                values_XYZ=np.ascontiguousarray(values.cpu().numpy()), level=level, up=self.up,
                inside="above" if occupancy else "below",
            )  # fmt: skip
            score = float((2 * values - 1).abs().mean()) if occupancy else None
            shapes.append(Prediction(value=shape, score=score, details={"has_surface": shape.has_surface}))
        return shapes
