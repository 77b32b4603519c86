"""Projects volumes onto a detector: sums of attenuation along the rays from an X-ray tube."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from omni.data.building.counter_rng import CounterRng

TUBE_MM = 1800.0  # from the tube to the detector
FIELD_MM = 335.0  # side of the detector
CENTRE_MM = 7.0  # height of its middle above the middle of the body part that was scanned
_BEHIND_MM = 150.0  # from the middle of the body to the detector, which stands in front of the patient
_CHUNK = 24  # rows of the detector at once


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How the patient stands: degrees of turning (yaw), of bending forward (pitch) and sideways (roll); millimetres of
    shift in height."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    rise: float = 0.0


def draw_pose(rng: CounterRng) -> Pose:
    """A few degrees either way."""
    yaw, pitch, roll, rise = (float(rng.uniform((), -size, size)) for size in (5.0, 5.0, 1.5, 6.0))
    return Pose(yaw=yaw, pitch=pitch, roll=roll, rise=rise)


def project(
    volumes_CZYX: np.ndarray, spacing: tuple[float, float, float], pose: Pose, *, side: int, step_mm: float
) -> np.ndarray:
    """Line sums of C volumes onto a square detector, rays in a cone from the tube behind the patient (PA view).

    Args:
        volumes_CZYX: attenuation a millimetre; z up, y to the front, x to the patient's right.
        spacing: (z, y, x) in mm.
        pose: of the patient; the volumes turn about their middle.
        side: pixels of the detector. The first row is the top, the first column the patient's right.
        step_mm: distance in depth of the places where a ray is sampled.

    Returns:
        (C, side, side) float32, without a unit.
    """
    volume = torch.from_numpy(np.ascontiguousarray(volumes_CZYX))[None]
    size = torch.tensor([n * s for n, s in zip(volumes_CZYX.shape[1:], spacing, strict=True)])  # z, y, x in mm
    turn = torch.from_numpy(_turn(pose)).float()
    reach = 0.5 * float(size[1])  # turned by a few degrees, a body stays within
    depth_K = torch.arange(-reach, reach, step_mm) + step_mm / 2
    edge = FIELD_MM / 2 * (1 - 1 / side)
    across = torch.linspace(edge, -edge, side)  # the patient's right first
    rows = []
    for part in across.split(_CHUNK):  # heights fall like ``across``
        height, width = torch.meshgrid(part + CENTRE_MM + pose.rise, across, indexing="ij")
        rows.append(_sums(volume, size, turn, depth_K, height, width, step_mm))
    return torch.cat(rows, 1).numpy()


def _sums(
    volume: Tensor, size: Tensor, turn: Tensor, depth_K: Tensor, height: Tensor, width: Tensor, step_mm: float
) -> Tensor:
    """(C, h, w): of the rays to the detector's points (height, width)."""
    share_K = (depth_K + TUBE_MM - _BEHIND_MM) / TUBE_MM  # of the way from the tube to the detector
    points = torch.stack(
        [
            height[..., None] * share_K,
            depth_K.expand(*height.shape, -1),
            width[..., None] * share_K,
        ],
        dim=-1,
    )  # (h, w, K, 3): z, y, x in mm from the middle
    points = points @ turn.T
    grid = (points / (size / 2)).flip(-1)[None]
    sampled = F.grid_sample(volume, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    length = step_mm * torch.sqrt(height**2 + width**2 + TUBE_MM**2) / TUBE_MM
    return sampled[0].sum(-1) * length


def _turn(pose: Pose) -> np.ndarray:
    """(3, 3) rotation of (z, y, x)."""
    yaw, pitch, roll = np.deg2rad([pose.yaw, pose.pitch, pose.roll])
    about_z = np.array([[1, 0, 0], [0, np.cos(yaw), -np.sin(yaw)], [0, np.sin(yaw), np.cos(yaw)]])
    about_x = np.array([[np.cos(pitch), -np.sin(pitch), 0], [np.sin(pitch), np.cos(pitch), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(roll), 0, -np.sin(roll)], [0, 1, 0], [np.sin(roll), 0, np.cos(roll)]])
    return about_z @ about_x @ about_y
