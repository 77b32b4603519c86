"""Augmentations of torchvision (transforms.v2) by name, as the settings of a transform give them.

All of them draw from torch's global generator, so seeding it fixes them; nothing else keeps state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from omni.errors import ConfigError
from omni.plugin.suggest import did_you_mean

NESTED = ("Compose", "RandomApply", "RandomChoice", "RandomOrder")
PLAIN = (
    "AugMix", "AutoAugment", "ColorJitter", "ElasticTransform", "GaussianBlur", "GaussianNoise", "Grayscale",
    "RandAugment", "RandomAdjustSharpness", "RandomAffine", "RandomAutocontrast", "RandomChannelPermutation",
    "RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert", "RandomPerspective",
    "RandomPhotometricDistort", "RandomPosterize", "RandomRotation", "RandomSolarize", "RandomVerticalFlip",
    "TrivialAugmentWide",
)  # fmt: skip
KNOWN = (*PLAIN, *NESTED)


class Augmentations:
    """A chain of torchvision's augmentations over uint8 pictures.

    Args:
        settings: each ``{"type": name of the class in torchvision.transforms.v2, **its keyword arguments}``; those
            that hold others (RandomApply, RandomChoice, RandomOrder, Compose) take them as a list ``transforms`` of the
            same form.

    Raises:
        ConfigError: an unknown name, or arguments that it does not take.
    """

    def __init__(self, settings: Sequence[Mapping[str, Any]]) -> None:
        self.chain = [_build(item) for item in settings]
        self.settings = [dict(item) for item in settings]

    def __call__(self, pixels_CHW: Tensor) -> Tensor:
        """(3, H, W) uint8 -> the same shape and dtype.

        Raises:
            ConfigError: an augmentation changes the shape or dtype.
        """
        for item, settings in zip(self.chain, self.settings, strict=True):
            changed = item(pixels_CHW)
            if changed.shape != pixels_CHW.shape or changed.dtype != pixels_CHW.dtype:
                raise ConfigError(
                    f"augment: {settings['type']} turns {tuple(pixels_CHW.shape)} {pixels_CHW.dtype} into "
                    f"{tuple(changed.shape)} {changed.dtype}; augmentations must keep both."
                )
            pixels_CHW = changed
        return pixels_CHW


class _OfFloats(torch.nn.Module):
    """An augmentation that takes floats in 0..1 only."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels_CHW: Tensor) -> Tensor:
        return self.inner(pixels_CHW.float() / 255).mul(255).round().clamp(0, 255).to(torch.uint8)


def _build(settings: Any) -> torch.nn.Module:
    if not isinstance(settings, Mapping) or "type" not in settings:
        raise ConfigError(f'augment: each entry is a dictionary with a "type", not {settings!r}.')
    options = dict(settings)
    name = options.pop("type")
    if name not in KNOWN:
        raise ConfigError(
            f"augment: torchvision's {name!r} is not one of those that can be used here: {', '.join(KNOWN)}."
            f"{did_you_mean(str(name), KNOWN)}"
        )
    if name in NESTED:
        options["transforms"] = [_build(item) for item in options.get("transforms", ())]
    if name == "Grayscale":
        options.setdefault("num_output_channels", 3)
    try:
        made = getattr(v2, name)(**options)
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"augment: {name} cannot be built with {options}: {error}") from error
    return _OfFloats(made) if name == "GaussianNoise" else made
