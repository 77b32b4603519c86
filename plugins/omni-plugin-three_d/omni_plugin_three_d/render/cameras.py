"""Pinhole cameras with intrinsics in pixels: rays out, points in.

Camera axes are x right, y down, z forward. The middle of the pixel in column u and row v lies at (u + 0.5, v + 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError, InputError


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera.

    Attributes:
        intrinsics_33: ((fx, 0, cx), (0, fy, cy), (0, 0, 1)) in pixels.
        rotation_33: camera to world; its columns are the camera's right, down and forward in the world.
        position_3: of the pinhole, in the world.
        height, width: of the picture, in pixels.
    """

    intrinsics_33: Tensor
    rotation_33: Tensor
    position_3: Tensor
    height: int
    width: int

    def __post_init__(self) -> None:
        shapes = [tuple(x.shape) for x in (self.intrinsics_33, self.rotation_33, self.position_3)]
        if shapes != [(3, 3), (3, 3), (3,)] or min(self.height, self.width) < 1:
            raise InputError(f"A camera has tensors (3, 3), (3, 3), (3,) and a size above 0, not {shapes}.")
        if not bool((self.intrinsics_33.detach().diagonal() > 0).all()):
            raise InputError("A camera's focal lengths, in pixels, are above 0.")


@dataclass(frozen=True, kw_only=True)
class Rays:
    """Lines of sight.

    Attributes:
        origins_R3, directions_R3: (..., 3); directions have length 1, so depths are distances from the pinhole.
    """

    origins_R3: Tensor
    directions_R3: Tensor

    def at(self, depth_R: Tensor) -> Tensor:
        """(..., 3): the points at these distances."""
        return self.origins_R3 + depth_R[..., None] * self.directions_R3


def look_at(
    position: Sequence[float] | Tensor,
    target: Sequence[float] | Tensor = (0.0, 0.0, 0.0),
    *,
    up: Sequence[float] = (0.0, 1.0, 0.0),
    size: tuple[int, int] = (128, 128),
    field_of_view: float = 40.0,
    dtype: torch.dtype = torch.float32,
) -> Camera:
    """A camera that looks at a point, the principal point in the middle of the picture.

    Args:
        position, target: in the world. up: the world's direction that is up in the picture.
        size: height and width in pixels. field_of_view: of the height, in degrees; pixels are square.

    Raises:
        ConfigError: a field of view outside of 0..180. InputError: it would look along ``up``, or at itself.
    """
    if not 0 < field_of_view < 180:
        raise ConfigError(f"A field of view of {field_of_view} degrees is not between 0 and 180.")
    eye, goal = (torch.as_tensor(value, dtype=dtype) for value in (position, target))
    forward = goal - eye
    right = torch.linalg.cross(forward, torch.as_tensor(up, dtype=dtype))
    if not float(right.detach().norm()) > 1e-6 * float(forward.detach().norm()):
        raise InputError("The camera looks along its `up` direction, or stands in what it looks at; move it.")
    forward, right = F.normalize(forward, dim=0), F.normalize(right, dim=0)
    height, width = size
    focal = height / (2 * math.tan(math.radians(field_of_view) / 2))
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=dtype)
    rotation = torch.stack((right, torch.linalg.cross(forward, right), forward), 1)
    return Camera(intrinsics_33=intrinsics, rotation_33=rotation, position_3=eye, height=height, width=width)


def orbit(
    azimuth: float,
    elevation: float,
    distance: float,
    *,
    up: str = "y",
    size: tuple[int, int] = (128, 128),
    field_of_view: float = 40.0,
    dtype: torch.dtype = torch.float32,
) -> Camera:
    """A camera on a sphere about the origin, looking at it.

    Args:
        azimuth: degrees about the axis that points up; 0 stands in front: on the z axis for up "y", on the negative
            y axis for "z", and turns to the right of who looks. elevation: degrees above the ground, in -90..90.
        distance: from the origin. up: "y" or "z".
    """
    if up not in ("y", "z"):
        raise ConfigError(f"up={up!r}: the axis that points up is 'y' or 'z'.")
    turn, rise = math.radians(azimuth), math.radians(elevation)
    across, front, high = math.cos(rise) * math.sin(turn), math.cos(rise) * math.cos(turn), math.sin(rise)
    place = (across, high, front) if up == "y" else (across, -front, high)
    axis = (0.0, 1.0, 0.0) if up == "y" else (0.0, 0.0, 1.0)
    return look_at(
        [distance * value for value in place], up=axis, size=size, field_of_view=field_of_view, dtype=dtype
    )  # fmt: skip


def pixel_rays(camera: Camera) -> Rays:
    """Rays (H, W, 3) through the middles of all pixels; differentiable in the camera's tensors."""
    like = camera.position_3
    rows = torch.arange(camera.height, dtype=like.dtype, device=like.device) + 0.5
    columns = torch.arange(camera.width, dtype=like.dtype, device=like.device) + 0.5
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack((u, v, torch.ones_like(u)), 2)
    local = pixels @ torch.linalg.inv(camera.intrinsics_33).T
    directions = F.normalize(local @ camera.rotation_33.T, dim=2)
    return Rays(origins_R3=camera.position_3.expand_as(directions), directions_R3=directions)


def project(camera: Camera, points_N3: Tensor) -> tuple[Tensor, Tensor]:
    """World -> picture: (N, 2) pixel coordinates (column, row) and the (N,) depths along the camera's axis; points
    with a depth of 0 or below are behind the camera and their pixels mean nothing."""
    local = (points_N3 - camera.position_3) @ camera.rotation_33
    flat = local @ camera.intrinsics_33.T
    depth = local[..., 2]
    safe = torch.where(depth > 0, depth, torch.ones_like(depth))
    return flat[..., :2] / safe[..., None], depth
