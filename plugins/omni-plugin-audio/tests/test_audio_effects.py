"""Effects of torchaudio by name: what each does, and that they follow torch's generator."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from omni.errors import ConfigError
from omni_plugin_audio.effects import EFFECTS, build_effects
from omni_plugin_audio.io import Waveform
from omni_plugin_audio.transform import LogMel, Wave

RATE = 16_000


def noise(seconds: float = 0.5) -> torch.Tensor:
    return 0.1 * torch.randn(int(seconds * RATE), generator=torch.Generator().manual_seed(0))


def apply(settings: dict, wave: torch.Tensor, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return build_effects([settings])[0](wave, sample_rate=RATE)


def level_db(wave: torch.Tensor, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(wave.double().numpy())) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    return 10 * np.log10(spectrum[(hertz >= low) & (hertz < high)].mean())


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("seconds", [0.5, 0.001])
def test_every_effect_keeps_the_length_and_is_fixed_by_the_seed(name: str, seconds: float) -> None:
    wave = noise(seconds)
    before = wave.clone()
    first, again, other = (apply({"type": name}, wave, seed) for seed in (1, 1, 2))
    assert first.shape == wave.shape and torch.isfinite(first).all() and torch.equal(first, again)
    assert not torch.equal(first, other) and torch.equal(wave, before)
    assert torch.equal(apply({"type": name, "p": 0.0}, wave), wave)


def test_each_effect_does_what_it_says() -> None:
    wave = noise(2.0)

    def change_db(settings: dict, low: float, high: float) -> float:
        return level_db(apply(settings, wave), low, high) - level_db(wave, low, high)

    assert abs(change_db({"type": "gain", "gain_db": -6}, 0, 8000) + 6) < 0.01
    low = {"type": "lowpass", "hertz": 1000}
    assert abs(change_db(low, 50, 300)) < 0.5 and change_db(low, 4000, 7000) < -20
    high = {"type": "highpass", "hertz": 1000}
    assert abs(change_db(high, 5000, 7500)) < 0.5 and change_db(high, 50, 200) < -20
    peak = {"type": "equalizer", "hertz": 2000, "gain": 9, "q": 1.0}
    assert abs(change_db(peak, 1950, 2050) - 9) < 0.5 and abs(change_db(peak, 20, 100)) < 0.5
    assert abs(change_db({"type": "bass", "gain": 9}, 5, 30) - 9) < 1.5
    assert abs(change_db({"type": "treble", "gain": -9}, 7500, 8000) + 9) < 1.5
    noisy = apply({"type": "noise", "snr": 10}, wave) - wave
    assert abs(10 * torch.log10(wave.square().mean() / noisy.square().mean()) - 10) < 0.1
    click = torch.zeros(RATE)
    click[0] = 1.0
    tail = apply({"type": "reverb", "seconds": 0.5, "wet": 1.0}, click)
    early, late = tail[:800].square().mean(), tail[7200:8000].square().mean()
    assert abs(10 * torch.log10(early / late) - 54) < 3  # 0.45 s of the 0.5 s in which it falls by 60 dB
    assert float(tail[8000:].abs().max()) < 1e-6
    coarse = apply({"type": "mu_law", "channels": 8}, wave)
    assert len(coarse.unique()) <= 8


@pytest.mark.parametrize("kind", [Wave, LogMel])
def test_transforms_take_effects_in_training_only_and_keep_the_settings(kind: type) -> None:
    effects = [{"type": "reverb", "p": 0.7}, {"type": "noise", "snr": [5, 10]}, {"type": "lowpass", "hertz": 3000}]
    transform = kind(effects=effects)
    raw = Waveform(samples_T=noise())
    (key,) = transform(raw)
    assert not transform.deterministic and kind().deterministic
    assert torch.equal(transform(raw)[key], kind()(raw)[key])
    results = []
    for item in (transform, kind(**json.loads(json.dumps(transform.to_config())))):
        torch.manual_seed(4)
        results.append(item(raw, training=True)[key])
    assert torch.equal(*results) and not torch.equal(results[0], transform(raw)[key])


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        ({"type": "reverbb"}, "reverb"),
        ({"type": "noise", "db": 3}, "snr"),
        ({"type": "noise", "snr": [10, 5]}, "low, high"),
        ({"type": "noise", "snr": "loud"}, "low, high"),
        ({"type": "noise", "p": 2}, "0..1"),
        ("noise", "dictionary"),
    ],
)
def test_wrong_settings_are_named(effect: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Wave(effects=[effect])


class Sounds(Dataset):
    """The same sound eight times, augmented in the worker."""

    def __init__(self) -> None:
        self.transform = Wave(min_seconds=0, augment={"eq_db": 6.0}, effects=[{"type": "noise"}, {"type": "reverb"}])

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Waveform(samples_T=noise(0.1)), training=True)["wave_T"]


def test_workers_draw_apart_from_each_other_and_as_the_seed_says() -> None:
    runs = []
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(Sounds(), batch_size=None, num_workers=2, generator=generator)
        runs.append(torch.stack(list(loader)))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert len({item.numpy().tobytes() for item in runs[0]}) == 8
