"""PTB-XL: 21,799 twelve-lead recordings of ten seconds with reports and SCP-ECG statements (Wagner et al. 2020)."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni.data.layouts import PublishedLayout
from omni.errors import ConfigError
from omni.types import Sample

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
LABELS = ("superclass", "subclass", "diagnostic", "form", "rhythm", "all")
RATES = {500: "filename_hr", 100: "filename_lr"}
FOLDS = {"train": range(1, 9), "val": (9,), "test": (10,), "all": range(1, 11)}
CODE = ""  # the first column of scp_statements.csv has no name
STATEMENT_COLUMNS = (CODE, "description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")
COLUMNS = ("ecg_id", "patient_id", "age", "sex", "device", "report", "scp_codes", "heart_axis", "validated_by_human",
           "strat_fold")  # fmt: skip
SEXES = {0: "male", 1: "female"}
HIDDEN_AGE = 300  # what the table says of everyone above 89
LONGEST_CODES = 10_000


@dataclass(frozen=True)
class Recording:
    """One row of ptbxl_database.csv."""

    path: Path
    fold: int
    statements: Mapping[str, float]
    row: Mapping[str, str | None]


class PtbXl(PublishedLayout):
    """Slots ``ecg`` (a WFDB header) and ``text`` (the report as it is, most of them German; missing where it is empty).

    ``targets["labels"]`` has a 1 or 0 for each of ``classes``; ``targets["class"]`` is there where exactly one is 1.
    ``meta`` has the statements with their likelihoods in percent (0 = the likelihood is not known, not "absent"), age
    in years (None where it is hidden, with ``over_89``), sex, device, axis, fold, and whether a human validated it.

    Args:
        root: the folder with ``ptbxl_database.csv``, ``scp_statements.csv``, ``records100`` and ``records500``.
        split: "train" is folds 1 to 8, "val" fold 9, "test" fold 10, as its authors recommend; or "all". No patient is
            in two folds.
        missing: of PublishedLayout.
        rate: 500 or 100 Hz, which of the two copies of each recording.
        labels: what the classes are: "superclass" (NORM, MI, STTC, CD, HYP), "subclass", or statements: "diagnostic",
            "form", "rhythm", "all".
        min_likelihood: statements below it do not count, percent; at the default 0 all count, as in the published
            benchmark.
        patients: also give the patient's number, in ``meta["patient_id"]``.

    Raises:
        InputError: a table is missing or not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "ptb_xl"
    splits = ("train", "val", "test", "all")

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        rate: int = 500,
        labels: str = "superclass",
        min_likelihood: float = 0.0,
        patients: bool = False,
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.rate = self.choice("rate", rate, tuple(RATES))
        self.labels = self.choice("labels", labels, LABELS)
        if not 0 <= min_likelihood <= 100:
            raise ConfigError(f"ptb_xl: min_likelihood is {min_likelihood!r}; it is a percentage from 0 to 100.")
        self.min_likelihood, self.patients = float(min_likelihood), patients
        self._class_of = self._classes_of_statements()
        named = set(filter(None, self._class_of.values()))
        self.classes = SUPERCLASSES if labels == "superclass" else tuple(sorted(named))
        unknown = named.difference(self.classes)
        if unknown:
            raise self.wrong(f"'scp_statements.csv' has the superclass {sorted(unknown)[0]!r}, which is not published.")
        path = self.find_file("ptbxl_database.csv", what="one row a recording")
        rows = self.table(path, columns=(*COLUMNS, RATES[rate]))
        recordings = [self._recording(row, f"{path}, row {number}") for number, row in enumerate(rows, 1)]
        self.keep((str(item.row["ecg_id"]), item) for item in recordings if item.fold in FOLDS[split])

    def _classes_of_statements(self) -> dict[str, str | None]:
        """Statement -> its class under ``labels``, None for statements of another kind."""
        table = self.table(self.find_file("scp_statements.csv", what="the statements"), columns=STATEMENT_COLUMNS)
        column = {"superclass": "diagnostic_class", "subclass": "diagnostic_subclass"}.get(self.labels)
        found: dict[str, str | None] = {}
        for row in table:
            code = str(row[CODE])
            if column:
                found[code] = row[column] if _is_one(row["diagnostic"]) else None
            else:
                found[code] = code if self.labels == "all" or _is_one(row[self.labels]) else None
        return found

    def _recording(self, row: dict[str, str | None], where: str) -> Recording:
        fold = int(self.number(row["strat_fold"], float, where=where))
        if fold not in FOLDS["all"]:
            raise self.wrong(f"{where}: there is no fold {fold}.")
        record = row[RATES[self.rate]]
        return Recording(
            path=self.inside(f"{record}.hea" if record else ""),
            fold=fold,
            statements=self._statements(row["scp_codes"], where),
            row=row,
        )

    def _statements(self, text: str | None, where: str) -> dict[str, float]:
        """The dictionary that stands in the table as Python writes it; only literals are taken."""
        try:
            found = ast.literal_eval(text or "") if len(text or "") <= LONGEST_CODES else None
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = None
        numbers = isinstance(found, dict) and all(
            isinstance(code, str) and type(value) in (int, float) for code, value in found.items()
        )
        if not numbers:
            raise self.wrong(f"{where}: scp_codes is {(text or '')[:80]!r}, not a dictionary of statements.")
        for code in found:
            if code not in self._class_of:
                raise self.wrong(f"{where}: the statement {code!r} is not in 'scp_statements.csv'.")
        return {code: float(value) for code, value in found.items()}

    def sample(self, name: str, record: Recording) -> Sample:
        """A recording with its report and labels."""
        row, where = record.row, f"ptbxl_database.csv, ecg_id {name}"
        held = {
            self._class_of[code] for code, value in record.statements.items() if value >= self.min_likelihood
        }  # None for statements that have no class here
        labels = [int(each in held) for each in self.classes]
        values: dict[str, Any] = {"ecg": record.path}
        if row["report"] and row["report"].strip():
            values["text"] = row["report"].strip()
        age = None if row["age"] is None else self.number(row["age"], float, where=where)
        sex = None if row["sex"] is None else int(self.number(row["sex"], float, where=where))
        return Sample(
            id=name,
            values=values,
            keys={"ecg": f"{self.name}/{self.rate}/{name}"} | ({"text": values["text"]} if "text" in values else {}),
            targets={"labels": labels} | ({"class": labels.index(1)} if sum(labels) == 1 else {}),
            meta={
                "labels": [each for each, held_here in zip(self.classes, labels, strict=True) if held_here],
                "statements": dict(record.statements),
                "age": None if age == HIDDEN_AGE else age,
                "over_89": age == HIDDEN_AGE,
                "sex": SEXES.get(-1 if sex is None else sex),
                "device": (row["device"] or "").strip() or None,
                "heart_axis": row["heart_axis"],
                "validated_by_human": row["validated_by_human"] == "True",
                "fold": record.fold,
            }
            | ({"patient_id": str(row["patient_id"]).removesuffix(".0")} if self.patients else {}),
        )


def _is_one(text: str | None) -> bool:
    return (text or "").removesuffix(".0") == "1"
