"""The real 12-lead recording that pydicom brings: Mortara el250, 10 s at 1 kHz, steps of 1.25 uV."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image as image
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from scipy import signal as dsp

from omni_plugin_ecg.drawing import draw
from omni_plugin_ecg.io import load, read_statement
from omni_plugin_ecg.leads import STANDARD
from omni_plugin_ecg.recording import Ecg
from omni_plugin_ecg.transform import EcgBasic


@pytest.fixture(scope="module")
def path() -> str:
    found = get_testdata_file("waveform_ecg.dcm", download=False)
    assert found is not None and Path(str(found)).is_file()
    return str(found)


@pytest.fixture(scope="module")
def ecg(path: str) -> Ecg:
    return load(path)


def test_scale_rate_and_leads_are_known(path: str, ecg: Ecg) -> None:
    assert ecg.leads == STANDARD and ecg.sample_rate == 1000 and ecg.seconds == 10.0 and not ecg.derived
    group = pydicom.dcmread(path).WaveformSequence[0]
    stored = np.frombuffer(group.WaveformData, "<i2").reshape(10_000, 12)
    np.testing.assert_allclose(ecg.signal_CT.numpy(), stored.T * 0.00125, atol=1e-7)
    v5 = ecg.signal_CT[STANDARD.index("V5")]
    assert float(v5.max()) == pytest.approx(1.9625) and float(v5.min()) == pytest.approx(-0.225)


def test_the_averaged_beat_is_read_when_asked_for(path: str) -> None:
    assert load(path, group=1).seconds == pytest.approx(1.2)


def test_limb_leads_obey_einthoven_and_goldberger(ecg: Ecg) -> None:
    leads = dict(zip(ecg.leads, ecg.signal_CT.double().numpy(), strict=True))
    one, two = leads["I"], leads["II"]
    for name, expected in (
        ("III", two - one),
        ("aVR", -(one + two) / 2),
        ("aVL", one - two / 2),
        ("aVF", two - one / 2),
    ):
        assert np.abs(leads[name] - expected).max() < 0.004, name  # three steps of rounding


def peaks_of(lead_T: np.ndarray, rate: float) -> np.ndarray:
    """R peaks: largest sample near each maximum of the smoothed squared slope (after Pan and Tompkins 1985)."""
    band = dsp.sosfiltfilt(dsp.butter(2, (5, 15), "bandpass", fs=rate, output="sos"), lead_T)
    energy = np.convolve(np.gradient(band) ** 2, np.ones(round(0.12 * rate)), "same")
    humps, _ = dsp.find_peaks(energy, height=0.3 * energy.max(), distance=round(0.3 * rate))
    reach = round(0.08 * rate)
    return np.array(
        [max(0, hump - reach) + int(np.argmax(lead_T[max(0, hump - reach) : hump + reach])) for hump in humps]
    )


def test_the_devices_statement(path: str) -> None:
    statement = read_statement(path)
    values = {name: value for name, (value, _) in statement.measurements.items()}
    assert statement.text[:2] == ("RITMO SINUSALE", "ECG NORMALE")
    assert values["RR Interval"] == 982 and values["PR Interval"] == 161 and values["QRS Duration"] == 75
    assert values["QT Interval"] == 368 and values["QRS Axis"] == 52
    assert {unit for name, (_, unit) in statement.measurements.items() if "Axis" not in name} == {"ms"}
    beats = [(name, place) for group, name, place in statement.points if group >= 100]
    onset = np.array([place for name, place in beats if name == "QRS Onset"])
    assert len(onset) == 10
    for first, last, interval in (
        ("P Onset", "QRS Onset", 161),
        ("QRS Onset", "QRS Offset", 75),
        ("QRS Onset", "T Offset", 368),
    ):
        marks = [np.array([place for name, place in beats if name == which]) for which in (first, last)]
        assert set(marks[1] - marks[0]) == {interval}


def test_our_own_r_peaks_agree_with_the_device(path: str, ecg: Ecg) -> None:
    """In the signal that the reader gives: the interval, the place of every beat, and the polarity."""
    lead_T = ecg.signal_CT[STANDARD.index("II")].numpy().astype(np.float64)
    found = peaks_of(lead_T, ecg.sample_rate)
    marked = np.array(
        [place - 1 for group, name, place in read_statement(path).points if group >= 100 and name == "Fiducial Point"]
    )
    assert len(found) == len(marked) == 10
    assert np.abs(found - marked).max() <= 12  # ms
    assert np.diff(found).mean() == pytest.approx(982, abs=3)
    heights = {name: ecg.signal_CT[STANDARD.index(name), found].mean().item() for name in STANDARD}
    assert all(heights[name] > 0.2 for name in ("I", "II", "aVF", "V4", "V5", "V6")) and heights["aVR"] < -0.4
    axis = np.degrees(np.arctan2(heights["aVF"] * 2 / 3**0.5, heights["I"]))
    assert axis == pytest.approx(52, abs=15)


def test_qrs_width_from_the_spatial_slope(path: str, ecg: Ecg) -> None:
    """The stretch around each R peak in which all leads together change fast is as long as the device's QRS."""
    smooth = dsp.sosfiltfilt(
        dsp.butter(2, 60, "lowpass", fs=1000, output="sos"), ecg.signal_CT.numpy().astype(np.float64)
    )
    slope = np.linalg.norm(np.gradient(smooth, axis=1), axis=0)
    widths = []
    for peak in peaks_of(ecg.signal_CT[1].numpy().astype(np.float64), 1000)[:-1]:
        near = slope[peak - 70 : peak + 71]
        fast = np.flatnonzero(near > 0.07 * near.max())
        widths.append(fast[-1] - fast[0] + 1)
    assert np.median(widths) == pytest.approx(75, abs=20)


@pytest.mark.parametrize("rate", [250.0, 500.0, 333.3])
def test_beats_stay_where_they_are_through_the_transform(path: str, ecg: Ecg, rate: float) -> None:
    item = EcgBasic(sample_rate=rate, powerline_hz=50)(ecg)
    assert item["signal_CT"].shape == (12, int(np.ceil(10 * rate))) and bool(item["valid_CT"].all())
    found = peaks_of(item["signal_CT"][1].numpy().astype(np.float64), rate) / rate * 1000
    original = peaks_of(ecg.signal_CT[1].numpy().astype(np.float64), 1000)
    assert np.abs(found - original).max() <= 1000 / rate + 2
    height = item["signal_CT"][1].max().item()
    assert height == pytest.approx(float(ecg.signal_CT[1].max() - ecg.signal_CT[1].median()), rel=0.12)


def test_it_is_drawn_to_scale(ecg: Ecg, tmp_path: Path) -> None:
    pixels = image.imread(draw(ecg, tmp_path / "ecg.png", seconds=2.0, dots_per_inch=127))  # 5 pixels a millimetre
    assert pixels.shape[1] == 2 * 2 * 25 * 5
    dark = (pixels[..., :3].max(2) < 0.4)[: 22 * 5, 10 * 5 : 250]  # lead I, right of its name
    rows = np.flatnonzero(dark.any(1))
    lead = ecg.signal_CT[0, 400:2000]
    assert (rows[-1] - rows[0]) / 50 == pytest.approx(float(lead.max() - lead.min()), abs=0.1)  # 50 pixels a millivolt


def test_nothing_about_the_patient_is_kept(ecg: Ecg) -> None:
    assert "Anonymous" not in repr(ecg) and "642341" not in repr(ecg)
