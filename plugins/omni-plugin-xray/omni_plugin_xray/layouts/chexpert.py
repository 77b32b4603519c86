"""CheXpert: 224,316 chest radiographs of 65,240 patients with fourteen labels each (Irvin et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from sys import intern

from omni.data.layouts import PublishedLayout
from omni.errors import ConfigError
from omni.types import Sample
from omni_plugin_xray.layouts.findings import FINDINGS, Labels, policies

PREFIX = "CheXpert-v1.0"
PLACES = ("", f"{PREFIX}-small/", f"{PREFIX}/")
TABLES = {"train": ("train.csv",), "val": ("valid.csv",), "test": ("test.csv", "test_labels.csv")}
VIEWS = ("frontal", "lateral")
FRONT = "Frontal/Lateral"
EXTRA = ("Sex", "Age", FRONT, "AP/PA")  # the tables of the test set lack them


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One row of a table."""

    path: str
    view: str
    projection: str | None
    sex: str | None
    age: int | None
    labels: tuple[float, ...]


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
        self._labels = Labels(policies(uncertain, layout=self.name))
        table = self.find_file(*(place + name for name in TABLES[split] for place in PLACES), what="the labels")
        self._folder = table.parent.relative_to(self.root).as_posix()
        self.keep((name, item) for name, item in self._radiographs(table) if self._wanted(item))

    def _radiographs(self, table: Path) -> Iterator[tuple[str, Radiograph]]:
        rows = self.table(table, columns=("Path", *FINDINGS))
        extra = [name for name in EXTRA if name in rows.columns]
        for number, (path, *fields) in enumerate(rows.select("Path", *extra, *FINDINGS), 1):
            facts = dict(zip(extra, fields[: len(extra)], strict=True))
            marks, where = tuple(fields[len(extra) :]), f"{table}, row {number}"
            yield f"{self.split}-{number}", self._radiograph(path, facts, marks, where)

    def _wanted(self, item: Radiograph) -> bool:
        return self.view in (None, item.view) and (self.projections is None or item.projection in self.projections)

    def _radiograph(
        self, path: str | None, row: dict[str, str | None], marks: tuple[str | None, ...], where: str
    ) -> Radiograph:
        parts = (path or "").split("/")
        if parts[0].startswith(PREFIX):
            parts = parts[1:]
        if len(parts) < 4:
            known = "'train/patient00001/study1/view1_frontal.jpg'"
            raise self.wrong(f"{where}: the path {path!r} is not like {known}.")
        age = row.get("Age")
        view = (row.get(FRONT) or parts[-1].rpartition("_")[2].partition(".")[0]).lower()
        if view not in VIEWS:
            raise self.wrong(f"{where}: the view is {view!r}, neither frontal nor lateral.")
        projection = row.get("AP/PA")
        return Radiograph(
            path="/".join(parts),
            view=intern(view),
            projection=projection and intern(projection),
            sex={"Male": "male", "Female": "female"}.get(row.get("Sex") or ""),
            age=None if age is None else self.number(age, where=where),
            labels=self._labels(marks, where=f"{self.name}: {where}"),
        )

    def sample(self, name: str, record: Radiograph) -> Sample:
        """A radiograph with its labels."""
        meta = {"view": record.view, "projection": record.projection, "sex": record.sex, "age": record.age}
        return Sample(
            id=name,
            values={"xray": self.inside(self._folder, record.path)},
            keys={"xray": f"{self.name}/{name}"},
            targets={"labels": list(record.labels)},
            meta=meta | ({"patient": record.path.split("/")[1]} if self.patients else {}),
        )
