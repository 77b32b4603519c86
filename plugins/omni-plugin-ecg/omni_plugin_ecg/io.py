"""Reads electrocardiograms: WFDB, DICOM, EDF, CSV, NumPy, arrays; always gives leads by name in millivolts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from omni.errors import InputError
from omni_plugin_ecg import arrays, dicom, edf, table, wfdb_reader
from omni_plugin_ecg.assemble import assemble
from omni_plugin_ecg.files import KINDS, checked_path, kind_of, read_bytes
from omni_plugin_ecg.leads import LIMB
from omni_plugin_ecg.recording import MOST_SECONDS, PLAUSIBLE_MV, Ecg, Options, Raw, make_options

READERS = {"dicom": dicom.read, "edf": edf.read, "csv": table.read, "numpy": arrays.read}


def load(
    value: Any,
    *,
    sample_rate: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | str | None = None,
    rename: Mapping[str, str | None] | None = None,
    nan: str = "refuse",
    derive: bool = True,
    plausible_mv: tuple[float, float] | None = PLAUSIBLE_MV,
    check_limb_leads: bool = True,
    verify: bool = True,
    group: int | None = None,
    max_seconds: float = MOST_SECONDS,
) -> Ecg:
    """One electrocardiogram in millivolts.

    Rate, unit and names come from the file; where it does not say them they must be given, and where both say something
    different it is an error. Channels of other kinds (breathing, EEG, markers) are left out.

    Args:
        value: a path of WFDB (its header, its signal file, or the record's name without an ending), DICOM, EDF, BDF,
            CSV, TSV, .npy or .npz; the bytes of such a file (not WFDB: it is two files); an array (T,), (leads, T) or
            (T, leads); ``{"array": ..., "sample_rate": ..., "unit": ..., "leads": ..., "valid": ...}``; or an Ecg.
        sample_rate: in Hz, where the file does not say it.
        unit: "mV", "uV", "V" or "nV", where the file does not say it.
        leads: names of the leads in the order of the data where the file has none; "standard" = the usual twelve.
        rename: the file's name -> the lead that it is, or None to leave that channel out.
        nan: "refuse", or "mask": NaN and empty fields mean that nothing was recorded.
        derive: compute limb leads that are missing from two that are there.
        plausible_mv: the largest lead's swing within two seconds must lie in this range; None = no check.
        check_limb_leads: limb leads must fit each other.
        verify: the checksums of WFDB headers must be right.
        group: which multiplex group of a DICOM file; None = the original one with the most leads.
        max_seconds: longer recordings are refused, before they are decoded where the file says its length.

    Raises:
        InputError: missing, damaged, truncated or unknown file; anything above that is not said or contradicts; what
            cannot be an ECG. The message names the file.
    """
    if isinstance(value, Ecg):
        return value
    options = make_options(
        sample_rate=sample_rate,
        unit=unit,
        leads=leads,
        rename=rename,
        nan=nan,
        derive=derive,
        plausible_mv=plausible_mv,
        check_limb_leads=check_limb_leads,
        verify=verify,
        group=group,
        max_seconds=max_seconds,
    )
    return assemble(_read(value, options), options)


def read_statement(value: str | os.PathLike[str] | bytes) -> dicom.Statement:
    """What the device wrote into a DICOM file: measured intervals and axes, marked points, sentences.

    Raises:
        InputError: the file cannot be read, or is not DICOM.
    """
    if isinstance(value, bytes):
        return dicom.statement(value)
    path = checked_path(value)
    return dicom.statement(read_bytes(path), name=f"ECG {str(path)!r}")


def _read(value: Any, options: Options) -> Raw:
    if isinstance(value, (bytes, bytearray, memoryview)):
        data, name = bytes(value), f"ECG of {len(value)} bytes"
        if not data:
            raise InputError(f"The {name} is empty; export it again.")
        return READERS[kind_of(data, suffix="", name=name)](data, options, name=name)
    if isinstance(value, (str, os.PathLike)):
        return _read_path(value, options)
    if isinstance(value, Mapping):
        shape = tuple(np.shape(value.get("array", ())))
        return arrays.from_mapping(value, options, name=f"ECG array of shape {shape}")
    if value is None or isinstance(value, (bool, int, float)):
        raise InputError(f"An ECG cannot be {value!r}; give a path, bytes or an array.")
    return arrays.from_array(value, options, name=f"ECG array of shape {tuple(np.shape(value))}")


def _read_path(value: str | os.PathLike[str], options: Options) -> Raw:
    text = os.fspath(value)
    if isinstance(text, str) and "://" not in text[:12] and not os.path.exists(text) and os.path.isfile(f"{text}.hea"):
        value = f"{text}.hea"  # a record is often named without an ending
    path = checked_path(value)
    suffix = path.suffix.lower()
    if KINDS.get(suffix) == "wfdb":
        header = wfdb_reader.header_of(path)
        if suffix != ".hea" and not header.is_file():
            raise InputError(
                f"ECG {str(path)!r} has no header {header.name!r} beside it, so nothing is known of its numbers."
            )
        return wfdb_reader.read(checked_path(header), options)
    data, name = read_bytes(path), f"ECG {str(path)!r}"
    return READERS[kind_of(data, suffix=suffix, name=name)](data, options, name=name)


def sample(variant: str = "typical") -> Ecg:
    """Heartbeats made by a formula: "typical" 2 s of twelve leads at 500 Hz, "minimum" 0.5 s of lead II, "other" 2.6 s
    of six leads at 360 Hz, with a stretch that was not recorded."""
    kinds: dict[str, tuple[float, float, tuple[str, ...], float]] = {
        "typical": (2.0, 500.0, (*LIMB, "V1", "V2", "V3", "V4", "V5", "V6"), 72.0),
        "minimum": (0.5, 500.0, ("II",), 120.0),
        "other": (2.6, 360.0, ("I", "II", "III", "V1", "V4", "V6"), 95.0),
    }
    if variant not in kinds:
        raise InputError(f"Unknown sample {variant!r}; there are {', '.join(kinds)}.")
    seconds, rate, names, beats = kinds[variant]
    signal_CT = synthetic(names, seconds=seconds, sample_rate=rate, beats_per_minute=beats)
    valid_CT = torch.ones(signal_CT.shape, dtype=torch.bool)
    if variant == "other":
        valid_CT[names.index("V4"), 100:420] = False
    return Ecg(
        signal_CT=signal_CT * valid_CT, valid_CT=valid_CT, leads=names, sample_rate=rate, source=f"sample {variant!r}"
    )


# Heights in mV of P, Q, R, S and T in I, II and V1 to V6, roughly as in a healthy adult; the other limb leads follow.
_HEIGHTS = {
    "I": (0.08, -0.05, 0.6, -0.10, 0.20), "II": (0.12, -0.08, 1.0, -0.15, 0.28), "V1": (0.05, 0.0, 0.2, -0.9, -0.05),
    "V2": (0.06, 0.0, 0.4, -1.3, 0.35), "V3": (0.06, -0.02, 0.8, -0.8, 0.40), "V4": (0.07, -0.06, 1.4, -0.4, 0.40),
    "V5": (0.07, -0.08, 1.3, -0.2, 0.30), "V6": (0.07, -0.08, 1.0, -0.1, 0.25),
}  # fmt: skip
_TIMES_S = (-0.16, -0.035, 0.0, 0.03, 0.28)
_WIDTHS_S = (0.022, 0.009, 0.011, 0.010, 0.045)


def synthetic(
    names: Sequence[str], *, seconds: float, sample_rate: float, beats_per_minute: float = 72.0
) -> torch.Tensor:
    """Regular beats, each of five Gaussian waves; synthetic, for tests and examples.

    Args:
        names: of the leads: the six limb leads, V1 to V6.
        seconds, sample_rate: length and rate (Hz).
        beats_per_minute: of the heart; the first R peak is at 0.25 s.

    Returns:
        (C, T) float32 in mV; the limb leads obey Einthoven's law.
    """
    unknown = [name for name in names if name not in LIMB and name not in _HEIGHTS]
    if unknown:
        raise InputError(f"There is no synthetic lead {unknown[0]!r}; known are the limb leads and V1 to V6.")
    time_T = np.arange(round(seconds * sample_rate)) / sample_rate
    step = 60.0 / beats_per_minute
    peaks = np.arange(0.25 - step, seconds + step, step)
    waves = [
        np.exp(-0.5 * ((time_T[None] - peaks[:, None] - shift) / width) ** 2).sum(0)
        for shift, width in zip(_TIMES_S, _WIDTHS_S, strict=True)
    ]
    base = {
        lead: sum(height * wave for height, wave in zip(heights, waves, strict=True))
        for lead, heights in _HEIGHTS.items()
    }
    rows = [LIMB[name][0] * base["I"] + LIMB[name][1] * base["II"] if name in LIMB else base[name] for name in names]
    return torch.from_numpy(np.stack(rows).astype(np.float32))
