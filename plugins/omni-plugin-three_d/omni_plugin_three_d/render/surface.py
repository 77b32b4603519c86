"""Sharp pictures of fields: where rays first meet the surface, with gradients of that depth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from omni.errors import ConfigError
from omni_plugin_three_d.render.cameras import Rays
from omni_plugin_three_d.render.fields import Field


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Where rays met the surface.

    Attributes:
        depth_R: distance along the ray, 0 where it met nothing. valid_R: bool, True = it met the surface.
    """

    depth_R: Tensor
    valid_R: Tensor


def first_hits(
    field: Field, rays: Rays, near_R: Tensor, far_R: Tensor, *, steps: int = 64, halvings: int = 20
) -> Hits:  # fmt: skip
    """The first place on each ray where a field, positive outside, turns 0 or below.

    The ray is sampled evenly, the first change of sign is halved down (surfaces thinner than a step may be missed).
    Gradients follow from the implicit function (Niemeyer et al. 2020, Differentiable Volumetric Rendering, equation 9):
    d depth = - d field / (slope of the field along the ray), for parameters of the field and for the rays.

    Args:
        near_R, far_R: distances between which to look. A ray that starts inside meets the surface at its near end.
        steps: samples of a ray. halvings: of the interval that was found.

    Raises:
        ConfigError: fewer than one step.
    """
    if steps < 1 or halvings < 0:
        raise ConfigError(f"first_hits: steps={steps} must be above 0 and halvings={halvings} not below 0.")
    with torch.no_grad():
        fractions = torch.linspace(0, 1, steps + 1, dtype=near_R.dtype, device=near_R.device)
        depth_RS = near_R[..., None] + fractions * (far_R - near_R)[..., None]
        points = rays.origins_R3[..., None, :] + depth_RS[..., None] * rays.directions_R3[..., None, :]
        inside_RS = (field(points) <= 0) & (far_R > near_R)[..., None]
        valid = inside_RS.any(-1)
        place = inside_RS.to(torch.int8).argmax(-1, keepdim=True)
        high = depth_RS.gather(-1, place)[..., 0]
        low = depth_RS.gather(-1, (place - 1).clamp(min=0))[..., 0]
        for _ in range(halvings):
            middle = (low + high) / 2
            within = field(rays.at(middle)) <= 0
            low, high = torch.where(within, low, middle), torch.where(within, middle, high)
        depth = high
    if torch.is_grad_enabled():
        depth = _with_gradient(field, rays, depth, valid & (place[..., 0] > 0))
    return Hits(depth_R=torch.where(valid, depth, torch.zeros_like(depth)), valid_R=valid)


def _with_gradient(field: Field, rays: Rays, depth_R: Tensor, moves_R: Tensor) -> Tensor:
    """The same depths; those that move with the field carry a graph."""
    along = depth_R.detach().clone().requires_grad_()
    still = Rays(origins_R3=rays.origins_R3.detach(), directions_R3=rays.directions_R3.detach())
    (slope,) = torch.autograd.grad(field(still.at(along)).sum(), along)
    floor = torch.finfo(slope.dtype).eps ** 0.5
    moves = moves_R & (slope < -floor)  # a ray that grazes has no derivative
    value = field(rays.at(depth_R))
    change = (value.detach() - value) / torch.where(moves, slope, torch.ones_like(slope))
    return depth_R + torch.where(moves, change, torch.zeros_like(change))
