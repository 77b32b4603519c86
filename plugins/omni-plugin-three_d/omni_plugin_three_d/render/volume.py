"""Soft pictures of fields: densities along rays, composed as in NeRF; silhouettes, depths, colours with gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from omni.errors import ConfigError
from omni_plugin_three_d.render.cameras import Rays
from omni_plugin_three_d.render.fields import Field


@dataclass(frozen=True, kw_only=True)
class SoftPicture:
    """What rays saw.

    Attributes:
        opacity_R: share of light that was stopped, in 0..1: a soft silhouette.
        depth_R: mean distance at which it was stopped; 0 where nothing was.
        color_RC: the light that the stopped share sends, times it (that is, on black), or None.
    """

    opacity_R: Tensor
    depth_R: Tensor
    color_RC: Tensor | None = None


def distance_density(distance: Tensor, beta: Tensor | float) -> Tensor:
    """Signed distance -> density: 1 / beta times the distribution function of a Laplace variable with spread beta, at
    minus the distance (Yariv et al. 2021, VolSDF, equations 2 and 3). Sharper for a smaller beta; half of the largest
    density on the surface itself.

    Raises:
        ConfigError: a beta that is not above 0.
    """
    beta = torch.as_tensor(beta, dtype=distance.dtype, device=distance.device)
    if not bool((beta > 0).all()):
        raise ConfigError("distance_density: beta must be above 0; it is the width of the surface.")
    decay = 0.5 * torch.exp(-distance.abs() / beta)
    return torch.where(distance >= 0, decay, 1 - decay) / beta


def cube_span(rays: Rays, *, bound: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays are inside of the cube from -bound to bound (slabs, Kay and Kajiya 1986).

    Returns:
        near_R, far_R: distances, near not below 0; both 0 for rays that miss. valid_R: bool, the ray meets the cube.
    """
    tiny = torch.finfo(rays.directions_R3.dtype).tiny
    direction = torch.where(rays.directions_R3 == 0, torch.full_like(rays.directions_R3, tiny), rays.directions_R3)
    first, second = (-bound - rays.origins_R3) / direction, (bound - rays.origins_R3) / direction
    near = torch.minimum(first, second).amax(-1).clamp(min=0)
    far = torch.maximum(first, second).amin(-1)
    valid = far > near
    zero = torch.zeros_like(near)
    return torch.where(valid, near, zero), torch.where(valid, far, zero), valid


def render_volume(
    density: Field,
    rays: Rays,
    near_R: Tensor,
    far_R: Tensor,
    *,
    samples: int = 64,
    color: Field | None = None,
    generator: torch.Generator | None = None,
) -> SoftPicture:
    """Light along rays through a density (Max 1995; Mildenhall et al. 2020, NeRF, equation 3):

        opacity of a piece = 1 - exp(-density * length), weight = opacity * product of (1 - opacity) before it.

    Args:
        density: (..., 3) -> (...) >= 0. color: (..., 3) -> (..., C), or None.
        near_R, far_R: distances between which the ray is cut into equal pieces; rays with far <= near see nothing.
        samples: pieces of a ray. generator: for a random place in each piece; None = its middle.

    Returns:
        SoftPicture with gradients to whatever the fields depend on.

    Raises:
        ConfigError: samples below 1.
    """
    if samples < 1:
        raise ConfigError(f"render_volume: samples={samples} must be 1 or more.")
    length_R1 = (far_R - near_R).clamp(min=0)[..., None] / samples
    steps = torch.arange(samples, dtype=near_R.dtype, device=near_R.device)
    shift = torch.full_like(near_R[..., None], 0.5)
    if generator is not None:
        shift = torch.rand(*near_R.shape, samples, dtype=near_R.dtype, generator=generator, device=near_R.device)
    depth_RS = near_R[..., None] + (steps + shift) * length_R1
    points = rays.origins_R3[..., None, :] + depth_RS[..., None] * rays.directions_R3[..., None, :]
    thickness_RS = density(points) * length_R1
    before_RS = torch.cumsum(thickness_RS, -1) - thickness_RS
    weight_RS = torch.exp(-before_RS) * -torch.expm1(-thickness_RS)
    opacity = weight_RS.sum(-1)
    seen = torch.where(opacity > 0, opacity, torch.ones_like(opacity))
    found = None if color is None else (weight_RS[..., None] * color(points)).sum(-2)
    return SoftPicture(opacity_R=opacity, depth_R=(weight_RS * depth_RS).sum(-1) / seen, color_RC=found)
