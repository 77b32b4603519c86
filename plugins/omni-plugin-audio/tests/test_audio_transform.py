from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from omni.errors import ConfigError, InputError
from omni_plugin_audio.augment import WaveAugment
from omni_plugin_audio.io import Waveform
from omni_plugin_audio.transform import LogMel, Wave


def sound(seconds: float, seed: int = 0, offset: float = 0.3) -> Waveform:
    generator = torch.Generator().manual_seed(seed)
    return Waveform(samples_T=torch.randn(int(16_000 * seconds), generator=generator) * 0.1 + offset)


def normalised(wave: torch.Tensor) -> np.ndarray:
    exact = wave.double().numpy()
    return (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5)


def test_the_whole_clip_is_normalised_before_it_is_cut() -> None:
    raw = sound(17.0)
    wave = Wave()(raw)["wave_T"]
    assert wave.shape == (240_000,)
    np.testing.assert_allclose(wave, normalised(raw.samples_T)[:240_000], atol=1e-6)


def test_short_clips_are_repeated_after_normalising() -> None:
    raw = sound(0.3)
    wave = Wave()(raw)["wave_T"]
    np.testing.assert_allclose(wave, np.tile(normalised(raw.samples_T), 4)[:16_000], atol=1e-6)
    assert Wave(min_seconds=0)(raw)["wave_T"].shape == (4800,)


def test_collation_marks_what_is_real() -> None:
    transform = Wave(min_seconds=0)
    batch = transform.collate([transform(sound(0.1)), transform(sound(0.25))])
    assert batch["wave_BT"].shape == batch["valid_BT"].shape == (2, 4000)
    assert batch["valid_BT"].sum(1).tolist() == [1600, 4000] and not batch["wave_BT"][0, 1600:].any()
    mel = LogMel()
    batch = mel.collate([mel(sound(0.1)), mel(sound(0.25))])
    assert batch["mel_BTC"].shape == (2, 26, 80) and batch["valid_BT"].sum(1).tolist() == [11, 26]


def test_a_constant_clip_is_refused() -> None:
    with pytest.raises(InputError, match="constant"):
        Wave()(Waveform(samples_T=torch.full((999,), 0.5)))


def test_log_mel_finds_the_tone_and_ignores_loudness() -> None:
    time = torch.arange(16_000) / 16_000
    quiet, loud = (Waveform(samples_T=gain * torch.sin(2 * torch.pi * 1000 * time)) for gain in (0.05, 0.9))
    mel = LogMel()
    low, high = mel(quiet)["mel_TC"], mel(loud)["mel_TC"]
    torch.testing.assert_close(low, high, atol=5e-3, rtol=0)  # the norm's epsilon is not quite nothing
    # Slaney's scale is linear below 1 kHz, 3 mel each 200 Hz; 80 bands share the mel of 8 kHz
    most = 15 + 27 * np.log(8.0) / np.log(6.4)
    assert abs(int(high[50].argmax()) - (15 / most * 81 - 1)) <= 1
    assert high.shape == (101, 80)


def test_the_first_frame_of_one_sample() -> None:
    two = Waveform(samples_T=torch.tensor([0.1, -0.2]))
    assert LogMel()(two)["mel_TC"].shape == (1, 80)


def test_random_crops_come_from_the_whole_clip_in_training_only() -> None:
    transform = Wave(max_seconds=1.0, crop="random")
    raw = sound(3.0)
    plain, whole = transform(raw)["wave_T"], normalised(raw.samples_T)
    np.testing.assert_allclose(plain, whole[:16_000], atol=1e-6)
    torch.manual_seed(0)
    starts = set()
    for _ in range(4):
        cut = transform(raw, training=True)["wave_T"].numpy()
        start = int(np.abs(whole[:32_001] - cut[0]).argmin())
        np.testing.assert_allclose(cut, whole[start : start + 16_000], atol=1e-6)
        starts.add(start)
    assert len(starts) > 1


FULL = dict(speed=0.1, eq_db=6.0, noise_db=10.0, gain_db=6.0, shift_seconds=0.1)


@pytest.mark.parametrize("kind", [Wave, LogMel])
def test_augmentation_follows_torchs_generator(kind: type) -> None:
    options = dict(time_masks=2, mel_masks=2) if kind is LogMel else {}
    transform = kind(augment=FULL, **options)
    raw = sound(1.5)
    (key,) = transform(raw)
    plain = transform(raw)[key]
    torch.manual_seed(5)
    first, second = (transform(raw, training=True)[key] for _ in range(2))
    torch.manual_seed(5)
    assert torch.equal(transform(raw, training=True)[key], first)
    assert first.shape != second.shape or not torch.equal(first, second)
    assert torch.equal(transform(raw)[key], plain)
    again = kind(**json.loads(json.dumps(transform.to_config())))
    assert again.augment == WaveAugment(**FULL)
    for options in ({**FULL, "echo": 1}, {"speed": 1.5}, {"eq_db": -1.0}):
        with pytest.raises(ConfigError):
            kind(augment=options)


def test_each_change_does_what_it_says() -> None:
    wave = sound(1.0, offset=0.0).samples_T
    torch.manual_seed(0)
    for _ in range(3):
        assert 0.88 < len(wave) / len(WaveAugment(speed=0.1)(wave, sample_rate=16_000)) < 1.12
        gain_db = 20 * torch.log10(WaveAugment(gain_db=6.0)(wave, sample_rate=16_000).std() / wave.std())
        assert -6.01 < gain_db < 6.01
        noisy = WaveAugment(noise_db=10.0)(wave, sample_rate=16_000)
        ratio_db = 10 * torch.log10(wave.square().mean() / (noisy - wave).square().mean())
        assert 9.9 < ratio_db < 30.1
        longer = WaveAugment(shift_seconds=0.2)(wave, sample_rate=16_000)
        assert len(wave) <= len(longer) <= len(wave) + 6400
        shaped = WaveAugment(eq_db=6.0)(wave, sample_rate=16_000)
        change_db = 20 * np.log10(np.abs(np.fft.rfft(shaped)).mean() / np.abs(np.fft.rfft(wave)).mean())
        assert len(shaped) == len(wave) and abs(change_db) < 6.5 and not torch.equal(shaped, wave)


def test_masks_set_stretches_to_the_mean() -> None:
    raw = sound(1.0)
    torch.manual_seed(0)
    masked = LogMel(time_masks=1, mel_masks=1)(raw, training=True)["mel_TC"]
    plain = LogMel()(raw)["mel_TC"]
    changed = masked != plain
    assert changed.any() and not masked[changed].any()
    rows, columns = changed.all(1).sum(), changed.all(0).sum()
    assert 0 < rows + columns and rows <= 20 and columns <= 15
