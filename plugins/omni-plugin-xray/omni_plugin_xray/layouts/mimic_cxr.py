"""MIMIC-CXR: 377,110 chest radiographs of 227,835 studies with their reports; as DICOM, or as JPEG with labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

from omni.data.layouts import PublishedLayout
from omni.errors import ConfigError
from omni.types import Sample
from omni_plugin_xray.layouts.findings import FINDINGS, Labels, policies
from omni_plugin_xray.layouts.reports import SECTIONS, chosen

SPLITS = {"train": "train", "val": "validate", "test": "test"}
IMAGES = ("jpg", "dcm")
LABELLERS = ("chexpert", "negbio", None)
SAMPLES = ("image", "study")
TABLE = "mimic-cxr-2.0.0-{}.csv"
KEYS = ("dicom_id", "subject_id", "study_id")


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One row of the tables."""

    subject: str
    study: str
    dicom: str
    view: str | None
    labels: tuple[float, ...] | None

    @property
    def folder(self) -> str:
        return f"p{self.subject[:2]}/p{self.subject}"


class MimicCxr(PublishedLayout):
    """Slots ``xray`` and, with ``reports``, ``text``: the chosen sections of the study's report, which is missing where
    the report has none of them.

    ``targets["labels"]`` has for each of ``classes``: 1 found, 0 denied, -1 uncertain, NaN not mentioned.

    Args:
        root: the folder with ``files`` and, unless ``tables`` says where they are, the tables
            ``mimic-cxr-2.0.0-{split,metadata,chexpert,negbio}.csv.gz`` (or unpacked), which come with MIMIC-CXR-JPG.
        split: "train", "val" (published as "validate"), "test" or "all"; no patient is in two of the first three.
        missing: of PublishedLayout.
        images: "jpg" (MIMIC-CXR-JPG) or "dcm" (MIMIC-CXR).
        tables: their folder if it is another, as for "dcm"; relative to the root or absolute.
        reports: the folder that holds ``p10/p10000032/s50414267.txt``, relative to the root or absolute: "files" where
            they were unpacked into MIMIC-CXR. None = no text.
        sections: of the report, in this order: "findings", "impression", or any other heading in lower case.
        labeller: whose labels: "chexpert", "negbio", or None for none.
        uncertain: what -1 becomes: "keep", "ones", "zeros" or "ignore" (NaN), or finding -> one of them.
        views: keep only these view positions ("PA", "AP", "LATERAL", "LL"); None = all, also those that say none.
        each: what a sample is: an "image", or a "study" with its first image, by the order of ``views``.
        patients: also give the patient's pseudonym, in ``meta["patient"]`` (the paths of images have it too).

    Raises:
        InputError: a table or folder is missing or not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "mimic_cxr"
    barred = "PhysioNet lets models of credentialed data be passed on under the same agreement only"
    splits = (*SPLITS, "all")
    classes = FINDINGS

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        images: str = "jpg",
        tables: str | Path = ".",
        reports: str | Path | None = None,
        sections: Sequence[str] = SECTIONS,
        labeller: str | None = "chexpert",
        uncertain: str | Mapping[str, str] = "keep",
        views: Sequence[str] | None = None,
        each: str = "image",
        patients: bool = False,
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.images, self.each = self.choice("images", images, IMAGES), self.choice("each", each, SAMPLES)
        self.labeller, self.patients = self.choice("labeller", labeller, LABELLERS), patients
        if isinstance(sections, str) or not sections:
            raise ConfigError(f"mimic_cxr: sections is {sections!r}; give a list such as {list(SECTIONS)}.")
        self.sections, self._tables = tuple(sections), Path(tables)
        if isinstance(views, str):
            raise ConfigError(f"mimic_cxr: views is {views!r}; give a list such as ['PA', 'AP'].")
        self.views = None if views is None else tuple(view.upper() for view in views)
        self._labels = Labels(policies(uncertain, layout=self.name))
        self._files = self.find_folder("files", what=f"the radiographs as .{images}")
        self._reports = None if reports is None else self.find_folder(str(reports), what="the reports")
        self.keep(self._grouped(self._radiographs()))

    def _rows(self, which: str, *columns: str) -> Iterable[tuple[str | None, ...]]:
        names = [str(self._tables / (TABLE.format(which) + ending)) for ending in (".gz", "")]
        path = self.find_file(*names, what="it comes with MIMIC-CXR-JPG; `tables` may name its folder")
        return self.table(path, columns=columns).select(*columns)

    def _radiographs(self) -> Iterable[Radiograph]:
        view_of = {dicom: view and intern(view) for dicom, view in self._rows("metadata", "dicom_id", "ViewPosition")}
        known: dict[str | None, tuple[float, ...]] = {}
        if self.labeller:
            for study, *fields in self._rows(self.labeller, "study_id", *FINDINGS):
                where = f"mimic_cxr: {TABLE.format(self.labeller)}, study {study}"
                known[study] = self._labels(tuple(fields), where=where)
        for dicom, subject, study, part in self._rows("split", *KEYS, "split"):
            if self.split != "all" and part != SPLITS[self.split]:
                continue
            view = view_of.get(dicom)
            if self.views is None or (view or "").upper() in self.views:
                yield Radiograph(str(subject), str(study), str(dicom), view, known.get(study))

    def _grouped(self, found: Iterable[Radiograph]) -> Iterable[tuple[str, Radiograph]]:
        if self.each == "image":
            return [(item.dicom, item) for item in found]
        first: dict[str, Radiograph] = {}
        for item in found:
            if item.study not in first or self._rank(item) < self._rank(first[item.study]):
                first[item.study] = item
        return [(f"s{study}", item) for study, item in first.items()]

    def _rank(self, item: Radiograph) -> int:
        order = self.views or ("PA", "AP")
        view = (item.view or "").upper()
        return order.index(view) if view in order else len(order)

    def sample(self, name: str, record: Radiograph) -> Sample:
        """A radiograph with what is known of its study; the report as its path."""
        file = f"{record.folder}/s{record.study}/{record.dicom}.{self.images}"
        values: dict[str, Any] = {"xray": self.inside(self._files.name, file)}
        if self._reports is not None:
            values["text"] = self._reports / record.folder / f"s{record.study}.txt"
        meta = {"study": f"s{record.study}", "view": record.view}
        return Sample(
            id=name,
            values=values,
            keys={"xray": f"{self.name}/{self.images}/{record.dicom}"},
            targets={} if record.labels is None else {"labels": list(record.labels)},
            meta=meta | ({"patient": f"p{record.subject}"} if self.patients else {}),
        )

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        path = sample.values.pop("text", None)
        if path is not None:
            text = chosen(self._report(path), self.sections)
            if text:
                sample.values["text"] = sample.keys["text"] = text
        return sample

    def _report(self, path: Path) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self.wrong(f"the report {str(path)!r} cannot be read: {error}.") from error
