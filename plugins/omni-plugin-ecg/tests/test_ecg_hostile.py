"""Bad and odd files of every kind: the right value or an InputError that names the file; no hang, no crash."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pydicom
import pytest
import torch
from ecg_files import EIGHT, STANDARD, beats, csv_text, dicom_bytes, edf_bytes, saved, write_wfdb

from omni.data.loaders import SlotLoader
from omni.errors import InputError
from omni_plugin_ecg.io import load
from omni_plugin_ecg.recording import Ecg

ENDINGS = ("dcm", "edf", "csv", "npz", "hea")


def npz_bytes(signal_CT: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, array=signal_CT, sample_rate=500, unit="mV", leads=STANDARD)
    return buffer.getvalue()


def good(folder: Path, ending: str) -> Path:
    """A recording that can be read; the path of the file whose contents matter."""
    signal = beats(seconds=1)
    path = folder / f"good.{ending}"
    if ending == "hea":
        return write_wfdb(folder, signal, STANDARD, name="good").with_suffix(".dat")
    content = {
        "dcm": lambda: dicom_bytes(signal, STANDARD),
        "edf": lambda: edf_bytes(signal, STANDARD),
        "csv": lambda: csv_text(signal, STANDARD).encode(),
        "npz": lambda: npz_bytes(signal),
    }[ending]()
    path.write_bytes(content)
    return path


def refused(path: Path | str, words: str = "") -> None:
    with pytest.raises(InputError, match=words) as caught:
        load(path)
    assert Path(path).stem.replace("\0", "") in str(caught.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, ending: str) -> None:
    path = good(tmp_path, ending)
    data = path.read_bytes()
    whole = load(path)
    for cut in {1, 100, 131, 140, 300, len(data) // 3, len(data) // 2, len(data) - 100, len(data) - 3}:
        path.write_bytes(data[:cut])
        if ending == "csv" and cut > 300:  # only a row that lost a field can be told
            line = data[:cut].rsplit(b"\n", 1)[1]
            if line.count(b",") == 12 or not line:
                assert load(path).signal_CT.shape[1] <= whole.signal_CT.shape[1]
                continue
        refused(path)


@pytest.mark.parametrize("ending", [*ENDINGS, "npy", "bdf", "tsv", "dat", "xyz"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"garbage",
        b"\xff" * 5000,
        b"PK\x03\x04" + b"\x01" * 400,
        b"0       " * 40,
        bytes(128) + b"DICM\x08",
    ],
)
def test_wrong_contents_are_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"odd.{ending}"
    path.write_bytes(content)
    refused(path)


def test_contents_win_over_the_ending(tmp_path: Path) -> None:
    for ending, other in (("dcm", "edf"), ("edf", "csv"), ("npz", "dcm")):
        path = good(tmp_path, ending)
        moved = path.rename(path.with_suffix(f".{other}"))
        assert load(moved).leads == STANDARD


def test_what_is_no_file(tmp_path: Path) -> None:
    os.symlink(tmp_path / "loop.edf", tmp_path / "loop.edf")
    os.symlink(tmp_path / "nowhere.edf", tmp_path / "dangling.edf")
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "folder.dcm").mkdir()
    for name, words in (
        ("loop.edf", "cannot be read"), ("dangling.edf", "no ECG"), ("pipe.dcm", "pipe"), ("folder.dcm", "folder"),
        ("absent.csv", "no ECG"), ("a" * 300 + ".csv", "cannot be read"), ("n\0", "cannot be read"),
    ):  # fmt: skip
        refused(f"{tmp_path}/{name}", words)
    refused("https://there.org/good.dcm", "address")
    with pytest.raises(InputError, match="device"):
        load("/dev/zero")
    with pytest.raises(InputError, match="text, not bytes|bytes"):
        load(b"")


@pytest.mark.parametrize("ending", ["dcm", "hea"])
def test_no_permission(tmp_path: Path, ending: str) -> None:
    path = good(tmp_path, ending)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(0o755)
        os.seteuid(65534)  # root may read everything
    try:
        refused(path)
    finally:
        os.seteuid(user)


def test_through_a_slot_the_message_names_slot_and_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.dcm"
    path.write_bytes(b"nothing")
    loader = SlotLoader("heart", modality="ecg")
    with pytest.raises(InputError, match="heart.*broken.dcm"):
        loader(str(path))
    assert loader(good(tmp_path, "edf")).leads == STANDARD
    np.save(tmp_path / "bare.npy", beats())
    given = SlotLoader("heart", modality="ecg", options=dict(sample_rate=500, unit="mV", leads="standard"))
    assert given(str(tmp_path / "bare.npy")).sample_rate == 500
    with pytest.raises(InputError, match="bare.npy.*without names"):
        loader(str(tmp_path / "bare.npy"))


def edf_with(place: int, text: str) -> bytes:
    data = bytearray(edf_bytes(beats(("I", "II"), seconds=2), ("I", "II")))
    data[place : place + 8] = text.ljust(8)[:8].encode("ascii")
    return bytes(data)


@pytest.mark.parametrize(
    ("place", "text", "words"),
    [
        (236, "99999999", "truncated.*99999999 records"),
        (236, "1", "longer than its header"),
        (236, "zwei", "number of records.*damaged"),
        (244, "0", "rate is not known"),
        (244, "nan", "rate is not known"),
        (244, "1e5", "rate|lasts"),
        (248, "    9999", "signals.*cut off"),
        (248, "      -3", "signals"),
        (256 + 2 * 216, "99999999", "truncated|samples|lasts"),
        (256 + 2 * 216, "0", "longer|truncated|different|rate"),
        (256 + 2 * 104, "10000", "Signal 'I'.*empty range"),
    ],
)
def test_edf_headers_that_lie(place: int, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(edf_with(place, text))


def test_edf_that_was_interrupted_and_bdf() -> None:
    signal = beats(("II",), seconds=3)
    with_gap = edfio.Edf(
        [edfio.EdfSignal(signal[0], 500, label="II", physical_dimension="mV", physical_range=(-5, 5))],
        annotations=[edfio.EdfAnnotation(0.1, None, "x")], data_record_duration=1,
    )  # fmt: skip
    buffer = io.BytesIO()
    with_gap.write(buffer)
    data = buffer.getvalue()
    assert load(data).leads == ("II",)
    assert b"+2\x14\x14" in data
    with pytest.raises(InputError, match="interrupted"):
        load(data.replace(b"+2\x14\x14", b"+7\x14\x14"))
    bdf = edfio.Bdf([edfio.BdfSignal(signal[0], 500, label="II", physical_dimension="mV", physical_range=(-5, 5))])
    buffer = io.BytesIO()
    bdf.write(buffer)
    np.testing.assert_allclose(load(buffer.getvalue()).signal_CT[0], signal[0], atol=1e-5)


def dicom_with(change: Callable[[pydicom.Dataset], object]) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(beats(seconds=1), STANDARD)))
    change(dataset)
    return saved(dataset)


def put(name: str, value: object) -> Callable[[pydicom.Dataset], object]:
    return lambda dataset: setattr(dataset.WaveformSequence[0], name, value)


def channel(name: str, value: object) -> Callable[[pydicom.Dataset], object]:
    def change(dataset: pydicom.Dataset) -> None:
        item = dataset.WaveformSequence[0].ChannelDefinitionSequence[4]
        delattr(item, name) if value is None else setattr(item, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda dataset: delattr(dataset, "WaveformSequence"), "no waveform"),
        (put("NumberOfWaveformSamples", 4_000_000_000), "announces|lasts"),
        (put("NumberOfWaveformSamples", 501), "truncated.*501"),
        (put("NumberOfWaveformChannels", 60_000), "60000 channels"),
        (put("NumberOfWaveformChannels", 0), "0 channels"),
        (put("NumberOfWaveformChannels", 8), "8 channels and describes 12"),
        (put("SamplingFrequency", 0), "sampling rate"),
        (put("WaveformBitsAllocated", 8), "8 bits called 'SS'"),
        (put("WaveformSampleInterpretation", "MB"), "cannot be read"),
        (put("WaveformData", b""), "truncated"),
        (put("WaveformOriginality", "DERIVED"), "only derived.*group=0"),
        (channel("ChannelSensitivity", None), "no sensitivity"),
        (channel("ChannelSensitivityUnitsSequence", None), "no unit"),
        (channel("ChannelSourceSequence", None), "channel 4.*no known lead"),
        (lambda dataset: dataset.WaveformSequence.append(dataset.WaveformSequence[0]), "2 groups.*group=0"),
    ],
)
def test_dicom_that_lacks_or_lies(change: Callable, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(dicom_with(change))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("r1 999999 500 500", "announces 999999 signals"),
        ("r1 12 500 999999999999", "truncated|announces|lasts"),
        ("r1 12 1e-9 500", "rate|lasts"),
        ("r1/3 12 500 500", "several segments"),
        ("r1 12 500 500" + "\n# " * 600_000, "does not have a header of text"),
        ("r1", "no record line"),
    ],
)
def test_wfdb_headers_that_lie(tmp_path: Path, line: str, words: str) -> None:
    header = write_wfdb(tmp_path, beats(seconds=1), STANDARD)
    lines = header.read_text().split("\n")
    header.write_text("\n".join([line, *lines[1:]]))
    refused(header, words)


@pytest.mark.parametrize("form", ["508", "516", "999", "x"])
def test_a_codec_of_wfdb_that_is_not_there(tmp_path: Path, form: str) -> None:
    """Signals that are called FLAC, or of a number that no format has."""
    header = write_wfdb(tmp_path, beats(seconds=1), STANDARD)
    header.write_text(header.read_text().replace(".dat 16 ", f".dat {form} "))
    refused(header, "cannot be read")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.3.4"])
def test_a_transfer_syntax_that_is_not_there(syntax: str) -> None:
    """Waveforms are never compressed: a file that says so is read to the same values, or refused."""
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(beats(seconds=1), STANDARD)))
    dataset.file_meta.TransferSyntaxUID = syntax
    try:
        ecg = load(saved(dataset))
    except InputError as error:
        assert "ECG" in str(error)
    else:
        assert torch.equal(ecg.signal_CT, load(dicom_bytes(beats(seconds=1), STANDARD)).signal_CT)


def test_dicom_padding_is_masked() -> None:
    def change(dataset: pydicom.Dataset) -> None:
        group = dataset.WaveformSequence[0]
        stored = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12).copy()
        stored[100:200, 7] = -32768
        group.WaveformData = stored.tobytes()
        group.add_new((0x5400, 0x100A), "OW", struct.pack("<h", -32768))

    valid = load(dicom_with(change)).valid_CT
    assert valid.sum() == 12 * 500 - 100 and not valid[7, 100:200].any()


def test_dicom_codes_and_names_must_agree() -> None:
    def change(dataset: pydicom.Dataset) -> None:
        source = dataset.WaveformSequence[0].ChannelDefinitionSequence[0].ChannelSourceSequence[0]
        source.CodingSchemeDesignator, source.CodeValue = "SCPECG", "5.6.3-9-2"

    with pytest.raises(InputError, match="coded as II and called 'Lead I'"):
        load(dicom_with(change))


def npy(header: str, payload: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + payload


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (12, 1000000000000)}"), "announces"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (12, -5)}"), "cannot be read|samples|shape"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (12,)}", b"\x80\x04N."), "objects.*not unpickled"),
        (npy("{'descr': '<U9', 'fortran_order': False, 'shape': (1,)}", b"\0" * 36), "numbers"),
        (npy("__import__('os').getcwd()"), "cannot be read"),
    ],
)
def test_numpy_headers_that_lie(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load(data, sample_rate=500, unit="mV", leads="standard")


def test_an_archive_of_zeros_is_not_unpacked() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("array.npy", npy("{'descr': '<f8', 'fortran_order': False, 'shape': (12, 99)}"))
    data = bytearray(buffer.getvalue())
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 0xF0000000)  # the announced size
    with pytest.raises(InputError, match="bytes of 'array'"):
        load(bytes(data))


def survives(value: object) -> bool:
    """True if it was read: then to finite numbers with a mask that fits."""
    try:
        ecg = load(value)
    except InputError:
        return False
    assert (
        isinstance(ecg, Ecg) and bool(torch.isfinite(ecg.signal_CT).all()) and ecg.valid_CT.shape == ecg.signal_CT.shape
    )
    return True


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_thousands_of_damaged_files(tmp_path: Path, ending: str) -> None:
    """Single bytes and stretches changed anywhere, most often in the header."""
    path = good(tmp_path, ending)
    targets = [path, path.with_suffix(".hea")] if ending == "hea" else [path]
    generator = np.random.default_rng(0)
    read = 0
    for round_ in range(1500):
        target = targets[round_ % len(targets)]
        original = target.read_bytes()
        data = bytearray(original)
        reach = len(data) if round_ % 3 == 0 else min(len(data), 4000)
        for _ in range(generator.integers(1, 6)):
            place, length = int(generator.integers(reach)), int(generator.integers(1, 9))
            data[place : place + length] = generator.integers(
                0, 256, len(data[place : place + length]), np.uint8
            ).tobytes()
        target.write_bytes(data)
        read += survives(path)
        target.write_bytes(original)
    assert read < 1500 and survives(path)


def test_eight_of_twelve_in_a_file(tmp_path: Path) -> None:
    ecg = load(write_wfdb(tmp_path, beats(EIGHT), EIGHT))
    assert ecg.leads == STANDARD and len(ecg.derived) == 4
