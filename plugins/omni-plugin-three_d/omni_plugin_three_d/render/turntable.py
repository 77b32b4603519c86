"""Pictures of shapes from all sides: one PNG with a grid of views, or a GIF that turns."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError
from omni_plugin_three_d.render.cameras import Camera, Rays, orbit, pixel_rays, project
from omni_plugin_three_d.render.fields import Field, field_normals
from omni_plugin_three_d.render.surface import first_hits
from omni_plugin_three_d.render.volume import cube_span

COLOR, PAPER = (0.72, 0.56, 0.36), 1.0
LIGHT = (-0.45, -0.75, -0.5)  # where it comes from in the camera's axes: upper left, behind the viewer
AMBIENT = 0.35
DISTANCE, FIELD_OF_VIEW, ELEVATION, FIRST_AZIMUTH = 4.2, 36.0, 22.0, 30.0


@torch.no_grad()
def draw_field(field: Field, camera: Camera, *, steps: int = 96, normal_step: float = 0.02) -> Tensor:
    """(H, W, 3) in 0..1: the surface of a field that is negative inside, lit from behind the viewer."""
    every = pixel_rays(camera)
    near, far, meets = cube_span(every)
    picture = torch.full((camera.height, camera.width, 3), PAPER, dtype=near.dtype)
    rays = Rays(origins_R3=every.origins_R3[meets], directions_R3=every.directions_R3[meets])
    hits = first_hits(field, rays, near[meets], far[meets], steps=steps, halvings=12)
    normals = field_normals(field, rays.at(hits.depth_R), step=normal_step)
    light = camera.rotation_33 @ F.normalize(torch.tensor(LIGHT, dtype=normals.dtype), dim=0)
    shade = AMBIENT + (1 - AMBIENT) * (normals @ light).clamp(min=0)
    lit = shade[:, None] * torch.tensor(COLOR, dtype=shade.dtype)
    picture[meets] = torch.where(hits.valid_R[:, None], lit, torch.full_like(lit, PAPER))
    return picture


def draw_points(points_N3: Tensor, camera: Camera, *, radius: float = 0.02) -> Tensor:
    """(H, W, 3) in 0..1: points as discs, near ones over far ones and darker the farther they are.

    Args:
        radius: of a disc, in the points' unit.
    """
    pixels, depth = project(camera, points_N3)
    picture = torch.full((camera.height, camera.width, 3), PAPER)
    color = torch.tensor(COLOR)
    low, span = float(depth.min()), max(float(depth.max() - depth.min()), 1e-6)
    for place in torch.argsort(depth, descending=True).tolist():
        far = float(depth[place])
        if far <= 0:
            continue
        size = max(0.7, radius * float(camera.intrinsics_33[0, 0]) / far)
        u, v = (float(value) for value in pixels[place])
        left, right = max(0, math.ceil(u - size - 0.5)), min(camera.width, math.floor(u + size - 0.5) + 1)
        top, bottom = max(0, math.ceil(v - size - 0.5)), min(camera.height, math.floor(v + size - 0.5) + 1)
        if left >= right or top >= bottom:
            continue
        rows, columns = torch.arange(top, bottom) + 0.5 - v, torch.arange(left, right) + 0.5 - u
        disc = rows[:, None] ** 2 + columns[None] ** 2 <= size**2
        picture[top:bottom, left:right][disc] = color * (1.15 - 0.65 * (far - low) / span)
    return picture.clamp(0, 1)


def views_of(
    *, field: Field | None = None, points_N3: Tensor | None = None, views: int, size: int, up: str
) -> list[Image.Image]:  # fmt: skip
    """Pictures all round, of a field or of points, drawn at twice the size and made smaller.

    Raises:
        ConfigError: no view, or a size outside of 16..2048.
    """
    if views < 1 or not 16 <= size <= 2048:
        raise ConfigError(f"A turntable has one view or more (not {views}), of 16 to 2048 pixels (not {size}).")
    pictures = []
    for number in range(views):
        camera = orbit(
            FIRST_AZIMUTH + 360 * number / views, ELEVATION, DISTANCE, up=up, size=(2 * size, 2 * size),
            field_of_view=FIELD_OF_VIEW,
        )  # fmt: skip
        if field is not None:
            drawn = draw_field(field, camera)
        else:
            assert points_N3 is not None
            drawn = draw_points(points_N3, camera)
        pixels = Image.fromarray((drawn.numpy() * 255 + 0.5).astype(np.uint8))
        pictures.append(pixels.resize((size, size), Image.Resampling.BOX))
    return pictures


def picture_bytes(pictures: list[Image.Image], ending: str) -> bytes:
    """A grid as PNG, four in a row at most, or a GIF that turns.

    Raises:
        ConfigError: another ending.
    """
    out = io.BytesIO()
    if ending == ".gif":
        pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=1600 // len(pictures), loop=0)
    elif ending == ".png":
        columns = min(4, len(pictures))
        rows = -(-len(pictures) // columns)
        size = pictures[0].width
        sheet = Image.new("RGB", (columns * size, rows * size), (255, 255, 255))
        for number, picture in enumerate(pictures):
            sheet.paste(picture, (number % columns * size, number // columns * size))
        sheet.save(out, "PNG")
    else:
        raise ConfigError(f"A turntable is a .png (views side by side) or a .gif (turning), not {ending!r}.")
    return out.getvalue()
