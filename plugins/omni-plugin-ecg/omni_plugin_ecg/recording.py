"""What readers find (Raw), what the user adds (Options), and what the transforms take (Ecg)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from omni.errors import InputError
from omni_plugin_ecg.leads import LEADS, STANDARD

MOST_SECONDS = 3600.0
LEAST_SECONDS = 0.5
MOST_CHANNELS = 512
MOST_VALUES = 1 << 28  # samples of all channels together: 2 GiB in double precision
RATES = (20.0, 100_000.0)
PLAUSIBLE_MV = (0.03, 20.0)

_MILLIVOLTS = {
    "v": 1e3, "volt": 1e3, "volts": 1e3, "mv": 1.0, "millivolt": 1.0, "millivolts": 1.0,
    "uv": 1e-3, "microvolt": 1e-3, "microvolts": 1e-3, "nv": 1e-6, "nanovolt": 1e-6, "nanovolts": 1e-6,
}  # fmt: skip


def millivolts(unit: str) -> float | None:
    """How many millivolts the unit is, or None where it is no voltage. Both Unicode letters for micro are known."""
    return _MILLIVOLTS.get(unit.strip().lower().replace("\u00b5", "u").replace("\u03bc", "u"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Ecg:
    """An electrocardiogram in millivolts.

    Attributes:
        signal_CT: float32, mV; zero where nothing was recorded.
        valid_CT: bool, True = recorded. Every lead has at least one such sample.
        leads: the name of each row, of omni_plugin_ecg.leads.LEADS, in that order.
        sample_rate: Hz.
        derived: leads that were computed from others.
        flat: leads that the file holds as a constant (an electrode that was off); they are left out of ``leads``.
        source: what error messages call it.
    """

    signal_CT: Tensor
    valid_CT: Tensor
    leads: tuple[str, ...]
    sample_rate: float
    derived: tuple[str, ...] = ()
    flat: tuple[str, ...] = ()
    source: str = "ECG"

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.signal_CT.shape[1] / self.sample_rate

    def preview(self) -> np.ndarray:
        """The leads as curves: ``signal_CT`` as numpy's."""
        return self.signal_CT.numpy()


@dataclass(frozen=True, kw_only=True, eq=False)
class Raw:
    """What a reader found, unchecked.

    Attributes:
        channels: one float64 array a channel, in the channel's unit; NaN where nothing was recorded, if the format says
            so (then ``valid`` says where).
        names: the file's names of the channels, or None.
        units: the file's units, None where it says none.
        rates: of each channel in Hz, None where the file says none.
        valid: one bool array a channel, or None where the format has no such mark.
        source: what error messages call it.
    """

    channels: Sequence[np.ndarray]
    names: Sequence[str] | None
    units: Sequence[str | None]
    rates: Sequence[float | None]
    valid: Sequence[np.ndarray] | None = None
    source: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """The loader's options; see omni_plugin_ecg.io.load."""

    sample_rate: float | None = None
    unit: str | None = None
    leads: tuple[str, ...] | None = None
    rename: Mapping[str, str | None] | None = None
    nan: str = "refuse"
    derive: bool = True
    plausible_mv: tuple[float, float] | None = PLAUSIBLE_MV
    check_limb_leads: bool = True
    verify: bool = True
    group: int | None = None
    max_seconds: float = MOST_SECONDS

    def check_size(self, *, channels: int, samples: float, rate: float | None, name: str) -> None:
        """Refuse before anything is decoded: a header of a few bytes can announce days of signal.

        Raises:
            InputError: too many channels, or too long.
        """
        if not 1 <= channels <= MOST_CHANNELS:
            raise InputError(f"The {name} announces {channels} channels; 1 to {MOST_CHANNELS} are read.")
        rate = rate or self.sample_rate or RATES[1]
        if math.isfinite(samples) and channels * samples > MOST_VALUES:
            raise InputError(f"The {name} announces {channels} channels of {samples:.0f} samples; cut it into pieces.")
        if not math.isfinite(samples) or samples > self.max_seconds * rate:
            raise InputError(
                f"The {name} lasts {samples / rate:.0f} s, more than {self.max_seconds:g} s; cut it, or raise the "
                "loader's max_seconds if the file can be trusted."
            )


def make_options(**given: Any) -> Options:
    """Options from the loader's keyword arguments.

    Raises:
        InputError: an option that cannot be meant.
    """
    rate, unit, leads = given.get("sample_rate"), given.get("unit"), given.get("leads")
    if rate is not None:
        given["sample_rate"] = checked_rate(rate, "The sample_rate that was given")
    if unit is not None and (not isinstance(unit, str) or millivolts(unit) is None):
        raise InputError(f"unit={unit!r} is no voltage; give 'mV', 'uV' or 'V'.")
    if isinstance(leads, str):
        if leads != "standard":
            raise InputError(f"leads={leads!r}: give a list of names, or 'standard' for {', '.join(STANDARD)}.")
        given["leads"] = STANDARD
    elif leads is not None:
        given["leads"] = tuple(str(name) for name in leads)
    if given.get("nan", "refuse") not in ("refuse", "mask"):
        raise InputError(f"nan={given['nan']!r}: give 'refuse' or 'mask'.")
    bounds = given.get("plausible_mv")
    if bounds is not None:
        low, high = (float(bound) for bound in bounds)
        if not 0 <= low < high:
            raise InputError(f"plausible_mv={bounds!r}: give (lowest, highest) in mV, or None for no check.")
        given["plausible_mv"] = (low, high)
    return Options(**given)


def checked_rate(rate: Any, what: str) -> float:
    """A rate in Hz as a float.

    Raises:
        InputError: no number, or outside of 20 Hz to 100 kHz.
    """
    try:
        value = math.nan if isinstance(rate, bool) else float(rate)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not RATES[0] <= value <= RATES[1]:
        raise InputError(f"{what} is {rate!r}; a rate in Hz from {RATES[0]:g} to {RATES[1]:g} is needed.")
    return value


def known_leads() -> str:
    """For messages."""
    return ", ".join(LEADS)
