"""EDF, EDF+ and BDF, read by edfio."""

from __future__ import annotations

import warnings

import numpy as np

from omni.errors import InputError
from omni_plugin_ecg.recording import Options, Raw

ANNOTATIONS = ("EDF Annotations", "BDF Annotations")


def read(data: bytes, options: Options, *, name: str) -> Raw:
    """All signals of the file in their own units; annotations are left out.

    Raises:
        InputError: a damaged header, cut off, interrupted (EDF+D), or a signal whose range is empty.
    """
    wide = 3 if data[:1] == b"\xff" else 2
    _check_size(data, wide, options, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read(data, wide, name)
    except InputError:
        raise
    except Exception as error:  # header fields are text that can hold anything
        raise InputError(f"The {name} cannot be read as EDF: {type(error).__name__}: {error}.") from error


def _read(data: bytes, wide: int, name: str) -> Raw:
    import edfio

    # BDF is decoded eagerly, from a stream only; EDF's signals are converted as they are asked for.
    file = (
        edfio.read_edf(data, header_encoding="latin-1")
        if wide == 2
        else edfio.read_bdf(data, header_encoding="latin-1")
    )
    if not file.is_continuous:
        raise InputError(
            f"The {name} was interrupted (EDF+D): its records do not follow each other; export one stretch."
        )
    signals = [signal for signal in file.signals if signal.label.strip() not in ANNOTATIONS]
    if not signals:
        raise InputError(f"The {name} holds annotations and no signal.")
    for signal in signals:
        if signal.digital_max <= signal.digital_min or signal.physical_max == signal.physical_min:
            raise InputError(f"Signal {signal.label!r} of the {name} has an empty range, so its unit is not known.")
    return Raw(
        channels=[np.asarray(signal.data, dtype=np.float64) for signal in signals],
        names=[signal.label.strip() for signal in signals],
        units=[signal.physical_dimension.strip() or None for signal in signals],
        rates=[float(signal.sampling_frequency) for signal in signals],
        source=name,
    )


def _check_size(data: bytes, wide: int, options: Options, name: str) -> None:
    """The numbers of the header against the bytes that there are."""
    if len(data) < 256:
        raise InputError(
            f"The {name} is truncated: its header alone needs 256 bytes, it has {len(data)}; copy it again."
        )
    count = _number(data[252:256], "number of signals", name)
    records = _number(data[236:244], "number of records", name)
    start = 256 * (count + 1)
    if count < 1 or len(data) < start:
        raise InputError(f"The {name} announces {count} signals, and its header is cut off; copy it again.")
    first = 256 + count * 216
    lengths = [_number(data[first + 8 * i : first + 8 * i + 8], "samples a record", name) for i in range(count)]
    record = wide * sum(lengths)
    if min(lengths) < 0 or record <= 0:
        raise InputError(f"The {name} announces signals without samples; export it again.")
    held = (len(data) - start) / record
    if records == -1 and held != int(held):
        raise InputError(f"The {name} was not closed by its recorder and its last record is cut off; export it again.")
    if records != -1 and held != records:
        what = "truncated" if held < records else "longer than its header says"
        raise InputError(f"The {name} is {what}: it announces {records} records and holds {held:.2f}; copy it again.")
    if held < 1:
        raise InputError(f"The {name} holds no signal; export it again.")
    options.check_size(channels=count, samples=held * max(lengths), rate=_rate(data, max(lengths), name), name=name)


def _rate(data: bytes, samples: int, name: str) -> float:
    try:
        seconds = float(data[244:252])
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise InputError(f"The {name} gives {data[244:252]!r} as the length of a record, so its rate is not known.")
    return samples / seconds


def _number(field: bytes, what: str, name: str) -> int:
    try:
        return int(field.decode("ascii").strip())
    except (UnicodeDecodeError, ValueError):
        raise InputError(f"The {name} gives {field!r} as its {what}; its header is damaged, copy it again.") from None
