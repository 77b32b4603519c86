"""Augmentations of radiographs by name. None mirrors: the heart is on the left, and side markers are letters."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from omni.data.augment import amount, chance
from omni.data.transform import Transform
from omni_plugin_image.augmentations import ImageErase, ImageNoise, PixelChange, mean_and_std


class XrayRotate(PixelChange):
    """Turns by up to ``degrees`` either way; black comes in at the corners."""

    def __init__(self, *, degrees: float = 7.0) -> None:
        self.degrees = amount(degrees, "xray_rotate: degrees")
        self.black = 0.0

    def bind(self, transform: Transform) -> None:
        """What black is after its normalisation."""
        mean, std = mean_and_std(transform)
        self.black = float(-mean.mean() / std.mean())

    def change(self, pixels: Tensor) -> Tensor:
        """Turned."""
        angle = float(torch.rand(()) * 2 - 1) * self.degrees
        return TF.rotate(pixels, angle, interpolation=InterpolationMode.BILINEAR, fill=[self.black])


class XrayExposure(PixelChange):
    """Another exposure: contrast about the mean, then brightness, each times 1 - most to 1 + most."""

    def __init__(self, *, most: float = 0.1) -> None:
        self.most = chance(most, "xray_exposure: most")
        self.mean_C11, self.std_C11 = torch.tensor(0.5), torch.tensor(0.25)

    def bind(self, transform: Transform) -> None:
        """Its mean and standard deviation."""
        self.mean_C11, self.std_C11 = mean_and_std(transform)

    def change(self, pixels: Tensor) -> Tensor:
        """In levels of 0..1."""
        levels = pixels * self.std_C11 + self.mean_C11
        contrast, brightness = (1 + self.most * (2 * torch.rand(2) - 1)).tolist()
        middle = levels.mean()
        levels = (((levels - middle) * contrast + middle) * brightness).clamp(0, 1)
        return (levels - self.mean_C11) / self.std_C11


class XrayNoise(ImageNoise):
    """White noise on normalised pixels: a lower dose."""


class XrayErase(ImageErase):
    """Fills a random rectangle with the mean level."""
