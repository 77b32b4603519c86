"""Names of leads, and the six limb leads as combinations of two."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
LEADS = (*STANDARD, "V7", "V8", "V9", "V2R", "V3R", "V4R", "V5R", "V6R", "V7R", "X", "Y", "Z")
LEAD_INDEX = {name: index for index, name in enumerate(LEADS)}

# Einthoven and Goldberger: each limb lead in terms of (I, II).
LIMB: Mapping[str, tuple[float, float]] = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}

# The number that SCP-ECG (EN 1064) gives a lead; ISO/IEEE 11073-10101 uses the same in its codes 2:1, 2:2, ...
SCP_NUMBERS: Mapping[int, str] = {
    1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 9: "V7",
    10: "V2R", 11: "V3R", 12: "V4R", 13: "V5R", 14: "V6R", 15: "V7R", 16: "X", 17: "Y", 18: "Z",
    61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 66: "V8", 67: "V9",
}  # fmt: skip

_BY_FOLDED = {name.lower(): name for name in LEADS} | {
    **{f"d{number}": lead for number, lead in (("i", "I"), ("ii", "II"), ("iii", "III"))},
    **{f"v{axis}": axis.upper() for axis in "xyz"},
    **{f"c{number}": f"V{number}" for number in range(1, 10)},
}
_PREFIX = re.compile(r"^(?:(?:ecg|ekg)[\s_:-]*)?(?:(?:lead|derivation|channel)[\s_:-]+)?", re.IGNORECASE)
_AFTER = re.compile(r"\s*\([^()]*\)\s*$")


def lead_of(name: str) -> tuple[str, float] | None:
    """The lead that a file's name for it means.

    Case, spaces and the words "ECG", "EKG" and "Lead" in front do not matter; DI is I, C1 is V1, vx is X, and "-aVR" is
    aVR upside down. Modified leads (MLII, MCL1, CM5) are none of these: rename them where they may be treated so.

    Returns:
        (lead of LEADS, sign), or None.
    """
    text = _AFTER.sub("", name.strip())
    text = _PREFIX.sub("", text).strip()
    sign = 1.0
    if text.startswith("-"):
        sign, text = -1.0, text[1:].strip()
    lead = _BY_FOLDED.get(text.lower())
    return None if lead is None else (lead, sign)


def combination(lead: str, present: Sequence[str]) -> dict[str, float] | None:
    """How a limb lead follows from two others: III = II - I, aVR = -(I + II) / 2, and so on.

    Args:
        lead: the lead that is wanted.
        present: the leads that there are; I and II are preferred, then the first two limb leads in their order.

    Returns:
        lead -> factor of the two that are used, or None: not a limb lead, or fewer than two others.
    """
    others = [name for name in LIMB if name in present and name != lead]
    if lead not in LIMB or len(others) < 2:
        return None
    pair = others[:2]
    basis = np.array([LIMB[name] for name in pair]).T  # any two limb leads span the frontal plane
    factors = np.linalg.solve(basis, np.array(LIMB[lead]))
    return {name: float(np.round(factor, 12)) for name, factor in zip(pair, factors, strict=True)}
