from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from ecg_files import EIGHT, MICROVOLTS_A_STEP, beats, csv_text, dicom_bytes, edf_bytes, write_wfdb

from omni.errors import InputError
from omni.registry import DATASETS
from omni_plugin_ecg.io import load
from omni_plugin_ecg.leads import LIMB, STANDARD
from omni_plugin_ecg.recording import Ecg


def same(ecg: Ecg, signal_CT: np.ndarray, names: tuple[str, ...], *, rate: float = 500, within: float = 1e-3) -> None:
    assert ecg.sample_rate == rate and ecg.signal_CT.dtype == torch.float32 and bool(ecg.valid_CT.all())
    for row, name in enumerate(names):
        ours = ecg.signal_CT[ecg.leads.index(name)].numpy()
        assert ours.shape == signal_CT[row].shape
        assert np.abs(ours - signal_CT[row]).max() <= within, name


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212"])
def test_wfdb(tmp_path: Path, fmt: str) -> None:
    names, signal = ("I", "II"), beats(("I", "II"))
    header = write_wfdb(tmp_path, signal / (10 if fmt == "80" else 1), names, fmt=fmt)
    options = dict(plausible_mv=None) if fmt == "80" else {}
    for path in (header, header.with_suffix(".dat"), header.with_suffix(""), str(header)):
        ecg = load(path, **options)
        same(ecg, signal / (10 if fmt == "80" else 1), names, within=0.51e-3 if fmt != "212" else 2.51e-3)
    assert ecg.leads == tuple(LIMB) and ecg.derived == ("III", "aVR", "aVL", "aVF")


def test_wfdb_numbers_are_those_of_the_package(tmp_path: Path) -> None:
    header = write_wfdb(tmp_path, beats(), STANDARD)
    reference = wfdb.rdrecord(str(header.with_suffix("")))
    assert np.array_equal(load(header).signal_CT.numpy(), reference.p_signal.T.astype(np.float32))


def test_wfdb_marks_of_nothing_recorded_are_the_mask(tmp_path: Path) -> None:
    signal = beats(("II", "V1"))
    signal[1, 40:90] = np.nan
    ecg = load(write_wfdb(tmp_path, signal, ("II", "V1")))
    expected = np.ones_like(signal, bool)
    expected[1, 40:90] = False
    assert np.array_equal(ecg.valid_CT.numpy(), expected)
    assert not ecg.signal_CT[1, 40:90].any() and bool(torch.isfinite(ecg.signal_CT).all())


def test_wfdb_other_channels_are_left_out(tmp_path: Path) -> None:
    signal = np.concatenate([beats(("II",)), np.linspace(60, 90, 1500)[None], beats(("V1",))])
    wfdb.wrsamp(
        "mixed", fs=500, units=["mV", "mmHg", "uV"], sig_name=["II", "ABP", "V1"], fmt=["16"] * 3,
        p_signal=(signal * [[1], [1], [1000]]).T, write_dir=str(tmp_path),
    )  # fmt: skip
    ecg = load(tmp_path / "mixed.hea")
    assert ecg.leads == ("II", "V1")
    same(ecg, signal[[0, 2]], ecg.leads)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("2 500 1500", "2", "sampling rate.*sample_rate"),
        ("/mV", "", "unit of lead I.*unit="),
        ("1000.0(0)/mV", "0(0)/mV", "without a gain"),
        ("r1.dat 16 1000.0(0)/mV", "r1.dat 16\n#", "without a gain"),
        ("r1.dat", "../r1.dat", "elsewhere"),
        ("r1.dat", "/etc/passwd", "elsewhere"),
        ("r1.dat", "https://there/r1.dat", "elsewhere"),
        ("r1.dat", "other.dat", "no ECG.*other.dat"),
        ("r1.dat 16", "r1.dat what", "cannot be read"),
        ("2 500 1500", "2 500 1501", "truncated.*1501.*1500"),
        ("2 500 1500", "3 500 1500", "3 signals and describes 2"),
        ("2 500 1500", "2 500 99999999999999", "truncated|lasts"),
        ("2 500 1500", "99999999 500 1500", "describes 2"),
        ("r1 2", "r1/2 2", "segments"),
        ("2 500 1500", "2 0.001 1500", "rate|lasts"),
    ],
)
def test_wfdb_headers_that_lack_or_lie(tmp_path: Path, old: str, new: str, words: str) -> None:
    header = write_wfdb(tmp_path, beats(("I", "II")), ("I", "II"))
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=f"(?s)r1.*({words})|({words})"):
        load(header)


def test_wfdb_what_is_missing_can_be_given(tmp_path: Path) -> None:
    signal = beats(("I", "II"))
    header = write_wfdb(tmp_path, signal, ("I", "II"))
    header.write_text(header.read_text().replace("2 500 1500", "2").replace("/mV", ""))
    same(load(header, sample_rate=500, unit="mV"), signal, ("I", "II"))


def test_wfdb_damage_is_found_by_the_checksum(tmp_path: Path) -> None:
    header = write_wfdb(tmp_path, beats(("I", "II")), ("I", "II"))
    data = bytearray(header.with_suffix(".dat").read_bytes())
    data[2000] ^= 4
    header.with_suffix(".dat").write_bytes(data)
    with pytest.raises(InputError, match="r1.*damaged.*checksum.*verify"):
        load(header)
    assert load(header, verify=False).leads == tuple(LIMB)


def test_dicom(tmp_path: Path) -> None:
    signal = beats()
    data = dicom_bytes(signal, STANDARD)
    (tmp_path / "a.dcm").write_bytes(data)
    for value in (data, tmp_path / "a.dcm"):
        same(load(value), signal, STANDARD, within=MICROVOLTS_A_STEP / 2000 + 1e-6)
    same(load(data, unit="uV", sample_rate=500), signal, STANDARD, within=MICROVOLTS_A_STEP / 2000 + 1e-6)
    with pytest.raises(InputError, match="in uV, but unit='mV'"):
        load(data, unit="mV")
    with pytest.raises(InputError, match="500 Hz, but sample_rate=250"):
        load(data, sample_rate=250)
    with pytest.raises(InputError, match="uV called mV"):
        load(dicom_bytes(signal, STANDARD, unit="mV"))


def test_dicom_without_a_rate_needs_one() -> None:
    data = dicom_bytes(beats(), STANDARD, rate=None)
    with pytest.raises(InputError, match="sampling rate.*sample_rate"):
        load(data)
    assert load(data, sample_rate=500).sample_rate == 500


def test_edf(tmp_path: Path) -> None:
    signal = beats()
    labels = tuple(f"ECG {name}" for name in STANDARD)
    data = edf_bytes(signal, labels)
    (tmp_path / "a.edf").write_bytes(data)
    for value in (data, tmp_path / "a.edf"):
        same(load(value), signal, STANDARD, within=0.2e-3)
    same(load(edf_bytes(signal, labels, unit="mV", scale=1.0)), signal, STANDARD, within=0.2e-3)
    with pytest.raises(InputError, match="unit of lead I"):
        load(edf_bytes(signal, labels, unit="", scale=1.0))


def test_edf_other_channels_are_left_out_and_nameless_ones_refused() -> None:
    signal = beats(("II", "V1"))
    ecg = load(edf_bytes(np.concatenate([signal, signal]), ("II", "V1", "EEG Fpz-Cz", "EMG chin")))
    assert ecg.leads == ("II", "V1")
    data = edf_bytes(signal, ("ECG", "V1"))
    with pytest.raises(InputError, match="'ECG'.*no known lead.*rename"):
        load(data)
    assert load(data, rename={"ECG": "II"}).leads == ("II", "V1")
    assert load(data, rename={"ECG": None}).leads == ("V1",)


def test_csv(tmp_path: Path) -> None:
    signal = beats()
    text = csv_text(signal, STANDARD)
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "german.csv").write_text(text.replace(",", ";").replace(".", ","))
    (tmp_path / "tabs.tsv").write_text(text.replace(",", "\t"))
    (tmp_path / "windows.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    for name in ("a.csv", "german.csv", "tabs.tsv", "windows.csv"):
        same(load(tmp_path / name), signal, STANDARD, within=1e-5)
    same(load(csv_text(signal * 1000, STANDARD, unit="\u00b5V").encode()), signal, STANDARD, within=1e-5)
    bare = "\n".join(",".join(f"{v:.5f}" for v in row) for row in signal.T)
    same(load(bare.encode(), sample_rate=500, unit="mV", leads="standard"), signal, STANDARD, within=1e-5)
    settings = f"# sample_rate: 500\n# unit: mV\n{','.join(STANDARD)}\n{bare}"
    same(load(settings.encode()), signal, STANDARD, within=1e-5)


def test_csv_times() -> None:
    signal = beats(("II",), rate=360)
    milliseconds = csv_text(signal, ("II",), rate=0.36).replace("time [s]", "time [ms]")
    rounded = "\n".join([milliseconds.split("\n")[0]] + [
        f"{round(float(line.split(',')[0]))},{line.split(',')[1]}" for line in milliseconds.split("\n")[1:-1]
    ])  # fmt: skip
    for text in (milliseconds, rounded):
        assert load(text.encode()).sample_rate == pytest.approx(360, rel=1e-3)
    lines = csv_text(signal, ("II",), rate=360).split("\n")
    with pytest.raises(InputError, match="uneven.*row 700"):
        load("\n".join(lines[:701] + lines[702:]).encode())
    with pytest.raises(InputError, match="do not rise"):
        load("\n".join(lines[:1] + lines[:0:-1][1:]).encode())
    plain = "\n".join(lines).replace("time [s]", "time")
    with pytest.raises(InputError, match="sampling rate"):
        load(plain.encode())
    assert load(plain.encode(), sample_rate=360).leads == ("II",)


def test_numpy(tmp_path: Path) -> None:
    signal = beats()
    given = dict(sample_rate=500, unit="mV", leads="standard")
    np.save(tmp_path / "a.npy", signal)
    np.save(tmp_path / "f.npy", np.asfortranarray(signal.T.astype(np.float32)))
    np.savez(tmp_path / "a.npz", array=signal * 1000, sample_rate=500, unit="uV", leads=np.array(STANDARD))
    np.savez_compressed(tmp_path / "c.npz", array=signal * 1000, sample_rate=500.0, unit="uV", leads=STANDARD)
    for value in (tmp_path / "a.npy", tmp_path / "f.npy", signal, signal.T, torch.from_numpy(signal)):
        same(load(value, **given), signal, STANDARD, within=1e-6)
    for value in (tmp_path / "a.npz", tmp_path / "c.npz", (tmp_path / "a.npz").read_bytes()):
        same(load(value), signal, STANDARD, within=1e-6)
    counts = np.round(signal * 1000).astype(np.int16)
    same(load({"array": counts, "sample_rate": 500, "unit": "uV", "leads": STANDARD}), signal, STANDARD)


def test_shuffled_names_are_put_in_order() -> None:
    order = np.random.default_rng(0).permutation(12)
    names = tuple(STANDARD[index] for index in order)
    signal = beats()
    ecg = load({"array": signal[order], "sample_rate": 500, "unit": "mV", "leads": names})
    assert ecg.leads == STANDARD
    same(ecg, signal, STANDARD, within=1e-6)


def test_eight_leads_become_twelve() -> None:
    signal = beats(EIGHT)
    ecg = load({"array": signal, "sample_rate": 500, "unit": "mV", "leads": EIGHT})
    assert ecg.leads == STANDARD and ecg.derived == ("III", "aVR", "aVL", "aVF")
    one, two = signal[:2]
    expected = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    for name, row in expected.items():
        np.testing.assert_allclose(ecg.signal_CT[ecg.leads.index(name)], row, atol=1e-6)
    assert load({"array": signal, "sample_rate": 500, "unit": "mV", "leads": EIGHT}, derive=False).leads == EIGHT


def test_a_folder_of_wfdb_records_has_each_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_wfdb(tmp_path / name, beats(), STANDARD, name=f"r_{name}")
    data = DATASETS.build(dict(type="folder", root=str(tmp_path), slots=["ecg"]))
    assert [sample.values["ecg"].name for sample in data] == ["r_a.hea", "r_b.hea"]
    assert load(tmp_path / "a/r_a.dat").leads == STANDARD  # by name the signal file is as good


def test_contact_sheets_draw_the_leads(tmp_path: Path) -> None:
    from omni.data.contact_sheet import render
    from omni.data.loaders import SlotLoader

    path = tmp_path / "a.dcm"
    path.write_bytes(dicom_bytes(beats(), STANDARD))
    page = render(path, SlotLoader("ecg", modality="ecg"))
    assert page.count("<polyline") == 12 and "12 x 1500" in page
