"""WFDB records (PhysioNet): a header and its signal files, read by the package wfdb and checked against the header."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from omni.errors import InputError
from omni_plugin_ecg.files import checked_path, read_bytes
from omni_plugin_ecg.recording import Options, Raw

MOST_HEADER_BYTES = 1 << 20
_BYTES_A_SAMPLE = {
    "8": Fraction(1), "16": Fraction(2), "24": Fraction(3), "32": Fraction(4), "61": Fraction(2), "80": Fraction(1),
    "160": Fraction(2), "212": Fraction(3, 2), "310": Fraction(4, 3), "311": Fraction(4, 3),
}  # fmt: skip
_NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_GAIN = re.compile(rf"^({_NUMBER})(?:\([-+]?\d+\))?(?:/(\S+))?$")
_FORMAT = re.compile(r"^(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?$")


@dataclass(frozen=True, kw_only=True)
class _Signal:
    """What a header's line says of one signal."""

    file: str
    format: str
    samples_per_frame: int
    offset: int
    unit: str | None


@dataclass(frozen=True, kw_only=True)
class _Header:
    rate: float | None
    frames: int | None
    signals: tuple[_Signal, ...]


def header_of(path: Path) -> Path:
    """The header of a record that is named by its header, its signal file, or its name without an ending."""
    return path if path.suffix == ".hea" else path.with_suffix(".hea") if path.suffix else Path(f"{path}.hea")


def read(path: Path, options: Options) -> Raw:
    """A single-segment record.

    Args:
        path: of its header, as checked_path gives it.
        options: of the loader.

    Raises:
        InputError: not a header, several segments, a signal file that is missing, elsewhere, cut off or damaged (its
            checksum is wrong), or a signal without a gain.
    """
    name = f"WFDB record {str(path)!r}"
    header = _parse(path, name)
    folder = path.parent
    for file in {signal.file for signal in header.signals}:
        _check_file(folder / file, header, options, name)
    record = _decode(path, name)
    if options.verify:
        _verify(record, name)
    try:
        physical = record.dac(expanded=True)
    except Exception as error:
        raise InputError(f"The {name} cannot be converted to its unit: {error}.") from error
    channels = [np.asarray(channel, dtype=np.float64) for channel in physical]
    rates = [None if header.rate is None else header.rate * s.samples_per_frame for s in header.signals]
    names = record.sig_name if all(record.sig_name) else None
    return Raw(
        channels=channels,
        names=names,
        units=[signal.unit for signal in header.signals],
        rates=rates,
        valid=[~np.isnan(channel) for channel in channels],  # a format's mark of "nothing recorded"
        source=name,
    )


def _parse(path: Path, name: str) -> _Header:
    """The fields that the package fills in with defaults where they are missing, which is not wanted here."""
    data = read_bytes(path)
    if len(data) > MOST_HEADER_BYTES or b"\x00" in data:
        raise InputError(f"The {name} does not have a header of text; copy it again.")
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    fields = lines[0].split() if lines else []
    if len(fields) < 2 or not fields[1].isdigit():
        raise InputError(f"The {name} has no record line (name, number of signals, rate); copy it again.")
    if "/" in fields[0]:
        raise InputError(f"The {name} has several segments; give the header of one of them.")
    count = int(fields[1])
    rate = float(fields[2].split("/")[0].split("(")[0]) if len(fields) > 2 and _is_number(fields[2]) else None
    frames = int(fields[3]) if len(fields) > 3 and fields[3].isdigit() else None
    if len(lines) - 1 < count or count < 1:
        raise InputError(f"The {name} announces {count} signals and describes {len(lines) - 1}; copy it again.")
    return _Header(
        rate=rate, frames=frames or None, signals=tuple(_signal(line, name) for line in lines[1 : count + 1])
    )


def _is_number(text: str) -> bool:
    return re.match(rf"^{_NUMBER}(?:[/(].*)?$", text) is not None


def _signal(line: str, name: str) -> _Signal:
    fields = line.split()
    form = _FORMAT.match(fields[1]) if len(fields) > 1 else None
    if form is None:
        raise InputError(f"The {name} has a signal line that cannot be read: {line[:80]!r}.")
    file = fields[0]
    if Path(file).name != file or file in ("-", "~", ".", "..") or "\\" in file or ":" in file:
        raise InputError(f"The {name} names a signal file elsewhere ({file!r}); only files beside the header are read.")
    gain = _GAIN.match(fields[2]) if len(fields) > 2 else None
    if gain is None or float(gain[1]) == 0:
        raise InputError(f"The {name} has a signal without a gain, so its voltage is not known: {line[:80]!r}.")
    return _Signal(
        file=file,
        format=form[1],
        samples_per_frame=int(form[2] or 1),
        offset=int(form[4] or 0),
        unit=gain[2],
    )


def _check_file(path: Path, header: _Header, options: Options, name: str) -> None:
    """The signal file is there and as long as the header says."""
    size = checked_path(path).stat().st_size
    signals = [signal for signal in header.signals if signal.file == path.name]
    frame = sum(signal.samples_per_frame for signal in signals)
    a_sample = _BYTES_A_SAMPLE.get(signals[0].format)
    frames = header.frames
    if a_sample is not None and frame:
        held = (size - max(signal.offset for signal in signals)) / a_sample / frame
        if frames is not None and held < frames:
            raise InputError(
                f"The {name} is truncated: its header announces {frames} samples a signal, {path.name!r} holds "
                f"{max(0, int(held))}; copy it again."
            )
        frames = frames if frames is not None else int(held)
    options.check_size(channels=len(header.signals), samples=frames or 0, rate=header.rate, name=name)


def _decode(path: Path, name: str) -> Any:
    import wfdb

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return wfdb.rdrecord(str(path.with_suffix("")), physical=False, smooth_frames=False, return_res=64)
    except Exception as error:  # the package's errors have no common type; all mean that the record cannot be read
        raise InputError(f"The {name} cannot be read: {type(error).__name__}: {error}.") from error


def _verify(record: Any, name: str) -> None:
    """The header's checksums are the signals' sums modulo 65536."""
    found = record.calc_checksum(expanded=True)
    for lead, ours, theirs in zip(record.sig_name, found, record.checksum, strict=True):
        if theirs is not None and (int(ours) - int(theirs)) % 65536:
            raise InputError(
                f"The {name} is damaged: the checksum of {lead!r} is {ours}, its header says {theirs % 65536}. Copy it "
                "again (or, if the header is known to be wrong, use the loader's option verify=False)."
            )
