"""Fields: functions from points (..., 3) to numbers (...), all differentiable in their points and parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import InputError

Field = Callable[[Tensor], Tensor]


def sphere_distance(points_N3: Tensor, center_3: Tensor, radius: Tensor) -> Tensor:
    """Signed distance to a sphere, negative inside."""
    return (points_N3 - center_3).norm(dim=-1) - radius


def box_distance(points_N3: Tensor, center_3: Tensor, half_3: Tensor) -> Tensor:
    """Exact signed distance to a box along the axes, with these half sides; negative inside."""
    beyond = (points_N3 - center_3).abs() - half_3
    outside = beyond.clamp(min=0).square().sum(-1)
    safe = torch.where(outside > 0, outside, torch.ones_like(outside)).sqrt()  # no gradient of sqrt at 0
    return torch.where(outside > 0, safe, beyond.amax(-1))


class GridField:
    """Numbers on a lattice over the cube, trilinear in between; twice differentiable in the points within a cell, any
    number of times in the numbers. Outside of the cube: the nearest number of its border.

    Args:
        values_XYZ: (R, R, R) at ``meshing.lattice(R, bound=bound)``, R of two or more.
        bound: half side of the cube.

    Raises:
        InputError: another shape.
    """

    def __init__(self, values_XYZ: Tensor, *, bound: float = 1.0) -> None:
        if values_XYZ.dim() != 3 or len(set(values_XYZ.shape)) != 1 or values_XYZ.shape[0] < 2:
            raise InputError(f"A field on a lattice is (R, R, R), R above 1, not {tuple(values_XYZ.shape)}.")
        self.values_XYZ, self.bound = values_XYZ, bound

    def __call__(self, points_N3: Tensor) -> Tensor:
        """(..., 3) -> (...)."""
        values = self.values_XYZ
        if not (torch.is_grad_enabled() and (values.requires_grad or points_N3.requires_grad)):
            return self._read_fast(points_N3)
        side = values.shape[0]
        place = ((points_N3 + self.bound) * ((side - 1) / (2 * self.bound))).clamp(0, side - 1)
        cell = place.detach().floor().clamp(max=side - 2)
        part, cell = place - cell, cell.long()
        flat = values.reshape(-1)
        start = (cell[..., 0] * side + cell[..., 1]) * side + cell[..., 2]
        total = torch.zeros_like(part[..., 0])
        for corner in range(8):
            steps = (corner >> 2 & 1, corner >> 1 & 1, corner & 1)
            sides = [part[..., axis] if step else 1 - part[..., axis] for axis, step in enumerate(steps)]
            found = flat[start + (steps[0] * side + steps[1]) * side + steps[2]]
            total = total + found * sides[0] * sides[1] * sides[2]
        return total

    def _read_fast(self, points_N3: Tensor) -> Tensor:
        """The same by torch's own kernel, whose second derivatives are missing."""
        places = (points_N3.reshape(1, 1, 1, -1, 3) / self.bound).flip(-1)
        found = F.grid_sample(
            self.values_XYZ[None, None], places, mode="bilinear", padding_mode="border", align_corners=True
        )
        return found.reshape(points_N3.shape[:-1])


def field_normals(field: Field, points_N3: Tensor, *, step: float = 1e-3) -> Tensor:
    """Directions (..., 3) of length 1 in which a field grows, by central differences; differentiable like the field
    itself, without second derivatives of it."""
    shifts = step * torch.eye(3, dtype=points_N3.dtype, device=points_N3.device)
    slope = [field(points_N3 + shift) - field(points_N3 - shift) for shift in shifts]
    return F.normalize(torch.stack(slope, -1), dim=-1, eps=1e-12)
