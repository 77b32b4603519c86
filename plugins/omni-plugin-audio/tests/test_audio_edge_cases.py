"""Files of every depth, rate and channel count, and what is too short, too long, cut off or not a number."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.errors import InputError
from omni_plugin_audio import io as loader
from omni_plugin_audio import wav
from omni_plugin_audio.io import load
from omni_plugin_audio.resampling import resample
from omni_plugin_audio.transform import LogMel, Wave

DEPTHS = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]


def noise(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (frames, channels))


def encoded(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def reference(data: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(data), dtype="float64", always_2d=True)[0].mean(1)


@settings(max_examples=60, deadline=None)
@given(
    depth=st.sampled_from(DEPTHS), channels=st.integers(1, 9), frames=st.integers(1, 400),
    kind=st.sampled_from(["WAV", "WAVEX"]), rate=st.sampled_from([1000, 8000, 11025, 44100, 192_000]),
)  # fmt: skip
def test_wav_files_are_read_as_libsndfile_reads_them(depth, channels, frames, kind, rate) -> None:
    data = encoded(noise(frames, channels, seed=frames), rate, kind, depth)
    layout = wav.parse(data, "it")
    assert layout is not None and (layout.channels, layout.rate, layout.frames) == (channels, rate, frames)
    np.testing.assert_allclose(load(data, sample_rate=rate).samples_T, reference(data), atol=3e-7, rtol=0)


def test_chunks_around_the_samples_are_skipped() -> None:
    data = encoded(noise(100))
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    body = data[12:36] + odd + data[36:] + odd
    longer = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body
    assert torch.equal(load(longer).samples_T, load(data).samples_T)
    piped = longer[:4] + b"\xff" * 4 + longer[8 : 12 + 24 + len(odd) + 4] + b"\xff" * 4 + data[44:]
    assert torch.equal(load(piped).samples_T, load(data).samples_T)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "IMA_ADPCM"])
def test_compressed_wav_goes_through_libsndfile(subtype: str) -> None:
    data = encoded(noise(2000), subtype=subtype)
    assert wav.parse(data, "it") is None
    np.testing.assert_allclose(load(data).samples_T, reference(data), atol=1e-6)


@pytest.mark.parametrize("kind", ["RF64", "AIFF", "AU", "CAF", "W64"])
def test_other_containers(kind: str) -> None:
    data = encoded(noise(2000, 3), kind=kind, subtype="PCM_24")
    np.testing.assert_allclose(load(data).samples_T, reference(data), atol=1e-6)


@pytest.mark.parametrize("depth", DEPTHS)
def test_one_sample_and_the_loudest_ones(depth: str) -> None:
    full = load(encoded(np.array([[-1.0]]), subtype=depth)).samples_T
    assert full.tolist() == [-1.0]
    batch = Wave().collate([Wave()(load(encoded(np.array([0.5, -0.5]), subtype=depth)))])
    assert batch["wave_BT"].shape == (1, 16_000) and torch.isfinite(batch["wave_BT"]).all()
    assert LogMel()(load(encoded(np.array([0.5, -0.5]), subtype=depth)))["mel_TC"].shape == (1, 80)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("kind", ["WAV", "CAF"])
@pytest.mark.parametrize("channels", [1, 2])
def test_one_bad_number_anywhere_is_refused_by_name(tmp_path: Path, value: float, kind: str, channels: int) -> None:
    samples = noise(3000, channels)
    samples[1777, -1] = value
    path = tmp_path / f"odd.{kind.lower()}"
    path.write_bytes(encoded(samples, kind=kind, subtype="DOUBLE"))
    with pytest.raises(InputError, match="odd.*NaN or infinite"):
        load(path)


@pytest.mark.parametrize("depth", DEPTHS)
def test_silence_is_refused_whatever_the_depth(depth: str) -> None:
    with pytest.raises(InputError, match="silent"):
        load(encoded(np.zeros((500, 2)), subtype=depth))


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "PCM_16"), ("WAVEX", "PCM_24"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")],
)
def test_a_file_cut_off_anywhere_is_refused_by_name(tmp_path: Path, kind: str, subtype: str) -> None:
    data = encoded(noise(30_000), kind=kind, subtype=subtype)
    path = tmp_path / "cut"
    whole = load(data).samples_T
    cuts = [*range(1, 80), *np.linspace(80, len(data) - 2, 60).astype(int)]
    for cut in cuts:
        path.write_bytes(data[:cut])
        try:
            sound = load(path).samples_T
        except InputError as error:
            assert "cut" in str(error)
        else:  # an Ogg stream may end after any page
            assert kind == "OGG" and data[cut : cut + 4] == b"OggS" and len(sound) < len(whole), cut


def test_a_small_file_of_days_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "days.flac"
    with soundfile.SoundFile(path, "w", 1000, 1, subtype="PCM_16") as file:
        for _ in range(20):
            file.write(np.zeros(1_000_000))
    assert path.stat().st_size < 200_000
    with pytest.raises(InputError, match="days.*20000 s.*max_seconds"):
        load(path)
    with pytest.raises(InputError, match="silent"):
        load(path, max_seconds=30_000)
    with pytest.raises(InputError, match="max_seconds"):
        load(encoded(noise(16_000)), max_seconds=0.5)


def test_large_files_are_read_piece_by_piece_to_the_same_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(encoded(noise(50_000, 2), 44_100))
    whole = load(path).samples_T
    monkeypatch.setattr(loader, "MAPPED_FILE", 1000)
    assert torch.equal(load(path).samples_T, whole)
    monkeypatch.setattr(loader, "LARGE_FILE", 1000)
    monkeypatch.setattr(loader, "BLOCK_FRAMES", 777)
    torch.testing.assert_close(load(path).samples_T, whole, atol=1e-6, rtol=0)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(InputError, match="long.wav.*truncated"):
        load(path)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_blocks_give_torchaudios_numbers(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = torch.from_numpy(noise(30_011)[:, 0]).float()
    exact = torchaudio.transforms.Resample(rate, 16_000, dtype=torch.float64)(sound.double())
    for block in (1 << 20, 5000):
        monkeypatch.setattr("omni_plugin_audio.resampling.BLOCK_SAMPLES", block)
        made = resample(sound, rate=rate, sample_rate=16_000)
        torch.testing.assert_close(made.double(), exact, atol=2e-6, rtol=0)


@pytest.mark.parametrize("rate", [101, 7_919, 15_999, 44_101, 96_001, 999_983])
def test_rates_without_a_common_divisor(rate: int) -> None:
    length = 2 * rate + 17
    pitch = 20.0 if rate < 1000 else 440.0
    sound = torch.sin(2 * torch.pi * pitch * torch.arange(length, dtype=torch.float64) / rate)
    made = resample(sound.float(), rate=rate, sample_rate=16_000)
    assert len(made) == -(-length * 16_000 // rate)
    expected = torch.sin(2 * torch.pi * pitch * torch.arange(len(made), dtype=torch.float64) / 16_000)
    middle = slice(8000, 24_000)
    assert (made[middle] - expected[middle]).abs().max() < 5e-3


@settings(max_examples=40, deadline=None)
@given(rate=st.integers(100, 400_000), length=st.integers(1, 3000))
def test_any_rate_and_length_gives_the_length_that_it_lasts(rate: int, length: int) -> None:
    sound = load((noise(length)[:, 0] + 0.01, rate)).samples_T
    assert len(sound) == -(-length * 16_000 // rate) and torch.isfinite(sound).all()


def test_an_hour_is_normalised_as_a_whole_and_only_the_part_is_made() -> None:
    generator = torch.Generator().manual_seed(0)
    sound = loader.Waveform(samples_T=torch.randn(3_000_000, generator=generator) + 5.0)
    exact = sound.samples_T.double()
    expected = (exact[:16_000] - exact.mean()) / (exact.var(correction=0) + 1e-5).sqrt()
    made = Wave(max_seconds=1.0)(sound)["wave_T"]
    np.testing.assert_allclose(made, expected, atol=1e-6)
