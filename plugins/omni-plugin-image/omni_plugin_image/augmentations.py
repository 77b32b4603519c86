"""Augmentations of pictures by name, on normalised pixels; ``augment`` of image_basic names torchvision's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from omni.data.augment import Augmentation, amount, chance
from omni.data.transform import Transform
from omni.errors import ConfigError


class PixelChange(Augmentation):
    """A change of normalised pixels (..., C, H, W); films are changed alike in all of their frames.

    Attributes:
        key: of the tensor.
    """

    key = "pixels_CHW"

    def tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The changed pixels."""
        if self.key not in tensors:
            raise ConfigError(
                f"{type(self).__name__} needs {self.key}; the transform makes {', '.join(tensors)}."
            )
        return {**tensors, self.key: self.change(tensors[self.key])}

    def change(self, pixels: Tensor) -> Tensor:
        """A changed copy, or the pixels themselves."""
        raise NotImplementedError


class ImageFlip(PixelChange):
    """Mirrors, by the chance ``share``."""

    def __init__(self, *, share: float = 0.5) -> None:
        self.share = chance(share, "flip: share")

    def change(self, pixels: Tensor) -> Tensor:
        """Left is right."""
        return pixels.flip(-1) if float(torch.rand(())) < self.share else pixels


class ImageErase(PixelChange):
    """Fills a random rectangle with the mean colour (random erasing, Zhong et al., 2020).

    Args:
        share: chance of it.
        area: smallest and largest part of the picture.
    """

    def __init__(self, *, share: float = 0.5, area: Sequence[float] = (0.02, 0.2)) -> None:
        low, high = (chance(part, "erase: area") for part in area)
        if low > high:
            raise ConfigError(f"erase: area is {list(area)}; the first must not be above the second.")
        self.erase = v2.RandomErasing(p=chance(share, "erase: share"), scale=(low, high), value=0.0)

    def change(self, pixels: Tensor) -> Tensor:
        """With the rectangle."""
        return self.erase(pixels)


class ImageNoise(PixelChange):
    """White noise on normalised pixels, its deviation drawn up to ``most``."""

    def __init__(self, *, most: float = 0.1) -> None:
        self.most = amount(most, "noise: most")

    def change(self, pixels: Tensor) -> Tensor:
        """With noise."""
        return pixels + self.most * torch.rand(()) * torch.randn_like(pixels)


class ImageColor(PixelChange):
    """Brightness, contrast and saturation, each times a factor from 1 - strength to 1 + strength, in random order."""

    def __init__(self, *, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2) -> None:
        values = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.jitter = v2.ColorJitter(**{name: chance(value, f"color: {name}") for name, value in values.items()})
        self.mean_C11 = self.std_C11 = torch.ones(3, 1, 1) / 2

    def bind(self, transform: Transform) -> None:
        """Its mean and standard deviation."""
        self.mean_C11, self.std_C11 = mean_and_std(transform)

    def change(self, pixels: Tensor) -> Tensor:
        """In other light."""
        return (self.jitter((pixels * self.std_C11 + self.mean_C11).clamp(0, 1)) - self.mean_C11) / self.std_C11


def mean_and_std(transform: Any) -> tuple[Tensor, Tensor]:
    """(C, 1, 1) each, of a transform that normalises.

    Raises:
        ConfigError: it does not say by what.
    """
    if not (hasattr(transform, "mean") and hasattr(transform, "std")):
        raise ConfigError(f"The augmentation needs a transform with mean and std, not {type(transform).__name__}.")
    values = (transform.mean, transform.std)
    mean_C11, std_C11 = (torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1, 1) for value in values)
    return mean_C11, std_C11
