"""simclinic: radiographs, ECGs and laboratory values, where only the latter two together tell the radiograph.

Simulated, not for clinical use.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni.errors import ConfigError, InputError
from omni.plugin.suggest import did_you_mean
from omni.types import Sample
from omni_plugin_clinic.latents import PATTERNS, RHYTHMS, SHADOWS, query_table
from omni_plugin_clinic.simulation.laboratory import as_row
from omni_plugin_clinic.store import SPLITS, EditionStore, edition_folder

SLOTS = ("xray", "ecg", "labs", "text")
MEASURED = ("xray", "ecg", "labs")


class SimClinic:
    """Simulated cases; map-style, items are omni.types.Sample.

    Values: ``xray`` PNG bytes (one channel), ``ecg`` bytes of a .npz (8 leads, 5 s at 100 Hz, microvolts), ``labs`` a
    mapping name -> (value, unit) of what was measured, ``text`` a report of the radiograph.
    Targets: ``class`` what the radiograph shows (0 to 19), ``ecg_class`` and ``labs_class`` (0 to 9), and the hidden
    states ``c``, ``f``, ``e``, ``l``, ``s``; see omni_plugin_clinic.latents.

    Args:
        edition: "mini" (ships with the package), "bench" or "full" (omni data build simclinic --edition EDITION).
        split: "train", "val" or "test". Splits differ in poses, shadows, hearts and noise; there is one anatomy.
        root: folder of the edition, or one that holds it; default: the package (mini) or the cache.
        open_i: the edition that was built with --open-i, whose texts are real reports (CC-BY-NC-ND-4.0).
        slots: of which samples have values.
        missing: chance that a slot of xray, ecg and labs is missing in a sample; at least one of them stays.
        seed: of ``missing``.

    Raises:
        ConfigError: an argument that cannot be meant.
        InputError: the edition has not been built, or is damaged.
    """

    def __init__(
        self,
        edition: str = "mini",
        *,
        split: str = "train",
        root: str | os.PathLike[str] | None = None,
        open_i: bool = False,
        slots: tuple[str, ...] | list[str] = SLOTS,
        missing: float = 0.0,
        seed: int = 0,
    ) -> None:
        if split not in SPLITS:
            raise ConfigError(f"simclinic has the splits {', '.join(SPLITS)}, not {split!r}.")
        unknown = [slot for slot in slots if slot not in SLOTS]
        if unknown or not slots:
            hint = did_you_mean(unknown[0], SLOTS) if unknown else ""
            raise ConfigError(f"simclinic has the slots {', '.join(SLOTS)}, not {list(slots)}.{hint}")
        if not 0 <= missing < 1:
            raise ConfigError(f"simclinic: missing is a chance from 0 to below 1, not {missing!r}.")
        self.store = EditionStore(edition_folder(edition, open_i=open_i, root=root))
        if self.store.info["name"] != edition:
            raise InputError(f"{self.store.folder} holds simclinic {self.store.info['name']!r}, not {edition!r}.")
        self.edition, self.split, self.slots = edition, split, tuple(slots)
        self.latents = self.store.latents(split)
        notice = {"notice": self.store.info["notice"]}  # every model's card says that the data are simulated
        self.terms: list[dict[str, Any]] = [{**item, **notice} for item in self.store.info["terms"]]
        self._cases = self.store.cases(split)
        self._labs = self.store.labs(split)
        self._facts = self.store.facts(split)
        if not len(self._cases) == len(self._labs) == len(self._facts):
            raise InputError(f"{self.store.folder}: the tables of {split!r} differ in length; build the edition again.")
        self._has = self._draw_presence(missing, seed)

    @property
    def candidates(self) -> np.ndarray:
        """int64 (N, 10): for each case the cases among whose radiographs its own is to be found; it is one of them, and
        all ten show something different. Frozen in the edition."""
        return self.store.candidates(self.split)

    @property
    def right(self) -> np.ndarray:
        """int64 (N,): the column of ``candidates`` that is the case itself."""
        return (self.candidates == np.arange(len(self))[:, None]).argmax(1)

    def query_table(self) -> dict[str, dict[str, float]]:
        """How often the best possible scores find the radiograph among the candidates: from ECG and labs together, from
        either alone, from neither, and by the optimum of InfoNCE over the pairs. "exact": in the population; "frozen":
        for the candidates of this split."""
        return query_table(self.latents, self.candidates)

    def top1(self, scores_NK: Any) -> float:
        """Share of cases whose own radiograph has the largest score among ``candidates``; ties count as their share.

        Raises:
            InputError: scores of another shape, or NaN.
        """
        scores = np.asarray(scores_NK, dtype=np.float64)
        if scores.shape != self.candidates.shape or np.isnan(scores).any():
            raise InputError(f"Scores of shape {self.candidates.shape} without NaN are needed, not {scores.shape}.")
        own = np.take_along_axis(scores, self.right[:, None], 1)
        ties = (scores == own).sum(1)
        return float(np.mean(np.where(own[:, 0] >= scores.max(1), 1.0 / ties, 0.0)))

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"simclinic {self.edition}/{self.split} has {len(self)} cases, none with number {index}.")
        index = int(index) % len(self)
        values = {slot: self._value(slot, index) for slot in self.slots if self._has.get(slot, _ALL)[index]}
        facts = {key: value for key, value in self._facts[index].items() if key != "text"}
        lat = self.latents
        hidden = {"c": lat.c_N, "f": lat.f_N, "e": lat.e_N, "l": lat.l_N, "s": lat.s_N}
        targets = {name: int(column[index]) for name, column in hidden.items()}
        shown = {"rhythm": RHYTHMS[targets["e"]], "pattern": PATTERNS[targets["l"]], "shadow": SHADOWS[targets["s"]]}
        name = f"simclinic-{self.edition}-{self.split}-{index:05d}"
        return Sample(
            id=name,
            values=values,
            meta={"simulated": True, "notice": self.store.info["notice"], **shown, "made_with": facts},
            keys={slot: f"{name}-{slot}" for slot in values},
            targets={
                "class": int(lat.x_N[index]), "ecg_class": int(lat.ecg_N[index]), "labs_class": int(lat.labs_N[index]),
                **targets,
            },
        )  # fmt: skip

    def _value(self, slot: str, index: int) -> Any:
        if slot == "text":
            return self._facts[index]["text"]
        if slot == "labs":
            return as_row(self._labs[index])
        shard, *places = (int(value) for value in self._cases[index, 4:])
        offset, size = places[:2] if slot == "xray" else places[2:]
        return self.store.bytes_of(self.split, shard, offset, size)

    def _draw_presence(self, missing: float, seed: int) -> dict[str, np.ndarray]:
        """slot -> (N,) bool, for the slots that may be missing."""
        slots = [slot for slot in MEASURED if slot in self.slots]
        if not missing or not slots:
            return {}
        rng = CounterRng("simclinic", "missing", seed, self.edition, self.split)
        has = rng.uniform((len(self._cases), len(slots))) >= missing
        one = rng.integers(len(slots), (len(self._cases),))
        has[np.arange(len(has)), one] |= ~has.any(1)
        return dict(zip(slots, has.T, strict=True))

    def __repr__(self) -> str:
        return f"SimClinic({self.edition!r}, split={self.split!r}, len={len(self)})"


class _All:
    """True at every place."""

    def __getitem__(self, index: int) -> bool:
        return True


_ALL = _All()
