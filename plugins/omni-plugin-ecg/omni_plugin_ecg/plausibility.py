"""Whether numbers can be an ECG in millivolts at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from omni.errors import InputError
from omni_plugin_ecg.leads import LIMB, combination

WINDOW_SECONDS = 2.0  # holds a beat at 30 beats a minute, and little of the baseline's drift
CONTRADICTION = 0.7  # of the lead's own deviation; a lead upside down gives 2, noise and rounding below 0.2
LEAST_CONTRADICTION_MV = 0.05
OTHER_UNITS = ((1e3, "V"), (1e-3, "uV"), (1e-6, "nV"))


def swing(signal_T: np.ndarray, valid_T: np.ndarray, *, rate: float) -> float:
    """The median over windows of two seconds of the difference between largest and smallest value. Offset and slow
    drift hardly change it.

    Args:
        signal_T, valid_T: a lead and what of it was recorded.
        rate: Hz.

    Returns:
        In the signal's unit; 0 where nothing was recorded.
    """
    width = max(1, round(WINDOW_SECONDS * rate))
    whole = max(1, len(signal_T) // width)
    found = []
    for part, valid in zip(np.array_split(signal_T, whole), np.array_split(valid_T, whole), strict=True):
        if valid.any():
            found.append(np.ptp(part[valid]))
    return float(np.median(found)) if found else 0.0


def check_amplitude(
    signals: Sequence[tuple[np.ndarray, np.ndarray]], *, rate: float, bounds: tuple[float, float], name: str
) -> None:
    """Refuse what cannot be millivolts: a QRS complex is 0.3 to 8 mV high, so the largest lead's swing lies well within
    ``bounds`` (mV), and volts or microvolts that are called millivolts lie far outside.

    Raises:
        InputError: says which unit would fit.
    """
    largest = max(swing(signal, valid, rate=rate) for signal, valid in signals)
    low, high = bounds
    if low <= largest <= high:
        return
    guess = next((unit for factor, unit in OTHER_UNITS if low <= largest * factor <= high), None)
    hint = f"as if they were {guess} called mV; check the unit" if guess else "so it may be noise, or not an ECG"
    raise InputError(
        f"The {name} swings by {largest:.3g} mV in its largest lead; electrocardiograms lie between {low:g} and "
        f"{high:g} mV. The numbers look {hint}. (The loader's option plausible_mv=None switches this check off.)"
    )


def check_limb_leads(leads: Mapping[str, tuple[np.ndarray, np.ndarray]], *, name: str) -> None:
    """Refuse limb leads that cannot belong together: III = II - I and the like hold by the electrodes' geometry, so a
    large violation means wrong names, a wrong sign, or leads that were not recorded at one time.

    Args:
        leads: lead -> (mV, recorded).

    Raises:
        InputError: names the leads.
    """
    present = [lead for lead in LIMB if lead in leads]
    for lead in present[2:]:
        factors = combination(lead, present[:2])
        assert factors is not None
        parts = [leads[other] for other in factors]
        valid = np.logical_and.reduce([leads[lead][1], *(part[1] for part in parts)])
        if valid.sum() < 2:
            continue
        expected = sum(factor * part[0] for part, factor in zip(parts, factors.values(), strict=True))
        rest = float(np.std((leads[lead][0] - expected)[valid]))
        own = max(float(np.std(leads[lead][0][valid])), float(np.std(expected[valid])))
        if rest > max(CONTRADICTION * own, LEAST_CONTRADICTION_MV):
            formula = " ".join(f"{factor:+g} {other}" for other, factor in factors.items())
            raise InputError(
                f"In the {name} lead {lead} contradicts {' and '.join(factors)}: it should be {formula}, and differs "
                f"by {rest:.2g} mV (its own deviation is {own:.2g} mV). Leads are misnamed, upside down, or not of one "
                "time; use rename=, or check_limb_leads=False if that is known."
            )
