"""From a recording to what the adapter reads: chosen leads at one rate, in millivolts, with a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omni.data.transform import Transform
from omni.errors import ConfigError, InputError
from omni_plugin_ecg import filters
from omni_plugin_ecg.augment import EcgAugment
from omni_plugin_ecg.io import load
from omni_plugin_ecg.leads import LEAD_INDEX, STANDARD, lead_of
from omni_plugin_ecg.recording import Ecg, checked_rate

BASELINES = ("highpass", "median", "none")
CROPS = ("first", "center", "random")
MARGIN_SECONDS = 4.0  # on both sides of a crop, so that filters settle outside of it


class EcgBasic(Transform):
    """Filters, resamples and cuts; the values stay millivolts, missing leads and gaps are masked.

    Args:
        sample_rate: of the result, Hz.
        leads: "standard" (the usual twelve, those that are missing masked), "present" (what each recording has), or a
            list of names.
        max_seconds: longer recordings are cut; None = never. Short ones are never stretched or repeated.
        crop: which part: "first", "center", or "random" (in training; otherwise the first).
        baseline: "highpass", "median" or "none" (see omni_plugin_ecg.filters).
        baseline_hz: corner of the high-pass.
        powerline_hz: 50 or 60, the mains frequency where it was recorded; 0 = no notch.
        lowpass_hz: corner of a low-pass, 0 = none but what resampling needs.
        augment: keyword arguments of EcgAugment, for training; None = none.

    Raises:
        ConfigError: a setting that cannot be meant.
    """

    def __init__(
        self,
        *,
        sample_rate: float = 250.0,
        leads: str | Sequence[str] = "standard",
        max_seconds: float | None = 10.0,
        crop: str = "first",
        baseline: str = "highpass",
        baseline_hz: float = 0.5,
        powerline_hz: float = 0.0,
        lowpass_hz: float = 0.0,
        augment: dict[str, Any] | None = None,
    ) -> None:
        for what, value, known in (("crop", crop, CROPS), ("baseline", baseline, BASELINES)):
            if value not in known:
                raise ConfigError(f"ecg_basic: {what} is one of {', '.join(known)}, not {value!r}.")
        try:
            self.sample_rate = checked_rate(sample_rate, "ecg_basic: sample_rate")
        except InputError as error:
            raise ConfigError(str(error)) from None
        if max_seconds is not None and max_seconds <= 0:
            raise ConfigError(f"ecg_basic: max_seconds {max_seconds} must be positive, or None.")
        if not 0 < baseline_hz <= 5:
            raise ConfigError(f"ecg_basic: baseline_hz {baseline_hz} must lie in (0, 5]; beats begin at 0.5 Hz.")
        if powerline_hz < 0 or lowpass_hz < 0 or 0 < powerline_hz < 10 or 0 < lowpass_hz < 10:
            raise ConfigError("ecg_basic: powerline_hz and lowpass_hz are at least 10 Hz, or 0 for none.")
        self.leads = _wanted(leads)
        self.max_seconds, self.crop = max_seconds, crop
        self.baseline, self.baseline_hz = baseline, float(baseline_hz)
        self.powerline_hz, self.lowpass_hz = float(powerline_hz), float(lowpass_hz)
        try:
            self.augment = EcgAugment(**(augment or {}))
        except TypeError as error:
            known_keys = ", ".join(EcgAugment.__dataclass_fields__)
            raise ConfigError(f"ecg_basic: augment: {error}. Known are {known_keys}.") from error
        self.deterministic = crop != "random" and self.augment == EcgAugment()

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """``raw``: an Ecg, or anything that the loader reads.

        Returns:
            signal_CT float32 in mV, zero where not valid; valid_CT bool; lead_C int64 index into leads.LEADS.

        Raises:
            InputError: none of the wanted leads was recorded.
        """
        ecg = raw if isinstance(raw, Ecg) else load(raw)
        names = ecg.leads if self.leads is None else self.leads
        signal_CT, valid_CT = self._pick(ecg, names)
        signal_CT, valid_CT = self._clean(signal_CT, valid_CT, ecg, training)
        if not valid_CT.any():
            raise InputError(
                f"The {ecg.source} has no recorded sample of {', '.join(names)} in the part that is used; it has "
                f"{', '.join(ecg.leads)}."
            )
        signal = torch.from_numpy(np.where(valid_CT, signal_CT, 0.0).astype(np.float32))
        valid = torch.from_numpy(valid_CT.copy())
        if training and self.augment != EcgAugment():
            signal, valid = self.augment(signal, valid, sample_rate=self.sample_rate)
        return {"signal_CT": signal, "valid_CT": valid, "lead_C": torch.tensor([LEAD_INDEX[name] for name in names])}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """signal_BCT, valid_BCT (False also in the padding of leads and time), lead_BC."""
        channels = max(item["signal_CT"].shape[0] for item in items)
        length = max(item["signal_CT"].shape[1] for item in items)
        signal_BCT = items[0]["signal_CT"].new_zeros(len(items), channels, length)
        valid_BCT = torch.zeros(signal_BCT.shape, dtype=torch.bool)
        lead_BC = torch.zeros(len(items), channels, dtype=torch.long)
        for row, item in enumerate(items):
            count, size = item["signal_CT"].shape
            signal_BCT[row, :count, :size] = item["signal_CT"]
            valid_BCT[row, :count, :size] = item["valid_CT"]
            lead_BC[row, :count] = item["lead_C"]
        return {"signal_BCT": signal_BCT, "valid_BCT": valid_BCT, "lead_BC": lead_BC}

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return {
            "sample_rate": self.sample_rate,
            "leads": "present" if self.leads is None else list(self.leads),
            "max_seconds": self.max_seconds,
            "crop": self.crop,
            "baseline": self.baseline,
            "baseline_hz": self.baseline_hz,
            "powerline_hz": self.powerline_hz,
            "lowpass_hz": self.lowpass_hz,
            "augment": None if self.augment == EcgAugment() else asdict(self.augment),
        }

    def _pick(self, ecg: Ecg, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Rows by name; zeros and False for leads that are missing."""
        signal_CT = np.zeros((len(names), ecg.signal_CT.shape[1]))
        valid_CT = np.zeros(signal_CT.shape, dtype=bool)
        for row, name in enumerate(names):
            if name in ecg.leads:
                index = ecg.leads.index(name)
                signal_CT[row], valid_CT[row] = ecg.signal_CT[index].numpy(), ecg.valid_CT[index].numpy()
        return signal_CT, valid_CT

    def _clean(
        self, signal_CT: np.ndarray, valid_CT: np.ndarray, ecg: Ecg, training: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        rate = ecg.sample_rate
        start, stop = self._part(signal_CT.shape[1], rate, training)
        margin = round(MARGIN_SECONDS * rate)
        first, last = max(0, start - margin), min(signal_CT.shape[1], stop + margin)
        signal_CT, valid_CT = signal_CT[:, first:last], valid_CT[:, first:last]
        rows = valid_CT.any(1)
        part = filters.fill_gaps(signal_CT[rows], valid_CT[rows])
        if self.baseline != "none" and rows.any():
            part = filters.remove_baseline(part, rate=rate, method=self.baseline, hertz=self.baseline_hz)
        if self.powerline_hz and rows.any():
            part = filters.remove_powerline(part, rate=rate, hertz=self.powerline_hz)
        if self.lowpass_hz and rows.any():
            part = filters.lowpass(part, rate=rate, hertz=self.lowpass_hz)
        signal_CT = signal_CT.copy()
        signal_CT[rows] = part
        signal_CT, valid_CT = filters.resample(signal_CT, valid_CT, rate=rate, new_rate=self.sample_rate)
        begin = round((start - first) * self.sample_rate / rate)
        end = begin + max(1, int(np.ceil((stop - start) * self.sample_rate / rate - 1e-9)))
        return signal_CT[:, begin:end], valid_CT[:, begin:end]

    def _part(self, length: int, rate: float, training: bool) -> tuple[int, int]:
        if self.max_seconds is None or length <= self.max_seconds * rate:
            return 0, length
        most = max(1, int(self.max_seconds * rate))
        spare = length - most
        if self.crop == "random" and training:
            start = int(torch.randint(spare + 1, ()))
        else:
            start = spare // 2 if self.crop == "center" else 0
        return start, start + most


def _wanted(leads: str | Sequence[str]) -> tuple[str, ...] | None:
    if isinstance(leads, str):
        if leads not in ("standard", "present"):
            raise ConfigError(f"ecg_basic: leads is 'standard', 'present' or a list of names, not {leads!r}.")
        return STANDARD if leads == "standard" else None
    found = [lead_of(str(name)) for name in leads]
    names = tuple(item[0] for item in found if item is not None and item[1] > 0)
    if not names or len(names) < len(found) or len(set(names)) < len(names):
        raise ConfigError(f"ecg_basic: leads {list(leads)!r} must be different known leads ({', '.join(LEAD_INDEX)}).")
    return names
