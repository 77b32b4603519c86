"""Laboratory values of a made-up adult: drawn from reference ranges, shifted by what the case hides.

Ranges are the usual ones for adults in conventional units, as textbooks and boards publish them; a healthy value lies
in its range 95 times in 100, on a normal or log-normal curve. Values that follow from others are computed from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni_plugin_clinic.latents import PATTERNS
from omni_plugin_tabular.schema import Column, Schema

MISSING = 0.08  # chance that a value was not measured
_SPAN = 3.92  # standard deviations from end to end of a range of 95 in 100


@dataclass(frozen=True, kw_only=True)
class Analyte:
    """One laboratory value.

    Attributes:
        name, unit: as written.
        low, high: the reference range; of women where ``men`` gives another for men.
        digits: decimals that a laboratory reports.
        men: the range of men, () = the same.
        skewed: log-normal.
        least, most: bounds that a value cannot leave.
    """

    name: str
    unit: str
    low: float
    high: float
    digits: int = 1
    men: tuple[float, float] | tuple[()] = ()
    skewed: bool = False
    least: float = 0.0
    most: float = 1e6

    def value(self, deviation: float, *, male: bool) -> float:
        """The value so many standard deviations from the middle of the reference range."""
        low, high = self.men if male and self.men else (self.low, self.high)
        if self.skewed:
            middle, spread = (np.log(low) + np.log(high)) / 2, (np.log(high) - np.log(low)) / _SPAN
            found = float(np.exp(middle + spread * deviation))
        else:
            found = (low + high) / 2 + (high - low) / _SPAN * deviation
        return min(max(found, self.least), self.most)


def _rows(text: str) -> dict[str, tuple[str, float, float, int]]:
    found = {}
    for line in text.strip().splitlines():
        name, unit, low, high, digits = (field.strip() for field in line.split("|"))
        found[name] = (unit, float(low), float(high), int(digits))
    return found


_NORMAL = _rows("""
Sodium | mmol/L | 136 | 145 | 0
Potassium | mmol/L | 3.5 | 5.0 | 1
Chloride | mmol/L | 98 | 106 | 0
Bicarbonate | mmol/L | 22 | 29 | 0
Anion gap | mmol/L | 7 | 15 | 0
Calcium | mg/dL | 8.6 | 10.2 | 1
Magnesium | mg/dL | 1.6 | 2.4 | 1
Phosphate | mg/dL | 3.0 | 4.5 | 1
Albumin | g/dL | 3.6 | 5.0 | 1
Globulin | g/dL | 2.3 | 3.4 | 1
Total protein | g/dL | 5.9 | 8.4 | 1
Hemoglobin | g/dL | 12.0 | 16.0 | 1
Hematocrit | % | 36 | 47 | 1
Red blood cells | 10^6/uL | 4.0 | 5.2 | 2
MCV | fL | 81 | 98 | 0
MCH | pg | 27 | 33 | 1
MCHC | g/dL | 32 | 36 | 1
RDW | % | 11.6 | 14.5 | 1
Platelets | 10^3/uL | 150 | 400 | 0
MPV | fL | 7.5 | 11.5 | 1
PT | s | 11 | 13.5 | 1
PTT | s | 25 | 35 | 1
INR | ratio | 0.9 | 1.15 | 2
Fibrinogen | mg/dL | 200 | 400 | 0
pH | pH | 7.36 | 7.44 | 2
pCO2 | mmHg | 36 | 44 | 0
HbA1c | % | 4.3 | 5.8 | 1
Cholesterol | mg/dL | 130 | 230 | 0
HDL cholesterol | mg/dL | 38 | 75 | 0
Transferrin | mg/dL | 200 | 360 | 0
""")
_SKEWED = _rows("""
Glucose | mg/dL | 72 | 125 | 0
Urea nitrogen | mg/dL | 8 | 20 | 0
Creatinine | mg/dL | 0.5 | 1.05 | 2
Urate | mg/dL | 2.5 | 7.5 | 1
Lactate | mmol/L | 0.6 | 2.0 | 1
White blood cells | 10^3/uL | 4.0 | 10.5 | 1
Lymphocytes | 10^3/uL | 1.0 | 3.4 | 2
Monocytes | 10^3/uL | 0.2 | 0.85 | 2
Eosinophils | 10^3/uL | 0.04 | 0.45 | 2
Neutrophils | 10^3/uL | 1.9 | 7.2 | 1
ALT | U/L | 8 | 45 | 0
AST | U/L | 10 | 40 | 0
Alkaline phosphatase | U/L | 36 | 110 | 0
GGT | U/L | 8 | 55 | 0
Bilirubin | mg/dL | 0.25 | 1.15 | 1
LDH | U/L | 110 | 230 | 0
Creatine kinase | U/L | 35 | 190 | 0
Lipase | U/L | 12 | 60 | 0
Ferritin | ng/mL | 20 | 200 | 0
Iron | ug/dL | 50 | 160 | 0
C-reactive protein | mg/L | 0.3 | 7.0 | 1
Procalcitonin | ng/mL | 0.02 | 0.09 | 2
D-dimer | ng/mL | 120 | 500 | 0
Troponin T | ng/L | 3 | 14 | 0
NT-proBNP | pg/mL | 20 | 180 | 0
TSH | mU/L | 0.5 | 4.2 | 2
Triglycerides | mg/dL | 50 | 180 | 0
""")
_MEN = {
    "Hemoglobin": (13.5, 17.5), "Hematocrit": (40.0, 52.0), "Red blood cells": (4.4, 5.9), "Creatinine": (0.7, 1.25),
    "Ferritin": (30.0, 320.0), "Urate": (3.5, 8.0), "HDL cholesterol": (32.0, 65.0), "Creatine kinase": (45.0, 280.0),
}  # fmt: skip
ANALYTES = tuple(
    Analyte(name=name, unit=unit, low=low, high=high, digits=digits, men=_MEN.get(name, ()), skewed=skewed)
    for table, skewed in ((_NORMAL, False), (_SKEWED, True))
    for name, (unit, low, high, digits) in table.items()
)
NAMES = tuple(analyte.name for analyte in ANALYTES)

# What shifts which value by how many standard deviations of the healthy.
_FLUID = {"NT-proBNP": 5.0, "Albumin": -3.4}
_PATTERN: tuple[Mapping[str, float], ...] = (
    {},
    {"Hemoglobin": -4.5, "MCV": -4.0, "RDW": 4.5, "Ferritin": -3.8, "Iron": -3.5, "Transferrin": 2.8, "Platelets": 1.2},
    {"Creatinine": 6.5, "Urea nitrogen": 6.0, "Potassium": 2.2, "Phosphate": 3.5, "Bicarbonate": -3.2, "Urate": 1.8,
     "Calcium": -1.2, "pH": -2.0},
    {"C-reactive protein": 4.4, "Procalcitonin": 6.5, "White blood cells": 3.4, "Fibrinogen": 3.0, "Lactate": 2.0,
     "Lymphocytes": -1.5, "Iron": -1.2, "D-dimer": 1.6},
    {"ALT": 5.5, "AST": 6.0, "Bilirubin": 4.0, "INR": 3.8, "PT": 3.6, "GGT": 3.0, "Alkaline phosphatase": 1.6,
     "LDH": 3.0, "Ferritin": 1.5},
)  # fmt: skip
assert len(_PATTERN) == len(PATTERNS)


def draw_values(f: int, l: int, rng: CounterRng) -> np.ndarray:  # noqa: E741
    """Values that show f (fluid) and l (pattern): (A,) float64 as in ANALYTES, NaN where nothing was measured."""
    male = bool(rng.integers(2, (1,))[0])
    deviations = dict(zip(NAMES, rng.normal((len(NAMES),)) * 0.85 + 0.25 * rng.normal(), strict=True))
    strength = rng.uniform((2,), 0.75, 1.25)
    for name, shift in (_FLUID if f else {}).items():
        deviations[name] += shift * float(strength[0])
    for name, shift in _PATTERN[l].items():
        deviations[name] += shift * float(strength[1])
    values = {item.name: item.value(deviations[item.name], male=male) for item in ANALYTES}
    _follow(values, rng)
    found = np.array([round(values[item.name], item.digits) for item in ANALYTES])
    return np.where(rng.uniform((len(ANALYTES),)) < MISSING, np.nan, found)


def as_row(values: np.ndarray) -> dict[str, tuple[float, str]]:
    """name -> (value, unit) of what was measured, as the modality tabular reads it."""
    return {
        item.name: (round(float(value), item.digits), item.unit)
        for item, value in zip(ANALYTES, values, strict=True) if not np.isnan(value)
    }  # fmt: skip


def _follow(values: dict[str, float], rng: CounterRng) -> None:
    """Values that are computed from others, with a little error of measurement."""
    error = dict(zip(("cells", "mchc", "neutro", "gap"), 1 + 0.015 * rng.normal((4,)), strict=True))
    values["Hematocrit"] = values["Hemoglobin"] / 0.335 * error["mchc"]
    values["Red blood cells"] = values["Hematocrit"] / values["MCV"] * 10 * error["cells"]
    values["MCH"] = values["Hemoglobin"] / values["Red blood cells"] * 10
    values["MCHC"] = values["Hemoglobin"] / values["Hematocrit"] * 100
    others = values["Lymphocytes"] + values["Monocytes"] + values["Eosinophils"]
    values["Neutrophils"] = max(0.3, values["White blood cells"] - others) * error["neutro"]
    values["White blood cells"] = values["Neutrophils"] + others
    values["Total protein"] = values["Albumin"] + values["Globulin"]
    values["Anion gap"] = max(2.0, values["Sodium"] - values["Chloride"] - values["Bicarbonate"]) * error["gap"]
    values["PT"] = 12.0 * values["INR"] ** 0.95


def schema(values_NA: np.ndarray) -> Schema:
    """The schema that the modality tabular reads these values by, with quantiles of the given (training) values."""
    at = np.linspace(0, 100, 21)
    columns = [
        Column(
            name=item.name,
            unit=item.unit,
            quantiles=tuple(round(float(found), item.digits + 1) for found in np.nanpercentile(column, at)),
        )
        for item, column in zip(ANALYTES, np.asarray(values_NA, np.float64).T, strict=True)
    ]
    return Schema(columns=tuple(columns), source="schema of simclinic")
