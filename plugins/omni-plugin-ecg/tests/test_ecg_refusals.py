from __future__ import annotations

import numpy as np
import pytest
import torch
from ecg_files import EIGHT, beats, csv_text

from omni.errors import InputError
from omni_plugin_ecg.io import load, sample, synthetic
from omni_plugin_ecg.leads import LEADS, LIMB, STANDARD, combination, lead_of
from omni_plugin_ecg.plausibility import swing
from omni_plugin_ecg.recording import millivolts

GIVEN = dict(sample_rate=500, unit="mV")


def one(signal_CT: np.ndarray, leads: object = STANDARD, **others: object) -> dict:
    return {"array": signal_CT, "sample_rate": 500, "unit": "mV", "leads": leads, **others}


def test_nothing_is_assumed() -> None:
    signal = beats()
    for missing, words in (
        ("sample_rate", "sampling rate"),
        ("unit", "unit of lead I"),
        ("leads", "12 leads without names"),
    ):
        value = one(signal)
        value.pop(missing)
        with pytest.raises(InputError, match=words):
            load(value)
    with pytest.raises(InputError, match="11 leads without names.*leads="):
        load(signal[:11], **GIVEN)
    with pytest.raises(InputError, match="no axis of 12"):
        load(signal[:11], leads="standard", **GIVEN)
    with pytest.raises(InputError, match="square"):
        load(np.ones((8, 8)), leads=EIGHT, **GIVEN)
    with pytest.raises(InputError, match="says 500 Hz, but sample_rate=1000"):
        load(one(signal), sample_rate=1000)
    with pytest.raises(InputError, match="names its leads"):
        load(one(signal), leads=STANDARD[::-1])


@pytest.mark.parametrize("value", [0.0, 0.7, -1.0])
def test_flat_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="flat.*no heartbeat"):
        load(one(np.full((12, 1500), value)))


def test_an_electrode_that_was_off_is_masked_and_told() -> None:
    signal = beats()
    signal[STANDARD.index("V3")] = 0.0
    ecg = load(one(signal))
    assert ecg.flat == ("V3",) and "V3" not in ecg.leads and len(ecg.leads) == 11
    signal[STANDARD.index("aVF")] = 0.0
    ecg = load(one(signal))
    assert ecg.derived == ("aVF",) and ecg.flat == ("aVF", "V3")
    np.testing.assert_allclose(ecg.signal_CT[ecg.leads.index("aVF")], signal[1] - signal[0] / 2, atol=1e-6)


def test_nan_needs_a_mask() -> None:
    signal = beats()
    signal[3, 100:130] = np.nan
    with pytest.raises(InputError, match="aVR.*30 NaN.*sample 100.*mask"):
        load(one(signal))
    masked = load(one(signal), nan="mask")
    mask = np.isfinite(signal)
    assert np.array_equal(masked.valid_CT, mask) and torch.equal(
        load(one(signal, valid=mask)).valid_CT, masked.valid_CT
    )
    assert not masked.signal_CT[3, 100:130].any()
    with pytest.raises(InputError, match="V1.*infinite"):
        load(one(np.where(np.arange(12)[:, None] == 6, np.inf, beats())), nan="mask")
    with pytest.raises(InputError, match="mask.*boolean"):
        load(one(signal, valid=mask.astype(int)))
    with pytest.raises(InputError, match="flat"):
        load(one(np.full((12, 1500), np.nan)), nan="mask")


@pytest.mark.parametrize(("factor", "guess"), [(1e-3, "V called mV"), (1e3, "uV called mV"), (1e6, "nV called mV")])
def test_a_wrong_unit_is_noticed(factor: float, guess: str) -> None:
    with pytest.raises(InputError, match=guess):
        load(one(beats() * factor))
    assert load(one(beats() * factor), plausible_mv=None).leads == STANDARD


def test_offset_and_drift_are_no_swing() -> None:
    signal = beats(seconds=10)
    drift = 250 + 5 * np.sin(2 * np.pi * 0.05 * np.arange(signal.shape[1]) / 500)
    assert load(one(signal + drift), check_limb_leads=False).leads == STANDARD
    assert swing(signal[1] + 250, np.ones(5000, bool), rate=500) == pytest.approx(
        swing(signal[1], np.ones(5000, bool), rate=500)
    )


@pytest.mark.parametrize("lead", ["III", "aVR", "aVL", "aVF", "I", "II"])
def test_a_limb_lead_upside_down_is_noticed(lead: str) -> None:
    first = 0.4 if lead == "III" else 1.6  # axes at which this lead is not small
    signal = beats(EIGHT) * np.array([first] + [1.0] * 7)[:, None]
    whole = load(one(signal, EIGHT)).signal_CT.numpy().copy()
    assert load(one(whole)).leads == STANDARD
    whole[STANDARD.index(lead)] *= -1
    with pytest.raises(InputError, match="contradicts"):
        load(one(whole))
    assert load(one(whole), check_limb_leads=False).leads == STANDARD
    names = tuple(f"-{name}" if name == lead else name for name in STANDARD)
    turned = load(one(whole, names))
    np.testing.assert_allclose(turned.signal_CT[:6], load(one(signal, EIGHT)).signal_CT[:6], atol=1e-6)


def test_swapped_names_are_noticed() -> None:
    names = ("I", "II", "aVR", "III", *STANDARD[4:])
    with pytest.raises(InputError, match="contradicts"):
        load(one(beats(), names))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (one(beats(), [*STANDARD[:11], "V5"]), "V5 twice"),
        (one(beats(), [*STANDARD[:11], "MLII"]), "'MLII'.*no known lead.*rename"),
        (one(beats(), STANDARD[:11]), "no axis of 11"),
        (one(beats()[:, :200]), "0.4 s.*at least 0.5"),
        (one(beats(), unit="mmHg"), "no ECG lead|no voltage"),
        (one(beats(), sample_rate=0), "rate"),
        (one(beats(), sample_rate=float("nan")), "rate"),
        (one(beats(), sample_rate="fast"), "'fast'.*no number"),
        (one(beats().astype(complex)), "complex"),
        (one(np.zeros((12, 0))), "with samples"),
        (one(beats()[None]), "shape"),
        ({"signal": beats()}, "keys array"),
        (None, "None"),
        (3.0, "3.0"),
        (["a", "b"], "numbers"),
    ],
)
def test_values_that_are_no_ecg(value: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(value)


@pytest.mark.parametrize(
    "options",
    [
        dict(unit="mmHg"), dict(leads="all"), dict(nan="drop"), dict(sample_rate=True), dict(plausible_mv=(3, 1)),
        dict(rename={"V9": "V1"}),
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant(options: dict) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        load({"array": beats(), "leads": STANDARD}, **({"sample_rate": 500, "unit": "mV"} | options))


def test_too_long_is_refused() -> None:
    with pytest.raises(InputError, match="lasts 3 s, more than 2 s.*max_seconds"):
        load(one(beats()), max_seconds=2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("0.0100,", "0.0100,oops", 1), "no number"),
        (lambda text: text.replace("\n0.0200,", "\n0.0200,,", 1), "table"),
        (lambda text: text[: text.rindex(",")], "NaN or empty|no number|uneven"),
        (lambda text: text.replace("V6 [mV]", "V6 [mV],extra", 1), "names 14 columns and holds 13"),
        (lambda text: text.replace("II [mV]", "3.5", 1), "mixes names and numbers"),
        (lambda text: text.split("\n")[0], "table|no rows|columns"),
        (lambda text: text.replace("\n0.0100", "\n\n0.0100", 1), "times|uneven|NaN"),
    ],
)
def test_tables_that_are_damaged(change: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(change(csv_text(beats(), STANDARD)).encode())


def test_names_of_leads() -> None:
    for text, expected in {
        "II": "II", "ii": "II", "Lead II": "II", "ECG II": "II", "EKG_V1": "V1", "AVF": "aVF", "avr": "aVR",
        "DIII": "III", "C4": "V4", "Lead I (Einthoven)": "I",
        "vx": "X", "v3r": "V3R", " V6 ": "V6", "ECG Lead V2": "V2",
    }.items():  # fmt: skip
        assert lead_of(text) == (expected, 1.0), text
    assert lead_of("-aVR") == ("aVR", -1.0)
    assert all(lead_of(name) == (name, 1.0) for name in LEADS)
    for text in ("", "MLII", "ECG", "V10", "IV", "EEG", "I-II", "V1-V2", "lead", "CM5"):
        assert lead_of(text) is None, text


def test_any_two_limb_leads_give_the_others() -> None:
    values = {"I": 0.7, "II": 1.1}
    values |= {"III": 0.4, "aVR": -0.9, "aVL": 0.15, "aVF": 0.75}
    for first in LIMB:
        for second in LIMB:
            for lead in LIMB:
                if len({first, second, lead}) == 3:
                    factors = combination(lead, [first, second])
                    assert sum(factors[name] * values[name] for name in factors) == pytest.approx(
                        values[lead], abs=1e-9
                    )
    assert combination("V1", ["I", "II"]) is None and combination("III", ["I", "V1"]) is None


def test_units() -> None:
    assert [millivolts(u) for u in ("V", "mV", "MV", "uV", "\u00b5V", "\u03bcV", "nV", "microvolt", "mmHg", "")] == [
        1e3, 1.0, 1.0, 1e-3, 1e-3, 1e-3, 1e-6, 1e-3, None, None,
    ]  # fmt: skip


def test_synthetic_beats_obey_einthoven_and_the_samples_pass_the_loaders_checks() -> None:
    rows = dict(zip(LIMB, synthetic(tuple(LIMB), seconds=2, sample_rate=500).double(), strict=True))
    torch.testing.assert_close(rows["I"] + rows["III"], rows["II"], atol=1e-6, rtol=0)
    torch.testing.assert_close(rows["aVR"] + rows["aVL"] + rows["aVF"], torch.zeros(1000).double(), atol=1e-6, rtol=0)
    ecg = sample()
    assert load(one(ecg.signal_CT.numpy(), ecg.leads)).leads == STANDARD
    with pytest.raises(InputError, match="no synthetic lead 'X'"):
        synthetic(("X",), seconds=1, sample_rate=100)
