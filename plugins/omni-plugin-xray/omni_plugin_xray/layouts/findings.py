"""The fourteen findings of CheXpert and MIMIC-CXR: their order, and what a label of uncertainty becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from omni.errors import ConfigError, InputError
from omni.plugin.suggest import did_you_mean

FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
POLICIES = {"keep": -1.0, "ones": 1.0, "zeros": 0.0, "ignore": math.nan}
PUBLISHED = {"1": 1.0, "0": 0.0, "-1": -1.0}


def policies(uncertain: str | Mapping[str, str], *, layout: str) -> dict[str, float]:
    """Finding -> what its -1 becomes.

    Args:
        uncertain: "keep", "ones", "zeros" or "ignore" (NaN) for all, or finding -> one of them; those that are not
            named keep their -1.
        layout: for messages.

    Raises:
        ConfigError: an unknown policy or finding.
    """
    chosen = dict.fromkeys(FINDINGS, uncertain) if isinstance(uncertain, str) else dict(uncertain)
    for finding, policy in chosen.items():
        if finding not in FINDINGS:
            raise ConfigError(f"{layout}: uncertain names {finding!r}, no finding.{did_you_mean(finding, FINDINGS)}")
        if policy not in POLICIES:
            raise ConfigError(f"{layout}: uncertain is {policy!r}; it must be one of {', '.join(POLICIES)}.")
    return {finding: POLICIES[chosen.get(finding, "keep")] for finding in FINDINGS}


def labels(row: Mapping[str, str | None], uncertain: Mapping[str, float], *, where: str) -> list[float]:
    """The row's labels in the order of FINDINGS: 1, 0, what the policy makes of -1, NaN where the field is empty.

    Raises:
        InputError: a field that is none of these.
    """
    return [_label(row[finding], uncertain[finding], f"{where}, {finding!r}") for finding in FINDINGS]


def _label(text: str | None, uncertain: float, where: str) -> float:
    if text is None:
        return math.nan
    value = PUBLISHED.get(text.strip().removesuffix(".0"))
    if value is None:
        raise InputError(f"{where}: the label is {text!r}, not 1, 0, -1 or empty.")
    return uncertain if value == -1.0 else value
