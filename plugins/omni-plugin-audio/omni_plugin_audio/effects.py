"""Effects of torchaudio by name, as the settings of a transform give them: filters, distortion, rooms, noise.

All randomness comes from torch's global generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchaudio.functional as AF
from torch import Tensor

from omni.errors import ConfigError
from omni.plugin.suggest import did_you_mean

Range = tuple[float, float]


def _noise(wave_1T: Tensor, rate: int, *, snr: float) -> Tensor:
    return AF.add_noise(wave_1T, torch.randn_like(wave_1T), torch.tensor([snr]))


def _reverb(wave_1T: Tensor, rate: int, *, seconds: float, wet: float) -> Tensor:
    """A room: noise that falls by 60 dB in ``seconds``, of unit energy, mixed in with the share ``wet``."""
    length = max(1, round(seconds * rate))
    tail_1T = torch.randn(1, length) * 10 ** (-3 * torch.arange(length) / length)
    tail_1T = tail_1T / tail_1T.norm()
    size = 2 ** math.ceil(math.log2(wave_1T.shape[1] + length))
    spectrum = torch.fft.rfft(wave_1T, n=size) * torch.fft.rfft(tail_1T, n=size)
    return torch.lerp(wave_1T, torch.fft.irfft(spectrum, n=size)[:, : wave_1T.shape[1]], wet)


def _mu_law(wave_1T: Tensor, rate: int, *, channels: float) -> Tensor:
    peak = wave_1T.abs().max().clamp(min=1e-9)
    return AF.mu_law_decoding(AF.mu_law_encoding(wave_1T / peak, int(channels)), int(channels)) * peak


def _frequency(value: float, rate: int) -> float:
    return min(value, 0.49 * rate)  # a filter above half the rate would blow up


EFFECTS: dict[str, tuple[Callable[..., Tensor], dict[str, Range]]] = {
    "gain": (lambda wave, rate, gain_db: AF.gain(wave, gain_db), {"gain_db": (-6.0, 6.0)}),
    "noise": (_noise, {"snr": (10.0, 30.0)}),
    "reverb": (_reverb, {"seconds": (0.1, 0.6), "wet": (0.05, 0.4)}),
    "mu_law": (_mu_law, {"channels": (64.0, 256.0)}),
    "contrast": (lambda wave, rate, amount: AF.contrast(wave, amount), {"amount": (0.0, 75.0)}),
    "overdrive": (
        lambda wave, rate, gain, colour: AF.overdrive(wave, gain, colour),
        {"gain": (0.0, 20.0), "colour": (0.0, 20.0)},
    ),
    "bass": (lambda wave, rate, gain: AF.bass_biquad(wave, rate, gain), {"gain": (-9.0, 9.0)}),
    "treble": (lambda wave, rate, gain: AF.treble_biquad(wave, rate, gain), {"gain": (-9.0, 9.0)}),
    "lowpass": (
        lambda wave, rate, hertz: AF.lowpass_biquad(wave, rate, _frequency(hertz, rate)),
        {"hertz": (2000.0, 7000.0)},
    ),
    "highpass": (
        lambda wave, rate, hertz: AF.highpass_biquad(wave, rate, _frequency(hertz, rate)),
        {"hertz": (60.0, 400.0)},
    ),
    "equalizer": (
        lambda wave, rate, hertz, gain, q: AF.equalizer_biquad(wave, rate, _frequency(hertz, rate), gain, q),
        {"hertz": (100.0, 6000.0), "gain": (-9.0, 9.0), "q": (0.5, 2.0)},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One effect.

    Attributes:
        type: a key of EFFECTS.
        p: chance that it is applied to a clip.
        settings: name -> (low, high), from which a number is drawn for each clip.
    """

    type: str
    p: float
    settings: dict[str, Range]

    def __call__(self, wave_T: Tensor, *, sample_rate: int) -> Tensor:
        """A changed copy of (T,), of the same length; or the clip itself."""
        if float(torch.rand(())) >= self.p:
            return wave_T
        drawn = {
            name: low + (high - low) * float(torch.rand(())) for name, (low, high) in sorted(self.settings.items())
        }
        return EFFECTS[self.type][0](wave_T[None], sample_rate, **drawn)[0]


def build_effects(settings: Sequence[Mapping[str, Any]]) -> tuple[Effect, ...]:
    """Effects from settings: ``{"type": ..., "p": chance (1), name: number or [low, high], ...}``; a name that is not
    given has the range of EFFECTS.

    Raises:
        ConfigError: an unknown effect or name, or a value that is no number or range.
    """
    return tuple(_build(item) for item in settings)


def to_config(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """The settings that ``build_effects`` takes, complete."""
    return [
        {"type": effect.type, "p": effect.p, **{name: list(bounds) for name, bounds in effect.settings.items()}}
        for effect in effects
    ]


def _build(item: Any) -> Effect:
    if not isinstance(item, Mapping) or "type" not in item:
        raise ConfigError(f'effects: each entry is a dictionary with a "type", not {item!r}.')
    options = dict(item)
    name, chance = options.pop("type"), options.pop("p", 1.0)
    if name not in EFFECTS:
        raise ConfigError(
            f"effects: unknown {name!r}; there are {', '.join(EFFECTS)}.{did_you_mean(str(name), tuple(EFFECTS))}"
        )
    ranges = dict(EFFECTS[name][1])
    if unknown := [key for key in options if key not in ranges]:
        raise ConfigError(f"effects: {name} has p and {', '.join(ranges)}, not {', '.join(map(str, unknown))}.")
    if not _is_number(chance) or not 0 <= chance <= 1:
        raise ConfigError(f"effects: p of {name} lies in 0..1, not {chance!r}.")
    ranges |= {key: _range(name, key, value) for key, value in options.items()}
    return Effect(type=name, p=float(chance), settings=ranges)


def _range(name: str, key: str, value: Any) -> Range:
    bounds = (value, value) if _is_number(value) else value
    fits = isinstance(bounds, Sequence) and len(bounds) == 2 and all(map(_is_number, bounds))
    if not fits or bounds[0] > bounds[1]:
        raise ConfigError(f"effects: {key} of {name} is a number or [low, high], not {value!r}.")
    return float(bounds[0]), float(bounds[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
