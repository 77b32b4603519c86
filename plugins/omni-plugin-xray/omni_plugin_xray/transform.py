"""From 16-bit levels to normalised pixels of a size that the patches divide. Nothing is mirrored unless asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from omni.data.transform import Transform
from omni.errors import ConfigError
from omni_plugin_image.transform import stack_padded
from omni_plugin_xray.display import WHITE
from omni_plugin_xray.image import XrayImage
from omni_plugin_xray.io import load

MODES = ("fit", "squash", "crop", "keep")
LARGEST = 1024
LONGEST_STRIP = 8


class XrayBasic(Transform):
    """Levels to 0..1 in float32, antialiased linear resize, augmentation in training, mean and standard deviation.

    Pixels that are not square (by the file's spacing) are made square in all modes but "squash".
    Augmentation draws from torch's global generator only.

    Args:
        size: side S in pixels, or (height, width); at most 1024.
        mode: "fit": the whole radiograph, aspect kept, black beside it; "squash" to ``size`` whatever the aspect;
            "crop": the shorter side to S, centre crop; "keep": aspect kept at about the same number of pixels, sides
            rounded to ``multiple`` (the radiographs of a batch may then differ in size).
        multiple: patch size that the sides must divide.
        mean, std: of 0..1 levels.
        crop_scale: part of the area that the random crop keeps in training, aspect unchanged; (1, 1) = off.
        rotate: largest rotation in training, degrees either way; black comes in at the corners.
        jitter: largest relative change of brightness and contrast in training.
        flip: chance of a mirror flip in training. Off unless asked for: hearts are on the left.

    Raises:
        ConfigError: unknown mode; a size above 1024 or no multiple of ``multiple``; chances or parts outside 0..1.
    """

    def __init__(
        self,
        *,
        size: int | Sequence[int] = 224,
        mode: str = "fit",
        multiple: int = 16,
        mean: float = 0.5,
        std: float = 0.25,
        crop_scale: Sequence[float] = (0.9, 1.0),
        rotate: float = 0.0,
        jitter: float = 0.0,
        flip: float = 0.0,
    ) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        if mode not in MODES:
            raise ConfigError(f"xray_basic knows the modes {', '.join(MODES)}, not {mode!r}.")
        if not (0 < height <= LARGEST and 0 < width <= LARGEST) or height % multiple or width % multiple:
            raise ConfigError(
                f"xray_basic: size {height} x {width} must be multiples of {multiple} (the patch size), "
                f"at most {LARGEST}."
            )
        low, high = (float(end) for end in crop_scale)
        if not (0 < low <= high <= 1 and 0 <= flip <= 1 and 0 <= jitter < 1 and 0 <= rotate <= 180 and std > 0):
            raise ConfigError(
                "xray_basic: crop_scale (low, high), flip and jitter lie in 0..1, rotate in 0..180, std above 0."
            )
        self.size, self.mode, self.multiple = (int(height), int(width)), mode, int(multiple)
        self.mean, self.std = float(mean), float(std)
        self.crop_scale, self.rotate, self.jitter, self.flip = (low, high), float(rotate), float(jitter), float(flip)
        self.deterministic = not (low < 1 or rotate or jitter or flip)

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """pixels_CHW (1, H, W) float32, normalised. ``raw`` is an XrayImage, or anything else that the loader reads."""
        picture = raw if isinstance(raw, XrayImage) else load(raw)
        levels = torch.from_numpy(picture.levels_HW)
        aspect = picture.pixel_aspect
        if training and self.crop_scale[0] < 1:
            levels = self._random_part(levels)
        pixels_CHW = self._resized(levels, aspect)
        if training:
            pixels_CHW = self._augmented(pixels_CHW)
        return {"pixels_CHW": pixels_CHW.sub_(self.mean).div_(self.std)}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """pixels_BCHW float32; where sizes differ, zeros at the right and below and sizes_B2 int64 (height, width)."""
        return stack_padded([item["pixels_CHW"] for item in items])

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return {
            "size": list(self.size),
            "mode": self.mode,
            "multiple": self.multiple,
            "mean": self.mean,
            "std": self.std,
            "crop_scale": list(self.crop_scale),
            "rotate": self.rotate,
            "jitter": self.jitter,
            "flip": self.flip,
        }

    def _random_part(self, levels: Tensor) -> Tensor:
        """A random place of a random part of the area, aspect unchanged."""
        low, high = self.crop_scale
        draws = torch.rand(3).tolist()
        part = (low + (high - low) * draws[0]) ** 0.5
        tall, wide = (max(1, round(side * part)) for side in levels.shape)
        top, left = round(draws[1] * (levels.shape[0] - tall)), round(draws[2] * (levels.shape[1] - wide))
        return levels[top : top + tall, left : left + wide]

    def _resized(self, levels: Tensor, aspect: float) -> Tensor:
        """(H, W) uint16 -> (1, h, w) float32 in 0..1."""
        height, width = self.size
        if self.mode == "crop":
            levels = _without_far_ends(levels, LONGEST_STRIP)
        old_height, old_width = levels.shape[0] * aspect, float(levels.shape[1])
        if self.mode == "keep":
            height, width = self._kept_size(old_height, old_width)
        if self.mode in ("squash", "keep"):
            return _resize(levels, height, width)
        scales = (height / old_height, width / old_width)
        scale = min(scales) if self.mode == "fit" else max(scales)
        tall, wide = max(1, round(old_height * scale)), max(1, round(old_width * scale))
        made = _resize(levels, tall, wide)
        if self.mode == "crop":
            top, left = (tall - height) // 2, (wide - width) // 2
            return made[:, top : top + height, left : left + width].contiguous()
        top, left = (height - tall) // 2, (width - wide) // 2
        return F.pad(made, (left, width - wide - left, top, height - tall - top))

    def _kept_size(self, height: float, width: float) -> tuple[int, int]:
        """Sides with the aspect of height : width, multiples of ``multiple``, no more pixels than ``size`` has."""
        budget = self.size[0] * self.size[1] // self.multiple**2
        rows = min(max(1, round((budget * height / width) ** 0.5)), budget)
        columns = max(1, min(budget // rows, round(rows * width / height) or 1))
        return rows * self.multiple, columns * self.multiple

    def _augmented(self, pixels_CHW: Tensor) -> Tensor:
        if self.rotate:
            angle = float(torch.rand(()) * 2 - 1) * self.rotate
            pixels_CHW = TF.rotate(pixels_CHW, angle, interpolation=InterpolationMode.BILINEAR, fill=[0.0])
        if self.jitter:
            gain, bias = (1 + self.jitter * (2 * torch.rand(2) - 1)).tolist()
            middle = pixels_CHW.mean()
            pixels_CHW = (((pixels_CHW - middle) * gain + middle) * bias).clamp(0, 1)
        if self.flip and float(torch.rand(())) < self.flip:
            pixels_CHW = pixels_CHW.flip(-1)
        return pixels_CHW


def _resize(levels: Tensor, height: int, width: int) -> Tensor:
    pixels = levels.to(torch.float32)[None, None] / WHITE
    if tuple(levels.shape) != (height, width):
        pixels = F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    return pixels[0]


def _without_far_ends(levels: Tensor, longest: int) -> Tensor:
    """A strip's middle, so that a line of pixels does not become gigabytes."""
    height, width = levels.shape
    top, left = max(0, (height - longest * width) // 2), max(0, (width - longest * height) // 2)
    return levels[top : height - top, left : width - left]
