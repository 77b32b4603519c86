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


class Labels:
    """Fields of a row, in the order of FINDINGS, as labels: 1, 0, what the policy makes of -1, NaN where it is empty.

    Equal rows share one tuple, since there are far fewer of them than rows.

    Args:
        uncertain: of ``policies``.
    """

    def __init__(self, uncertain: Mapping[str, float]) -> None:
        self._uncertain = uncertain
        self._known: dict[tuple[str | None, ...], tuple[float, ...]] = {}

    def __call__(self, fields: tuple[str | None, ...], *, where: str) -> tuple[float, ...]:
        """(14,) labels.

        Raises:
            InputError: a field that is none of these.
        """
        if fields not in self._known:
            self._known[fields] = tuple(
                self._label(text, finding, where) for text, finding in zip(fields, FINDINGS, strict=True)
            )
        return self._known[fields]

    def _label(self, text: str | None, finding: str, where: str) -> float:
        if text is None:
            return math.nan
        value = PUBLISHED.get(text.strip().removesuffix(".0"))
        if value is None:
            raise InputError(f"{where}, {finding!r}: the label is {text!r}, not 1, 0, -1 or empty.")
        return self._uncertain[finding] if value == -1.0 else value
