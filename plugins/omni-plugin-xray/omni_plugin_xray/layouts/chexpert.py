"""CheXpert: 224,316 chest radiographs of 65,240 patients with fourteen labels each (Irvin et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from omni.data.layouts import PublishedLayout
from omni.errors import ConfigError
from omni.types import Sample
from omni_plugin_xray.layouts.findings import FINDINGS, labels, policies

PREFIX = "CheXpert-v1.0"
PLACES = ("", f"{PREFIX}-small/", f"{PREFIX}/")
TABLES = {"train": ("train.csv",), "val": ("valid.csv",), "test": ("test.csv", "test_labels.csv")}
VIEWS = ("frontal", "lateral")
FRONT = "Frontal/Lateral"


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One row of a table."""

    path: Path
    view: str
    projection: str | None
    sex: str | None
    age: int | None
    labels: tuple[float, ...]
    patient: str


class CheXpert(PublishedLayout):
    """One slot ``xray``. ``targets["labels"]`` has for each of ``classes``: 1 found, 0 denied, -1 uncertain, NaN not
    mentioned. ``meta`` has view ("frontal", "lateral"), projection ("AP", "PA", a few "LL" and "RL"; None for lateral
    ones), sex and age.

    Args:
        root: the folder ``CheXpert-v1.0-small`` or ``CheXpert-v1.0``, or the one that holds it; the first part of the
            paths in the tables names that folder and is left out.
        split: "train" (labels from reports, by a program), "val" (``valid.csv``, by radiologists) or "test"
            (``test.csv`` or ``test_labels.csv``, published later).
        missing: of PublishedLayout.
        view: "frontal" or "lateral"; None = both.
        projections: keep only these, as ["PA", "AP"]; None = all.
        uncertain: what -1 becomes: "keep", "ones", "zeros" or "ignore" (NaN), or finding -> one of them.
        patients: also give the patient's number, in ``meta["patient"]`` (the paths have it too).

    Raises:
        InputError: a table is missing or not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "chexpert"
    splits = tuple(TABLES)
    classes = FINDINGS

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        view: str | None = None,
        projections: list[str] | tuple[str, ...] | None = None,
        uncertain: str | Mapping[str, str] = "keep",
        patients: bool = False,
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.view, self.patients = self.choice("view", view, (*VIEWS, None)), patients
        if isinstance(projections, str):
            raise ConfigError(f"chexpert: projections is {projections!r}; give a list such as ['PA', 'AP'].")
        self.projections = None if projections is None else {each.upper() for each in projections}
        self._uncertain = policies(uncertain, layout=self.name)
        table = self.find_file(*(place + name for name in TABLES[split] for place in PLACES), what="the labels")
        self._folder = table.parent.relative_to(self.root).as_posix()
        rows = self.table(table, columns=("Path", *FINDINGS))
        found = [(f"{split}-{n}", self._radiograph(row, f"{table}, row {n}")) for n, row in enumerate(rows, 1)]
        self.keep((name, item) for name, item in found if self._wanted(item))

    def _wanted(self, item: Radiograph) -> bool:
        return self.view in (None, item.view) and (self.projections is None or item.projection in self.projections)

    def _radiograph(self, row: dict[str, str | None], where: str) -> Radiograph:
        parts = PurePosixPath(str(row["Path"] or "")).parts
        if parts and parts[0].startswith(PREFIX):
            parts = parts[1:]
        if len(parts) < 4:
            known = "'train/patient00001/study1/view1_frontal.jpg'"
            raise self.wrong(f"{where}: the path {row['Path']!r} is not like {known}.")
        age = row.get("Age")
        view = (row.get(FRONT) or parts[-1].rpartition("_")[2].partition(".")[0]).lower()
        if view not in VIEWS:
            raise self.wrong(f"{where}: the view is {view!r}, neither frontal nor lateral.")
        return Radiograph(
            path=self.inside(self._folder, *parts),
            view=view,
            projection=row.get("AP/PA"),
            sex={"Male": "male", "Female": "female"}.get(row.get("Sex") or ""),
            age=None if age is None else self.number(age, where=where),
            labels=tuple(labels(row, self._uncertain, where=f"{self.name}: {where}")),
            patient=parts[1],
        )

    def sample(self, name: str, record: Radiograph) -> Sample:
        """A radiograph with its labels."""
        meta = {"view": record.view, "projection": record.projection, "sex": record.sex, "age": record.age}
        return Sample(
            id=name,
            values={"xray": record.path},
            keys={"xray": f"{self.name}/{name}"},
            targets={"labels": list(record.labels)},
            meta=meta | ({"patient": record.patient} if self.patients else {}),
        )
