"""From what a reader found to an Ecg: names, units, rate, masks; refuses what cannot be an ECG."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch

from omni.errors import InputError
from omni_plugin_ecg import plausibility
from omni_plugin_ecg.leads import LEAD_INDEX, combination, lead_of
from omni_plugin_ecg.recording import LEAST_SECONDS, Ecg, Options, Raw, checked_rate, known_leads, millivolts

# Channels of other organs that share files with an ECG; they carry volts too.
_OTHER_SIGNALS = re.compile(
    r"^(eeg|eog|emg|ecog|seeg|meg|mep|resp|erg|status|trigger|marker|event|annot)", re.IGNORECASE
)


@dataclass(kw_only=True)
class _Lead:
    """One lead while it is being assembled: millivolts (float64), what was recorded, its rate."""

    name: str
    signal_T: np.ndarray
    valid_T: np.ndarray
    rate: float


def assemble(raw: Raw, options: Options) -> Ecg:
    """An Ecg in millivolts with its leads in the usual order.

    Args:
        raw: a reader's finding.
        options: what the user says about it.

    Raises:
        InputError: leads without names, unknown or repeated names, no rate or unit, or another than the file's; NaN
            without a mask; flat; too short or long; not plausible as millivolts; limb leads that contradict each other.
    """
    name = raw.source
    chosen = _chosen(raw, options)
    leads = [_lead(raw, index, lead, sign, options) for index, lead, sign in chosen]
    rates = {lead.rate for lead in leads}
    lengths = {len(lead.signal_T) for lead in leads}
    if len(rates) > 1 or len(lengths) > 1:
        each = ", ".join(f"{lead.name} {lead.rate:g} Hz, {len(lead.signal_T)} samples" for lead in leads)
        raise InputError(f"The {name} has leads of different rates or lengths ({each}); store them at one rate.")
    rate, length = rates.pop(), lengths.pop()
    options.check_size(channels=len(leads), samples=length, rate=rate, name=name)
    if length < LEAST_SECONDS * rate:
        raise InputError(f"The {name} lasts {length / rate:.3g} s; an ECG needs at least {LEAST_SECONDS} s.")
    flat = tuple(lead.name for lead in leads if _is_flat(lead))
    leads = [lead for lead in leads if lead.name not in flat]
    if not leads:
        raise InputError(
            f"The {name} is flat: every lead ({', '.join(flat)}) is a constant or was not recorded, so there is no "
            "heartbeat in it; leave the slot out."
        )
    if options.plausible_mv is not None:
        signals = [(lead.signal_T, lead.valid_T) for lead in leads]
        plausibility.check_amplitude(signals, rate=rate, bounds=options.plausible_mv, name=name)
    if options.check_limb_leads:
        plausibility.check_limb_leads({lead.name: (lead.signal_T, lead.valid_T) for lead in leads}, name=name)
    derived = _derive(leads) if options.derive else ()
    leads.sort(key=lambda lead: LEAD_INDEX[lead.name])
    signal = np.stack([np.where(lead.valid_T, lead.signal_T, 0.0) for lead in leads]).astype(np.float32)
    return Ecg(
        signal_CT=torch.from_numpy(signal),
        valid_CT=torch.from_numpy(np.stack([lead.valid_T for lead in leads])),
        leads=tuple(lead.name for lead in leads),
        sample_rate=rate,
        derived=derived,
        flat=flat,
        source=name,
    )


def _chosen(raw: Raw, options: Options) -> list[tuple[int, str, float]]:
    """(channel, lead, sign) of every channel that is a lead."""
    names, name = _names(raw, options), raw.source
    rename = dict(options.rename or {})
    unused = [old for old in rename if old not in names]
    if unused:
        raise InputError(f"The {name} has no channel {unused[0]!r} to rename; its channels are {', '.join(names)}.")
    chosen: list[tuple[int, str, float]] = []
    for index, label in enumerate(names):
        if label in rename and rename[label] is None:
            continue
        found = lead_of(str(rename.get(label, label)))
        unit = raw.units[index]
        is_voltage = unit is None or millivolts(unit) is not None
        if found is None and label not in rename and (not is_voltage or _OTHER_SIGNALS.match(label.strip())):
            continue  # breathing, pressure, markers: no electrocardiogram
        if found is None:
            raise InputError(
                f"The {name} has a channel {str(rename.get(label, label))!r}, no known lead ({known_leads()}). "
                f"Say what it is with the loader's option rename={{{label!r}: 'II'}}, or None to leave it out."
            )
        if not is_voltage:
            raise InputError(f"The {name} gives lead {found[0]} in {unit!r}, which is no voltage; export it in mV.")
        twin = next((names[other] for other, lead, _ in chosen if lead == found[0]), None)
        if twin is not None:
            raise InputError(
                f"The {name} has lead {found[0]} twice ({twin!r} and {label!r}); leave one out with the "
                f"loader's option rename={{{label!r}: None}}."
            )
        chosen.append((index, *found))
    if not chosen:
        raise InputError(f"The {name} has no ECG lead; its channels are {', '.join(names)}.")
    return chosen


def _names(raw: Raw, options: Options) -> list[str]:
    count = len(raw.channels)
    if raw.names is None:
        if options.leads is None:
            raise InputError(
                f"The {raw.source} has {count} leads without names, and the numbers do not tell which is which; "
                "give the loader's option leads=[...], one name a lead in the order of the data (leads='standard' for "
                "the usual twelve)."
            )
        if len(options.leads) != count:
            raise InputError(f"The {raw.source} has {count} leads, but leads= names {len(options.leads)}.")
        return list(options.leads)
    names = [str(name) for name in raw.names]
    if options.leads is not None:
        ours, theirs = [lead_of(name) for name in options.leads], [lead_of(name) for name in names]
        if ours != theirs:
            raise InputError(
                f"The {raw.source} names its leads {', '.join(names)}; leads= says {', '.join(options.leads)}. "
                "Drop the option, or use rename= for single leads."
            )
    return names


def _lead(raw: Raw, index: int, lead: str, sign: float, options: Options) -> _Lead:
    name = raw.source
    rate = raw.rates[index]
    if rate is None:
        if options.sample_rate is None:
            raise InputError(
                f"The {name} does not say its sampling rate; give the loader's option sample_rate=... in Hz."
            )
        rate = options.sample_rate
    rate = checked_rate(rate, f"The sampling rate of the {name}")
    if options.sample_rate is not None and abs(rate - options.sample_rate) > 1e-6 * rate:
        raise InputError(
            f"The {name} says {rate:g} Hz, but sample_rate={options.sample_rate:g} was given; drop the option."
        )
    signal = np.asarray(raw.channels[index], dtype=np.float64) * (sign * _factor(raw.units[index], lead, options, name))
    valid = np.ones(len(signal), dtype=bool) if raw.valid is None else np.asarray(raw.valid[index], dtype=bool)
    bad = valid & ~np.isfinite(signal)
    if bad.any():
        if np.isinf(signal[bad]).any():
            raise InputError(f"Lead {lead} of the {name} holds infinite values; export it again.")
        if options.nan == "refuse":
            raise InputError(
                f"Lead {lead} of the {name} holds {int(bad.sum())} NaN or empty values, the first at sample "
                f"{int(bad.argmax())}, and no mask says what they mean; give a mask, or the loader's option nan='mask' "
                "if they mean that nothing was recorded."
            )
        valid = valid & ~bad
    return _Lead(name=lead, signal_T=np.where(valid, signal, 0.0), valid_T=valid, rate=rate)


def _factor(unit: str | None, lead: str, options: Options, name: str) -> float:
    if unit is None:
        if options.unit is None:
            raise InputError(
                f"The {name} does not say the unit of lead {lead}; give the loader's option unit='mV' or 'uV'."
            )
        unit = options.unit
    elif options.unit is not None and millivolts(unit) != millivolts(options.unit):
        raise InputError(
            f"The {name} gives lead {lead} in {unit}, but unit={options.unit!r} was given; drop the option."
        )
    factor = millivolts(unit)
    assert factor is not None  # checked where the channel was chosen
    return factor


def _is_flat(lead: _Lead) -> bool:
    recorded = lead.signal_T[lead.valid_T]
    return recorded.size == 0 or bool(recorded.max() == recorded.min())


def _derive(leads: list[_Lead]) -> tuple[str, ...]:
    """Adds the limb leads that follow from two others; valid where both are."""
    present = {lead.name: lead for lead in leads}
    made = []
    for name in ("I", "II", "III", "aVR", "aVL", "aVF"):
        factors = combination(name, list(present)) if name not in present else None
        if factors is None:
            continue
        parts = [(present[other], factor) for other, factor in factors.items()]
        valid = np.logical_and.reduce([part.valid_T for part, _ in parts])
        if valid.any():
            signal = sum(factor * part.signal_T for part, factor in parts)
            made.append(_Lead(name=name, signal_T=signal, valid_T=valid, rate=leads[0].rate))
    leads.extend(made)
    return tuple(lead.name for lead in made)
