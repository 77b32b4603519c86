"""DICOM waveforms (PS3.3 C.10.9), read by pydicom. Nothing about the patient leaves this file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omni.errors import InputError
from omni_plugin_ecg.leads import SCP_NUMBERS, lead_of
from omni_plugin_ecg.recording import Options, Raw

_SAMPLE_BYTES = {"SS": 2, "US": 2, "SB": 1, "UB": 1, "SL": 4, "UL": 4}


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What the device wrote into the file.

    Attributes:
        measurements: name as in the file ("RR Interval", "QRS Axis") -> (value, unit).
        points: (name, sample number in the first waveform, from 1) of marked points ("QRS Onset"), in file order; of
            each group of annotations.
        text: sentences, as they are; free text may name people.
    """

    measurements: Mapping[str, tuple[float, str]]
    points: tuple[tuple[int, str, int], ...]
    text: tuple[str, ...]


def read(data: bytes, options: Options, *, name: str) -> Raw:
    """One multiplex group of a DICOM waveform, in the channels' own units.

    The group is ``options.group``, or the original (not averaged) group with the most leads, the longest first.

    Raises:
        InputError: not DICOM, without a waveform, cut off, uncalibrated, or with several groups to choose from.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # elements are converted, and complained about, when they are asked for
            dataset = _dataset(data, name)
            groups = list(dataset.get("WaveformSequence") or [])
            if not groups:
                kind = dataset.get("Modality") or "unknown"
                raise InputError(f"The {name} holds no waveform (its modality is {kind}); give an ECG.")
            return _group(dataset, _choose(groups, options, name), options, name)
    except InputError:
        raise
    except Exception as error:  # any element may be of another type than the standard says
        raise InputError(f"The {name} cannot be read: {type(error).__name__}: {error}.") from error


def statement(data: bytes, *, name: str = "DICOM file") -> Statement:
    """The device's measurements, marked points and text (C.10.10, Waveform Annotation).

    Raises:
        InputError: not DICOM, or damaged.
    """
    dataset = _dataset(data, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _statement(dataset.get("WaveformAnnotationSequence") or [])
    except Exception as error:  # any element may be of another type than the standard says
        raise InputError(f"The annotations of the {name} cannot be read: {type(error).__name__}: {error}.") from error


def _statement(items: Any) -> Statement:
    measurements: dict[str, tuple[float, str]] = {}
    points, text = [], []
    for item in items:
        concept = item.get("ConceptNameCodeSequence")
        label = str(concept[0].get("CodeMeaning", "")) if concept else ""
        if item.get("UnformattedTextValue"):
            text.append(str(item.UnformattedTextValue))
        values, places = (_as_list(item.get(key)) for key in ("NumericValue", "ReferencedSamplePositions"))
        if label and values:
            units = item.get("MeasurementUnitsCodeSequence")
            measurements[label] = (float(values[0]), str(units[0].get("CodeValue", "")) if units else "")
        group = int(item.get("AnnotationGroupNumber") or 0)
        points.extend((group, label, int(place)) for place in places if label)
    return Statement(measurements=measurements, points=tuple(points), text=tuple(text))


def _as_list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if hasattr(value, "__iter__") else [value]


def _dataset(data: bytes, name: str) -> Any:
    import pydicom

    try:
        return pydicom.dcmread(io.BytesIO(data))
    except Exception as error:  # a damaged file can raise anything here
        raise InputError(f"The {name} cannot be read as DICOM: {type(error).__name__}: {error}.") from error


def _choose(groups: list[Any], options: Options, name: str) -> int:
    if options.group is not None:
        if not 0 <= options.group < len(groups):
            raise InputError(f"The {name} has {len(groups)} groups of channels; group={options.group} is none of them.")
        return options.group
    size = {
        index: (int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples))
        for index, group in enumerate(groups)
        if group.get("WaveformOriginality", "ORIGINAL") == "ORIGINAL"
    }
    if not size:
        raise InputError(
            f"The {name} holds only derived waveforms (averages); choose one with the loader's option group=0."
        )
    best = max(size, key=lambda index: size[index])
    rivals = [index for index in size if index != best and size[index] == size[best]]
    if rivals:
        raise InputError(
            f"The {name} has {len(rivals) + 1} groups of {size[best][0]} channels; choose one with the loader's option "
            f"group={best}."
        )
    return best


def _group(dataset: Any, index: int, options: Options, name: str) -> Raw:
    import pydicom.waveforms

    group = dataset.WaveformSequence[index]
    count, samples = int(group.NumberOfWaveformChannels), int(group.NumberOfWaveformSamples)
    rate = float(group.SamplingFrequency) if group.get("SamplingFrequency") else None
    options.check_size(channels=count, samples=samples, rate=rate, name=name)
    wide = _SAMPLE_BYTES.get(str(group.WaveformSampleInterpretation), 0)
    if not wide or wide * 8 != int(group.WaveformBitsAllocated):
        raise InputError(
            f"The {name} has samples of {group.WaveformBitsAllocated} bits called "
            f"{group.WaveformSampleInterpretation!r}, which cannot be read; export it as 16-bit integers."
        )
    if len(group.get("WaveformData") or b"") < count * samples * wide:
        raise InputError(
            f"The {name} is truncated: it announces {samples} samples of {count} channels and holds "
            f"{len(group.get('WaveformData') or b'')} of {count * samples * wide} bytes; copy it again."
        )
    definitions = list(group.get("ChannelDefinitionSequence") or [])
    if len(definitions) != count:
        raise InputError(f"The {name} has {count} channels and describes {len(definitions)}; export it again.")
    stored_TC = pydicom.waveforms.multiplex_array(dataset, index, as_raw=True)
    scaled = [_scaled(stored_TC[:, number], channel, number, name) for number, channel in enumerate(definitions)]
    padding = group.get("WaveformPaddingValue")
    valid = None
    if padding is not None:
        mark = np.frombuffer(padding, stored_TC.dtype)[0] if isinstance(padding, bytes) else int(padding)
        valid = [stored_TC[:, number] != mark for number in range(count)]
    return Raw(
        channels=[values for values, _ in scaled],
        names=[_name(channel, number, name) for number, channel in enumerate(definitions)],
        units=[unit for _, unit in scaled],
        rates=[rate] * count,
        valid=valid,
        source=name,
    )


def _scaled(stored_T: np.ndarray, channel: Any, number: int, name: str) -> tuple[np.ndarray, str]:
    """(stored * sensitivity * correction + baseline, unit)."""
    sensitivity = channel.get("ChannelSensitivity")
    units = channel.get("ChannelSensitivityUnitsSequence")
    unit = str(units[0].get("CodeValue") or units[0].get("CodeMeaning") or "") if units else ""
    if sensitivity is None or float(sensitivity) == 0 or not unit:
        raise InputError(f"Channel {number} of the {name} has no sensitivity or no unit, so its voltage is not known.")
    correction = channel.get("ChannelSensitivityCorrectionFactor")
    factor = float(sensitivity) * (1.0 if correction is None else float(correction))
    return stored_T * factor + float(channel.get("ChannelBaseline") or 0.0), unit


def _name(channel: Any, number: int, name: str) -> str:
    """The lead by its code, by the code's meaning, or by the channel's label."""
    source = channel.get("ChannelSourceSequence")
    code = str(source[0].get("CodeValue") or "") if source else ""
    scheme = str(source[0].get("CodingSchemeDesignator") or "").upper() if source else ""
    meaning = str(source[0].get("CodeMeaning") or "") if source else ""
    by_code = None
    if scheme in ("SCPECG", "MDC"):
        last = code.replace(":", "-").split("-")[-1]
        by_code = SCP_NUMBERS.get(int(last)) if last.isdigit() else None
    by_meaning = lead_of(meaning)
    if by_code and by_meaning and by_meaning != (by_code, 1.0):
        raise InputError(
            f"Channel {number} of the {name} is coded as {by_code} and called {meaning!r}; export it again."
        )
    return (
        by_code or (meaning if by_meaning else "") or str(channel.get("ChannelLabel") or meaning or f"channel {number}")
    )
