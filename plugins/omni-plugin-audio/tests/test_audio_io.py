from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from omni.errors import InputError
from omni_plugin_audio.io import Waveform, load, sample


def tone(rate: int = 16_000, seconds: float = 0.5, pitch: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(int(rate * seconds)) / rate)


def encoded(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 1e-2), ("WAV", "PCM_16", 1e-4), ("WAV", "PCM_24", 1e-6), ("WAV", "PCM_32", 1e-6),
        ("WAV", "FLOAT", 1e-7), ("WAV", "DOUBLE", 1e-7), ("FLAC", "PCM_16", 1e-4), ("FLAC", "PCM_24", 1e-6),
        ("OGG", "VORBIS", 0.05), ("MP3", "MPEG_LAYER_III", 0.05), ("AIFF", "PCM_16", 1e-4),
    ],
)  # fmt: skip
def test_files_of_every_kind_and_depth(tmp_path: Path, kind: str, subtype: str, tolerance: float) -> None:
    path = tmp_path / f"tone.{kind.lower()}"
    path.write_bytes(encoded(tone(), kind=kind, subtype=subtype))
    for value in (path, str(path), path.read_bytes()):
        sound = load(value)
        assert sound.sample_rate == 16_000 and sound.samples_T.dtype == torch.float32
        middle = sound.samples_T.numpy()[2000:6000]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(4000)))
        assert spectrum.argmax() == 110  # 440 Hz
        if kind != "MP3":  # shifted by the encoder's delay
            assert np.abs(sound.samples_T.numpy() - tone()).max() <= tolerance


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_the_tone(rate: int) -> None:
    sound = load((tone(rate), rate)).samples_T.numpy()
    assert abs(len(sound) - 8000) <= 1
    assert np.abs(sound[500:7500] - tone()[500:7500]).max() < 0.01
    assert load((tone(rate), rate), sample_rate=rate).samples_T.shape == (rate // 2,)


def test_channels_are_averaged() -> None:
    left, right = tone(), tone(pitch=300)
    mean = ((left + right) / 2).astype(np.float32)
    stereo = np.stack([left, right])
    for value in (encoded(stereo.T, subtype="DOUBLE"), (stereo, 16_000), (stereo.T, 16_000)):
        np.testing.assert_allclose(load(value).samples_T, mean, atol=1e-6)
    six = np.stack([left] * 6, 1)
    np.testing.assert_allclose(load(encoded(six, subtype="FLOAT")).samples_T, left, atol=1e-6)


def test_arrays_of_every_type_give_the_same_sound() -> None:
    wave = tone()
    integers = [(wave * 2**15).astype(np.int16), (wave * 2**31).astype(np.int32), (wave * 128 + 128).astype(np.uint8)]
    for array in [wave, wave.astype(np.float32), torch.from_numpy(wave), *integers]:
        tolerance = 0.01 if array.dtype == np.uint8 else 1e-4
        for value in ((array, 16_000), {"array": array, "sample_rate": 16_000}):
            np.testing.assert_allclose(load(value).samples_T, wave, atol=tolerance)
    two = np.stack([integers[0]] * 2)
    np.testing.assert_allclose(load((two, 16_000)).samples_T, wave, atol=1e-4)
    big_endian = (wave.astype(">f4"), 16_000)
    np.testing.assert_allclose(load(big_endian).samples_T, wave, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (tone(), "no sample rate"),
        (torch.from_numpy(tone()), "no sample rate"),
        ([0.1, 0.2], "no sample rate"),
        ({"array": tone()}, "sample_rate"),
        ((16_000, tone()), "in this order"),
        ((tone(), 16_000.5), "whole number"),
        ((tone(), 0), "100 to"),
        ((tone(), None), "whole number"),
        ((np.zeros((40, 50)) + 0.1, 16_000), "which axis is time"),
        ((np.zeros((2, 2, 99)) + 0.1, 16_000), "shape"),
        ((np.ones(99, np.int64), 16_000), "ambiguous"),
        ((np.array(["a"]), 16_000), "cannot be read"),
        ((np.zeros(0), 16_000), "no samples"),
        ((np.zeros(99), 16_000), "silent"),
        ((np.full(99, np.nan), 16_000), "NaN"),
        ((np.array([0.1, np.inf]), 16_000), "infinite"),
        (b"", "0 bytes"),
        (b"this is no sound", "cannot be read"),
        ("https://example.com/a.wav", "download it first"),
    ],
)
def test_what_cannot_be_sound_is_refused(value: object, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        load(value)


def test_bad_files_are_refused_by_name(tmp_path: Path) -> None:
    broken = encoded(tone(), kind="FLAC")
    files = {
        "silent.wav": encoded(np.zeros(800)),
        "empty.wav": encoded(np.zeros(0)),
        "nothing.wav": b"",
        "nan.wav": encoded(np.full(800, np.nan), subtype="FLOAT"),
        "words.mp3": b"not sound",
        "cut.flac": broken[: len(broken) // 2],
        "cut.wav": encoded(tone())[:9000],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name):
            load(tmp_path / name)
    with pytest.raises(InputError, match="absent.wav"):
        load(tmp_path / "absent.wav")


def test_a_waveform_passes_through() -> None:
    sound = sample()
    assert load(sound).samples_T is sound.samples_T
    assert load(Waveform(samples_T=sound.samples_T, sample_rate=8000)).samples_T.shape == (8000,)
    with pytest.raises(InputError, match="typical"):
        sample("else")
