"""From an RGB picture to normalised pixels of a size that the patches divide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as TF

from omni.data.transform import Transform
from omni.errors import ConfigError
from omni_plugin_image.augment import Augmentations
from omni_plugin_image.io import RgbArray, load

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
LONGEST_STRIP = 8
MODES = ("squash", "crop", "keep")


class ImageBasic(Transform):
    """Bicubic resize with antialiasing, augmentation in training, CLIP mean and standard deviation.

    Pixels are resized as uint8 by torch, two to ten times faster than Pillow's bicubic; the two agree within 1 of 255
    in at least 999 of 1000 values and within 3 in all, and are equally near to the exact result.

    Augmentation draws from torch's global generator only: ``torch.manual_seed`` fixes it, workers of a DataLoader draw
    apart from each other, and training with omni seeds it for each sample, whatever the workers.

    Args:
        size: side S in pixels, or (height, width).
        mode: "squash" to ``size`` whatever the aspect (ONE-PEACE); "crop": the shorter side to S, centre crop;
            "keep": the aspect is kept at about the same number of pixels, sides rounded to ``multiple``.
        multiple: patch size that the sides must divide.
        mean, std: of the three channels, for pixels in 0..1.
        crop_scale, crop_ratio: area and aspect of the random crop in training (not in mode "keep"); scale (1, 1) = off.
        flip: chance of a horizontal flip in training. Off unless asked for: it mirrors letters.
        jitter: largest relative change of brightness, contrast and saturation in training.
        augment: more of torchvision's augmentations in training, in this order, before normalisation; for example
            ``[{"type": "RandAugment", "num_ops": 2, "magnitude": 9}]`` (see omni_plugin_image.augment).

    Raises:
        ConfigError: unknown mode or augmentation; a size that is no multiple of ``multiple``.
    """

    def __init__(
        self,
        *,
        size: int | Sequence[int] = 224,
        mode: str = "squash",
        multiple: int = 16,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        crop_scale: Sequence[float] = (0.9, 1.0),
        crop_ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.0,
        jitter: float = 0.0,
        augment: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        if mode not in MODES:
            raise ConfigError(f"image_basic knows the modes {', '.join(MODES)}, not {mode!r}.")
        if height < 1 or width < 1 or height % multiple or width % multiple:
            raise ConfigError(
                f"image_basic: size {height} x {width} must be multiples of {multiple} (the patch size); "
                f"for example {max(multiple, round(height / multiple) * multiple)}."
            )
        self.size, self.mode, self.multiple = (int(height), int(width)), mode, int(multiple)
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        self.crop_scale, self.crop_ratio = tuple(map(float, crop_scale)), tuple(map(float, crop_ratio))
        self.flip, self.jitter = float(flip), float(jitter)
        self.augmentations = Augmentations(augment)
        no_crop = mode == "keep" or self.crop_scale == (1.0, 1.0) == self.crop_ratio
        self.deterministic = no_crop and not (self.flip or self.jitter or self.augmentations.chain)
        std_C11 = torch.tensor(self.std).view(3, 1, 1)
        self._gain_C11 = 1 / (255 * std_C11)
        self._offset_C11 = torch.tensor(self.mean).view(3, 1, 1) / std_C11

    def loader_options(self) -> dict[str, Any]:
        """An array, and how small a large JPEG may be decoded: enough for the smallest random crop."""
        part = 1.0 if self.mode == "keep" else min(1.0, min(self.crop_scale) * min(self.crop_ratio))
        return {"at_least": round(max(self.size) / part**0.5), "form": "array"}

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """pixels_CHW float32, normalised. ``raw`` is an RgbArray, or anything else that the loader reads."""
        picture = raw if isinstance(raw, RgbArray) else load(raw, form="array")
        pixels_CHW = torch.from_numpy(picture.pixels_HWC).permute(2, 0, 1)  # channels-last in memory: fast resize
        box = self._random_box(pixels_CHW) if training else None
        if box is not None:
            top, left, height, width = box
            pixels_CHW = pixels_CHW[:, top : top + height, left : left + width]
        pixels_CHW = self._resize(pixels_CHW, squash=self.mode == "squash" or box is not None)
        if training:
            pixels_CHW = self._augment(pixels_CHW)
        pixels = pixels_CHW.to(torch.float32, memory_format=torch.contiguous_format, copy=True).contiguous()
        return {"pixels_CHW": pixels.mul_(self._gain_C11).sub_(self._offset_C11)}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """pixels_BCHW float32; where sizes differ, zeros at the right and below and sizes_B2 int64 (height, width)."""
        return stack_padded([item["pixels_CHW"] for item in items])

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return {
            "size": list(self.size),
            "mode": self.mode,
            "multiple": self.multiple,
            "mean": list(self.mean),
            "std": list(self.std),
            "crop_scale": list(self.crop_scale),
            "crop_ratio": list(self.crop_ratio),
            "flip": self.flip,
            "jitter": self.jitter,
            "augment": self.augmentations.settings,
        }

    def _random_box(self, pixels_CHW: Tensor) -> tuple[int, int, int, int] | None:
        if self.mode == "keep" or min(self.crop_scale) >= 1.0:
            return None
        return RandomResizedCrop.get_params(pixels_CHW, list(self.crop_scale), list(self.crop_ratio))

    def _resize(self, pixels_CHW: Tensor, *, squash: bool) -> Tensor:
        height, width = self.size
        if self.mode == "keep":
            height, width = self._kept_size(*pixels_CHW.shape[1:])
        elif not squash:
            return self._shorter_side_and_centre(pixels_CHW)
        return _bicubic(pixels_CHW, height, width)

    def _shorter_side_and_centre(self, pixels_CHW: Tensor) -> Tensor:
        """Sizes and offsets are rounded as torchvision's Resize and CenterCrop do."""
        height, width = self.size
        pixels_CHW = _without_far_ends(pixels_CHW, height, width)
        old_height, old_width = pixels_CHW.shape[1:]
        if height * old_width >= width * old_height:
            tall, wide = height, max(width, height * old_width // old_height)
        else:
            tall, wide = max(height, width * old_height // old_width), width
        pixels_CHW = _bicubic(pixels_CHW, tall, wide)
        top, left = round((tall - height) / 2), round((wide - width) / 2)
        return pixels_CHW[:, top : top + height, left : left + width]

    def _kept_size(self, height: int, width: int) -> tuple[int, int]:
        """Sides with the aspect of height : width, multiples of ``multiple``, no more pixels than ``size`` has."""
        step = self.multiple
        budget = self.size[0] * self.size[1] // step**2
        rows = min(max(1, round((budget * height / width) ** 0.5)), budget)
        columns = max(1, min(budget // rows, round(rows * width / height) or 1))
        return rows * step, columns * step

    def _augment(self, pixels_CHW: Tensor) -> Tensor:
        if self.jitter:
            low = 1 - self.jitter
            gains = (low + 2 * self.jitter * torch.rand(3)).tolist()
            pixels_CHW = TF.adjust_brightness(pixels_CHW, gains[0])
            pixels_CHW = TF.adjust_contrast(pixels_CHW, gains[1])
            pixels_CHW = TF.adjust_saturation(pixels_CHW, gains[2])
        if self.flip and float(torch.rand(())) < self.flip:
            pixels_CHW = pixels_CHW.flip(-1)
        return self.augmentations(pixels_CHW)


def _without_far_ends(pixels_CHW: Tensor, height: int, width: int) -> Tensor:
    """A strip's middle part of eight times the wanted aspect, so that a line of pixels does not become gigabytes."""
    old_height, old_width = pixels_CHW.shape[1:]
    longest_height = -(-LONGEST_STRIP * height * old_width // width)
    longest_width = -(-LONGEST_STRIP * width * old_height // height)
    top, left = max(0, (old_height - longest_height) // 2), max(0, (old_width - longest_width) // 2)
    return pixels_CHW[:, top : old_height - top, left : old_width - left]


def _bicubic(pixels_CHW: Tensor, height: int, width: int) -> Tensor:
    if tuple(pixels_CHW.shape[1:]) == (height, width):
        return pixels_CHW
    return F.interpolate(pixels_CHW[None], size=(height, width), mode="bicubic", antialias=True)[0]


def stack_padded(pixels: Sequence[Tensor]) -> dict[str, Tensor]:
    """pixels_BCHW of pictures (C, H, W); where sizes differ, zeros at the right and below and sizes_B2 int64 (height,
    width)."""
    sizes = [tuple(item.shape[1:]) for item in pixels]
    if len(set(sizes)) == 1:
        return {"pixels_BCHW": torch.stack(list(pixels))}
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    batch = pixels[0].new_zeros(len(pixels), len(pixels[0]), height, width)
    for row, item in zip(batch, pixels, strict=True):
        row[:, : item.shape[1], : item.shape[2]] = item
    return {"pixels_BCHW": batch, "sizes_B2": torch.tensor(sizes)}
