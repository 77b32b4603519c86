"""Augmentations of ECGs by name, in millivolts, seconds and hertz; what was not recorded stays zero and masked."""

from __future__ import annotations

import torch
from torch import Tensor

from omni.data.augment import Augmentation, amount, chance
from omni.data.transform import Transform
from omni.errors import ConfigError
from omni_plugin_ecg.augment import EcgAugment
from omni_plugin_ecg.transform import EcgBasic


class _Change(Augmentation):
    """What the named ones share.

    Args:
        change: the change and its strength.
    """

    def __init__(self, change: EcgAugment) -> None:
        self.change = change
        self.sample_rate = EcgBasic().sample_rate

    def bind(self, transform: Transform) -> None:
        """Its sample rate."""
        self.sample_rate = _rate(transform)

    def tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """signal_CT and valid_CT changed."""
        signal, valid = self.change(tensors["signal_CT"], tensors["valid_CT"], sample_rate=self.sample_rate)
        return {**tensors, "signal_CT": signal, "valid_CT": valid}


class EcgScale(_Change):
    """All leads times one factor from 1 - most to 1 + most."""

    def __init__(self, *, most: float = 0.2) -> None:
        super().__init__(EcgAugment(gain=chance(most, "ecg_scale: most")))


class EcgNoise(_Change):
    """White noise, its deviation drawn up to ``mv`` millivolts: muscles, electrodes."""

    def __init__(self, *, mv: float = 0.05) -> None:
        super().__init__(EcgAugment(noise_mv=amount(mv, "ecg_noise: mv")))


class EcgWander(_Change):
    """A slow sine of 0.05 to 0.5 Hz on each lead, up to ``mv`` millivolts high: breathing."""

    def __init__(self, *, mv: float = 0.2) -> None:
        super().__init__(EcgAugment(wander_mv=amount(mv, "ecg_wander: mv")))


class EcgLeadDropout(_Change):
    """Masks whole leads, each by the chance ``share``; one recorded lead always stays."""

    def __init__(self, *, share: float = 0.2) -> None:
        super().__init__(EcgAugment(lead_drop=chance(share, "ecg_lead_dropout: share")))


class EcgTimeMask(Augmentation):
    """Masks stretches of time on all leads, as if nothing had been recorded there.

    Args:
        seconds: longest stretch; each is drawn up to it, and at most half of a recording goes.
        count: stretches.
    """

    def __init__(self, *, seconds: float = 1.0, count: int = 1) -> None:
        self.seconds = amount(seconds, "ecg_time_mask: seconds")
        if not isinstance(count, int) or count < 1:
            raise ConfigError(f"ecg_time_mask: count is {count!r}; it must be a whole number of at least 1.")
        self.count = count
        self.sample_rate = EcgBasic().sample_rate

    def bind(self, transform: Transform) -> None:
        """Its sample rate."""
        self.sample_rate = _rate(transform)

    def tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """valid_CT False and signal_CT zero in the stretches; a mask that would leave nothing is not applied."""
        valid_CT = tensors["valid_CT"]
        length = valid_CT.shape[1]
        hidden_T = torch.zeros(length, dtype=torch.bool)
        longest = int(min(self.seconds * self.sample_rate, length // 2 // self.count))
        for share, place in torch.rand(self.count, 2).tolist():
            stretch = round(share * longest)
            start = int(place * (length - stretch + 1))
            hidden_T[start : start + stretch] = True
        kept_CT = valid_CT & ~hidden_T
        if not kept_CT.any():
            return tensors
        return {**tensors, "valid_CT": kept_CT, "signal_CT": tensors["signal_CT"].masked_fill(~kept_CT, 0.0)}


def _rate(transform: Transform) -> float:
    rate = getattr(transform, "sample_rate", None)
    if rate is None:
        raise ConfigError(f"The augmentation needs a transform with a sample_rate, not {type(transform).__name__}.")
    return float(rate)
