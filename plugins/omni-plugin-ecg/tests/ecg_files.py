"""Makes small recordings in every format, for the tests."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import edfio
import numpy as np
import wfdb
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from omni_plugin_ecg.io import synthetic
from omni_plugin_ecg.leads import STANDARD

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
TWELVE_LEAD_ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
MICROVOLTS_A_STEP = 2.5


def beats(names: tuple[str, ...] = STANDARD, *, rate: float = 500.0, seconds: float = 3.0) -> np.ndarray:
    """(C, T) in mV, a little noisy, deterministic."""
    noise = np.random.default_rng(7).normal(0, 0.004, (len(names), round(rate * seconds)))
    return synthetic(names, seconds=seconds, sample_rate=rate).numpy().astype(np.float64) + noise


def write_wfdb(
    folder: Path, signal_CT: np.ndarray, names: tuple[str, ...], *, name: str = "r1", rate: float = 500,
    fmt: str = "16", unit: str = "mV",
) -> Path:  # fmt: skip
    """A record with 1000 steps a millivolt; the path of its header."""
    count = len(names)
    wfdb.wrsamp(
        name, fs=rate, units=[unit] * count, sig_name=list(names), p_signal=np.asarray(signal_CT).T, fmt=[fmt] * count,
        adc_gain=[1000.0 if fmt != "212" else 200.0] * count, baseline=[0] * count, write_dir=str(folder),
    )  # fmt: skip
    return folder / f"{name}.hea"


def dicom_bytes(signal_CT: np.ndarray, names: tuple[str, ...], *, rate: float | None = 500, unit: str = "uV") -> bytes:
    """A 12-lead ECG object with steps of 2.5 uV, whose leads are told by their labels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = TWELVE_LEAD_ECG, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.Modality, dataset.PatientName = TWELVE_LEAD_ECG, "ECG", "Somebody^Private"
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = signal_CT.shape
    if rate is not None:
        group.SamplingFrequency = rate
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.ChannelDefinitionSequence = [_channel(name, unit) for name in names]
    stored = np.round(signal_CT.T * 1000 / MICROVOLTS_A_STEP).astype("<i2")
    group.WaveformData = stored.tobytes()
    dataset.WaveformSequence = [group]
    return saved(dataset)


def _channel(name: str, unit: str) -> Dataset:
    channel, source, units = Dataset(), Dataset(), Dataset()
    source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = "x", "99TEST", f"Lead {name}"
    units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", unit
    channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = [source], [units]
    channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = MICROVOLTS_A_STEP, 1
    channel.ChannelBaseline, channel.WaveformBitsStored = 0, 16
    return channel


def saved(dataset: Dataset) -> bytes:
    """A data set as the bytes of a file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def edf_bytes(
    signal_CT: np.ndarray, names: tuple[str, ...], *, rate: float = 500, unit: str = "uV", scale: float = 1000.0
) -> bytes:
    """An EDF file of physical range +-10 mV."""
    signals = [
        edfio.EdfSignal(
            row * scale, rate, label=name, physical_dimension=unit, physical_range=(-10 * scale, 10 * scale)
        )
        for row, name in zip(signal_CT, names, strict=True)
    ]
    buffer = io.BytesIO()
    edfio.Edf(signals, recording=edfio.Recording(startdate=date(2020, 1, 2)), data_record_duration=1).write(buffer)
    return buffer.getvalue()


def csv_text(signal_CT: np.ndarray, names: tuple[str, ...], *, rate: float = 500, unit: str = "mV") -> str:
    """A table with times in seconds and units in its header."""
    head = ["time [s]", *(f"{name} [{unit}]" for name in names)]
    rows = [",".join(head)]
    rows += [f"{t / rate:.4f}," + ",".join(f"{v:.5f}" for v in column) for t, column in enumerate(signal_CT.T)]
    return "\n".join(rows) + "\n"
