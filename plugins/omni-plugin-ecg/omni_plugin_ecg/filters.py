"""Filters and resampling of leads with gaps; all zero-phase, so that no wave is moved in time."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from scipy import interpolate, ndimage, signal

MOST_RATIO = 10_000  # numerator and denominator of ratios for which one polyphase filter is made
SAME_RATIO = 1e-9  # relative; rounding of rates that are no binary fractions
OVERSAMPLING = 4
NOTCH_Q = 30.0
MEDIANS_SECONDS = (0.2, 0.6)  # longer than a QRS complex; longer than P to T (de Chazal et al. 2004)


def fill_gaps(signal_CT: np.ndarray, valid_CT: np.ndarray) -> np.ndarray:
    """A straight line across what was not recorded, so that filters do not ring at a jump.

    Args:
        signal_CT: mV.
        valid_CT: True = recorded; a lead without any stays as it is.

    Returns:
        (C, T) float64.
    """
    filled = np.array(signal_CT, dtype=np.float64)
    places = np.arange(filled.shape[1])
    for row, valid in zip(filled, valid_CT, strict=True):
        if valid.any() and not valid.all():
            row[~valid] = np.interp(places[~valid], places[valid], row[valid])
    return filled


def remove_baseline(signal_CT: np.ndarray, *, rate: float, method: str, hertz: float) -> np.ndarray:
    """Subtract offset and drift.

    Args:
        signal_CT: mV without gaps.
        rate: Hz.
        method: "highpass": Butterworth of order 2, run forwards and backwards (-6 dB at ``hertz``); "median": what two
            medians in a row, of 0.2 s and 0.6 s, leave over.
        hertz: corner of the high-pass. Up to 0.67 Hz a zero-phase filter leaves the ST segment alone (Kligfield et al.
            2007, AHA/ACC/HRS recommendations).
    """
    if method == "median":
        base = signal_CT
        for seconds in MEDIANS_SECONDS:
            size = 2 * round(seconds * rate / 2) + 1  # row by row: scipy's filter of one dimension is far faster
            base = np.stack([ndimage.median_filter(row, size=size, mode="nearest") for row in base])
        return signal_CT - base
    sections = signal.butter(2, hertz, "highpass", fs=rate, output="sos")
    return _both_ways(sections, signal_CT, pad=round(rate / hertz))


def remove_powerline(signal_CT: np.ndarray, *, rate: float, hertz: float) -> np.ndarray:
    """Notches (second order, Q = 30, both ways) at the mains frequency and its multiples below half the rate."""
    for multiple in range(1, int(rate / 2 / hertz) + 1):
        if multiple * hertz < 0.499 * rate:
            b, a = signal.iirnotch(multiple * hertz, NOTCH_Q, fs=rate)
            signal_CT = _both_ways(signal.tf2sos(b, a), signal_CT, pad=round(2 * NOTCH_Q / hertz * rate))
    return signal_CT


def lowpass(signal_CT: np.ndarray, *, rate: float, hertz: float) -> np.ndarray:
    """Butterworth of order 4, both ways (-6 dB at ``hertz``); nothing to do where the rate is too low to hold more."""
    if hertz >= 0.499 * rate:
        return signal_CT
    return _both_ways(signal.butter(4, hertz, "lowpass", fs=rate, output="sos"), signal_CT, pad=round(3 * rate / hertz))


def _both_ways(sections: np.ndarray, signal_CT: np.ndarray, *, pad: int) -> np.ndarray:
    return signal.sosfiltfilt(sections, signal_CT, axis=1, padlen=min(pad, signal_CT.shape[1] - 1))


def resample(
    signal_CT: np.ndarray, valid_CT: np.ndarray, *, rate: float, new_rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Another rate, by a polyphase filter (scipy.signal.resample_poly) on what a straight line from the first to the
    last sample leaves over. Rates without a small common ratio: four times the old rate by that filter, then cubic
    splines.

    Args:
        signal_CT: mV without gaps.
        valid_CT: True = recorded.
        rate, new_rate: Hz.

    Returns:
        (C, ceil(T * new_rate / rate)) of both; a new sample is valid if its neighbours in the old ones were.
    """
    if rate == new_rate:
        return signal_CT, valid_CT
    exact = Fraction(new_rate) / Fraction(rate)
    ratio = exact.limit_denominator(MOST_RATIO)
    place = np.arange(math.ceil(signal_CT.shape[1] * new_rate / rate - 1e-9)) * (rate / new_rate)
    if ratio.numerator <= MOST_RATIO and abs(float(ratio / exact) - 1) < SAME_RATIO:
        made = signal.resample_poly(signal_CT, ratio.numerator, ratio.denominator, axis=1, padtype="line")
        made = made[:, : len(place)]
    else:
        made = _by_splines(signal_CT, place, ratio=new_rate / rate)
    last = signal_CT.shape[1] - 1
    before = np.minimum(np.floor(place + 1e-6).astype(int), last)
    after = np.minimum(np.ceil(place - 1e-6).astype(int), last)
    return made, valid_CT[:, before] & valid_CT[:, after]


def _by_splines(signal_CT: np.ndarray, place: np.ndarray, *, ratio: float) -> np.ndarray:
    """Values at any places (in old samples), after a low-pass that takes out what a lower new rate cannot hold."""
    if ratio < 1:
        taps = signal.firwin(2 * round(10 / ratio) + 1, ratio, window=("kaiser", 5.0))
        padded = np.pad(signal_CT, ((0, 0), (len(taps) // 2, len(taps) // 2)), mode="edge")
        signal_CT = signal.oaconvolve(padded, taps[None], mode="valid", axes=1)
    fine = signal.resample_poly(signal_CT, OVERSAMPLING, 1, axis=1, padtype="line")
    return interpolate.CubicSpline(np.arange(fine.shape[1]) / OVERSAMPLING, fine, axis=1)(place)
