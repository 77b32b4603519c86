from __future__ import annotations

import numpy as np
import pytest
import torch
from ecg_files import EIGHT, STANDARD, beats
from scipy import signal as dsp

from omni.errors import ConfigError, InputError
from omni_plugin_ecg import filters
from omni_plugin_ecg.io import load, sample
from omni_plugin_ecg.leads import LEAD_INDEX, LEADS
from omni_plugin_ecg.transform import EcgBasic


def recording(names: tuple[str, ...] = STANDARD, *, rate: float = 500.0, seconds: float = 3.0, **options: object):
    signal = beats(names, rate=rate, seconds=seconds)
    return load({"array": signal, "sample_rate": rate, "unit": "mV", "leads": names}, **options)


def sine(hertz: float, *, rate: float = 500.0, seconds: float = 20.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)[None]


def middle(values_CT: np.ndarray) -> np.ndarray:
    quarter = values_CT.shape[1] // 4
    return values_CT[:, quarter:-quarter]


@pytest.mark.parametrize("hertz", [0.05, 0.2, 0.5, 1.0, 5.0, 40.0])
def test_the_highpass_has_the_gain_of_its_formula_and_no_delay(hertz: float) -> None:
    """Run both ways a Butterworth of order 2 has the gain r^4 / (1 + r^4), r from the bilinear transform."""
    wave = sine(hertz, seconds=60)
    made = filters.remove_baseline(wave, rate=500, method="highpass", hertz=0.5)
    ratio = (np.tan(np.pi * hertz / 500) / np.tan(np.pi * 0.5 / 500)) ** 4
    np.testing.assert_allclose(middle(made), middle(wave) * ratio / (1 + ratio), atol=2e-3)


@pytest.mark.parametrize(("method", "within"), [("highpass", 0.01), ("median", 0.15)])
def test_offset_and_drift_go_and_beats_stay(method: str, within: float) -> None:
    """What is left of a drift that climbs by 0.5 mV/s; medians follow it in steps."""
    signal = beats(("II", "V2"), seconds=10)
    drift = 30 + 0.8 * np.sin(2 * np.pi * 0.1 * np.arange(5000) / 500)
    plain, drifted = (filters.remove_baseline(x, rate=500, method=method, hertz=0.5) for x in (signal, signal + drift))
    assert np.abs(middle(plain - drifted)).max() < within
    assert np.ptp(middle(drifted)[0]) == pytest.approx(np.ptp(middle(signal)[0]), rel=0.05)


@pytest.mark.parametrize("mains", [50.0, 60.0])
@pytest.mark.parametrize("rate", [250.0, 360.0, 1000.0])
def test_the_notch_takes_mains_with_its_multiples_and_leaves_the_beats(mains: float, rate: float) -> None:
    signal = beats(("II",), rate=rate, seconds=10)
    hum = sum(0.2 / k * sine(k * mains, rate=rate, seconds=10) for k in (1, 2, 3) if k * mains < 0.499 * rate)
    clean = filters.remove_powerline(signal, rate=rate, hertz=mains)
    made = filters.remove_powerline(signal + hum, rate=rate, hertz=mains)
    assert np.abs(middle(made - clean)).max() < 0.002
    assert np.abs(middle(clean - signal)).max() < 0.1 * np.ptp(signal)


def test_the_lowpass_halves_at_its_corner() -> None:
    assert np.abs(middle(filters.lowpass(sine(40.0), rate=500, hertz=40))).max() == pytest.approx(0.5, abs=0.01)
    assert np.abs(middle(filters.lowpass(sine(120.0), rate=500, hertz=40))).max() < 1e-3
    wave = sine(5.0)
    assert filters.lowpass(wave, rate=500, hertz=300) is wave


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1000, 250),
        (500, 250),
        (360, 250),
        (257, 500),
        (499.9, 250),
        (1000.0 / 3.0001, 500),
        (249.987, 250),
        (128, 250),
        (250, 100),
    ],
)
def test_resampling_keeps_waves_in_place(old: float, new: float) -> None:
    wave = sine(7.0, rate=old) + 3.0
    valid = np.ones(wave.shape, dtype=bool)
    made, kept = filters.resample(wave, valid, rate=old, new_rate=new)
    assert made.shape[1] == pytest.approx(np.ceil(wave.shape[1] * new / old), abs=1) and kept.all()
    expected = np.sin(2 * np.pi * 7.0 * np.arange(made.shape[1]) / new)[None] + 3.0
    assert np.abs(middle(made) - middle(expected)).max() < 4e-3


def test_resampling_is_scipys_and_masks_touch_nothing_unrecorded() -> None:
    signal = beats(("II",))
    valid = np.ones(signal.shape, dtype=bool)
    valid[0, 601:701] = False
    made, kept = filters.resample(signal, valid, rate=500, new_rate=250)
    np.testing.assert_array_equal(made, dsp.resample_poly(signal, 1, 2, axis=1, padtype="line"))
    assert np.flatnonzero(~kept[0]).tolist() == list(range(301, 351))
    _, up = filters.resample(signal, valid, rate=500, new_rate=1000)
    assert np.flatnonzero(~up[0]).tolist() == list(range(1201, 1402))


def test_gaps_are_bridged_before_filters_and_masked_after() -> None:
    signal = beats(("II",), seconds=6)
    gap = signal.copy()
    gap[0, 1200:1300] = np.nan
    ecg = load({"array": gap, "sample_rate": 500, "unit": "mV", "leads": ["II"]}, nan="mask")
    whole = load({"array": signal, "sample_rate": 500, "unit": "mV", "leads": ["II"]})
    transform = EcgBasic(leads="present")
    ours, reference = transform(ecg), transform(whole)
    assert not ours["signal_CT"][0, 600:650].any() and not ours["valid_CT"][0, 600:650].any()
    assert int(ours["valid_CT"].sum()) == 1500 - 50
    far = torch.ones(1500, dtype=torch.bool)
    far[400:850] = False
    assert (ours["signal_CT"] - reference["signal_CT"])[0, far].abs().max() < 0.06


def test_values_are_millivolts_and_leads_where_they_belong() -> None:
    item = EcgBasic(baseline="none", sample_rate=500)(recording(EIGHT))
    np.testing.assert_allclose(item["signal_CT"][[0, 1, 6, 7, 8, 9, 10, 11]], beats(EIGHT), atol=1e-6)
    assert item["lead_C"].tolist() == list(range(12)) and bool(item["valid_CT"].all())
    item = EcgBasic(baseline="none", sample_rate=500)(recording(EIGHT, derive=False))
    assert (
        not item["valid_CT"][2:6].any() and not item["signal_CT"][2:6].any() and bool(item["valid_CT"][[0, 1, 6]].all())
    )
    chosen = EcgBasic(baseline="none", leads=["V5", "ii"], sample_rate=500)(recording(EIGHT))
    np.testing.assert_allclose(chosen["signal_CT"], beats(EIGHT)[[6, 1]], atol=1e-6)
    assert [LEADS[i] for i in chosen["lead_C"]] == ["V5", "II"]
    with pytest.raises(InputError, match="no recorded sample of V7.*it has I, II"):
        EcgBasic(leads=["V7"])(recording(EIGHT))


def test_crops() -> None:
    ecg = recording(("II",), seconds=30)
    options = dict(sample_rate=500, baseline="none", leads="present", max_seconds=4)
    signal = torch.from_numpy(beats(("II",), seconds=30)).float()
    first, center = (EcgBasic(crop=crop, **options)(ecg)["signal_CT"] for crop in ("first", "center"))
    torch.testing.assert_close(first, signal[:, :2000])
    torch.testing.assert_close(center, signal[:, 6500:8500])
    torch.manual_seed(0)
    random = EcgBasic(crop="random", **options)
    parts = [random(ecg, training=True)["signal_CT"] for _ in range(3)]
    assert len({float(part[0, 0]) for part in parts}) == 3 and all(part.shape == (1, 2000) for part in parts)
    torch.testing.assert_close(random(ecg)["signal_CT"], first)
    assert not random.deterministic and EcgBasic().deterministic
    filtered = EcgBasic(crop="center", max_seconds=4, leads="present")(ecg)["signal_CT"]
    whole = EcgBasic(max_seconds=None, leads="present")(ecg)["signal_CT"]
    assert filtered.shape == (1, 1000)
    assert (filtered - whole[:, 3250:4250]).abs().max() < 0.02  # the filter settles outside of the part


def test_batches_are_padded_in_leads_and_time() -> None:
    transform = EcgBasic(leads="present")
    batch = transform.collate([transform(sample(variant)) for variant in ("typical", "other", "minimum")])
    assert batch["signal_BCT"].shape == (3, 12, 650) and batch["lead_BC"].shape == (3, 12)
    assert batch["valid_BCT"].sum((1, 2)).tolist()[::2] == [12 * 500, 125]
    assert batch["lead_BC"][2].tolist() == [LEAD_INDEX["II"]] + [0] * 11
    assert not batch["signal_BCT"][~batch["valid_BCT"]].any()


def test_augmentations() -> None:
    ecg = recording(EIGHT)
    plain = EcgBasic()(ecg)
    torch.manual_seed(0)
    item = EcgBasic(augment=dict(lead_drop=0.5))(ecg, training=True)
    dropped = ~item["valid_CT"].any(1)
    assert 1 <= int(dropped.sum()) < 12 and not item["signal_CT"][dropped].any()
    torch.testing.assert_close(item["signal_CT"][~dropped], plain["signal_CT"][~dropped])
    alone = EcgBasic(augment=dict(lead_drop=1.0))(recording(("V1", "V2")), training=True)
    assert int(alone["valid_CT"].any(1).sum()) == 1
    gain = EcgBasic(augment=dict(gain=0.3))(ecg, training=True)["signal_CT"] / plain["signal_CT"]
    assert float(gain.nanmedian()) != 1 and float(gain.std()) < 1e-3 and 0.7 <= float(gain.nanmedian()) <= 1.3
    for augment in (dict(noise_mv=0.1), dict(wander_mv=0.2)):
        changed = EcgBasic(augment=augment)(ecg, training=True)["signal_CT"] - plain["signal_CT"]
        assert 0 < float(changed.std()) < 0.25
        torch.testing.assert_close(EcgBasic(augment=augment)(ecg)["signal_CT"], plain["signal_CT"])


@pytest.mark.parametrize(
    "setting",
    [
        dict(crop="last"), dict(baseline="spline"), dict(sample_rate=0), dict(leads="all"), dict(leads=["II", "ii"]),
        dict(leads=["XYZ"]), dict(max_seconds=0), dict(baseline_hz=9), dict(powerline_hz=5), dict(lowpass_hz=-1),
        dict(augment=dict(lead_dropp=0.1)),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant(setting: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        EcgBasic(**setting)
