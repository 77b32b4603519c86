"""Open-i: chest radiographs of Indiana University, 3,955 reports and 7,470 pictures (Demner-Fushman et al. 2016)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni.data.layouts import PublishedLayout
from omni.data.shuffling import mix
from omni.errors import ConfigError
from omni.types import Sample
from omni_plugin_xray.layouts.reports import SECTIONS

TENTHS = {"train": range(8), "val": (8,), "test": (9,), "all": range(10)}
SAMPLES = ("image", "report")
IMAGES = "NLMCXR_png"
REPORTS = ("ecgen-radiology", "NLMCXR_reports/ecgen-radiology")


@dataclass(frozen=True, slots=True)
class Report:
    """One XML file."""

    number: int
    sections: dict[str, str]
    majors: tuple[str, ...]
    images: tuple[str, ...]


class OpenI(PublishedLayout):
    """Slots ``xray`` and ``text``, which is missing where the report has none of the chosen sections. With
    ``each="report"`` a report's second picture is ``xray_2``, and so on.

    ``targets["labels"]`` has a 1 or 0 for each of ``classes``, the main headings that were given to the reports
    ("normal", "Opacity", "Cardiomegaly", ...: what stands before the first slash). ``meta["majors"]`` has them whole.

    No split is published: "train", "val" and "test" are made here, by a hash of the report's number, 80 : 10 : 10.
    Pictures of one report stay together.

    Args:
        root: the folder with ``ecgen-radiology`` (XML) and ``NLMCXR_png``, as unpacked.
        split: "train", "val", "test" or "all".
        missing: of PublishedLayout.
        sections: of the report, in this order: "findings", "impression", "indication", "comparison".
        each: what a sample is: an "image" (its report comes with every one of them), or a "report" with several slots.
        images: with ``each="report"``, the most pictures of one; further ones are left out.
        least: headings in fewer reports than that are no classes.

    Raises:
        InputError: a folder is missing, or a report is not as published.
        ConfigError: an option that cannot be meant.
    """

    name = "open_i"
    barred = "reports and pictures may not be used commercially nor passed on in changed form"
    splits = tuple(TENTHS)

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "train",
        missing: str = "raise",
        sections: Sequence[str] = SECTIONS,
        each: str = "image",
        images: int = 2,
        least: int = 1,
    ) -> None:
        super().__init__(root, split=split, missing=missing)
        self.each = self.choice("each", each, SAMPLES)
        if isinstance(sections, str) or not sections:
            raise ConfigError(f"open_i: sections is {sections!r}; give a list such as {list(SECTIONS)}.")
        if images < 1 or least < 1:
            raise ConfigError(f"open_i: images={images} and least={least} must be at least 1.")
        self.sections, self.images = tuple(name.lower() for name in sections), images
        folder = self.find_folder(*REPORTS, what="the reports, XML")
        self.find_folder(IMAGES, what="the radiographs, PNG")
        found = sorted((self._report(path) for path in folder.glob("*.xml")), key=lambda report: report.number)
        count: dict[str, int] = {}
        for report in found:
            for heading in _headings(report):
                count[heading] = count.get(heading, 0) + 1
        self.classes = tuple(sorted(heading for heading, times in count.items() if times >= least))
        self.keep(self._samples(report for report in found if mix(self.name, report.number) % 10 in TENTHS[split]))

    def _samples(self, found: Iterable[Report]) -> Iterable[tuple[str, tuple[Report, tuple[str, ...]]]]:
        for report in found:
            if self.each == "image":
                yield from ((name, (report, (name,))) for name in report.images)
            elif report.images:
                yield f"CXR{report.number}", (report, report.images[: self.images])

    def _report(self, path: Path) -> Report:
        try:
            data = path.read_bytes()
            if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
                raise self.wrong(f"{str(path)!r} defines entities, which no published report does.")
            root = xml.fromstring(data)
        except (OSError, xml.ParseError) as error:
            raise self.wrong(f"{str(path)!r} cannot be read as a report: {error}.") from error
        number = re.fullmatch(r"CXR(\d+)", root.find("uId").get("id", "") if root.find("uId") is not None else "")
        if number is None:
            raise self.wrong(f"{str(path)!r} has no number such as CXR1 in its uId; it is no report of this data set.")
        parts = [(each.get("Label", "").lower(), each.text or "") for each in root.iter("AbstractText")]
        return Report(
            number=int(number[1]),
            sections={name: " ".join(text.split()) for name, text in parts if text.strip()},
            majors=tuple(" ".join(each.text.split()) for each in root.iter("major") if each.text and each.text.strip()),
            images=tuple(dict.fromkeys(each.get("id", "") for each in root.iter("parentImage"))),
        )

    def sample(self, name: str, record: tuple[Report, tuple[str, ...]]) -> Sample:
        """A picture, or the pictures of a report, with the report's text and headings."""
        report, images = record
        values: dict[str, Any] = {
            "xray" if number == 0 else f"xray_{number + 1}": self.inside(IMAGES, f"{image}.png")
            for number, image in enumerate(images)
        }
        keys = {slot: f"{self.name}/{image}" for slot, image in zip(values, images, strict=True)}
        text = " ".join(report.sections[each] for each in self.sections if each in report.sections)
        if text:
            values["text"] = keys["text"] = text
        held = _headings(report)
        return Sample(
            id=name,
            values=values,
            keys=keys,
            targets={"labels": [int(heading in held) for heading in self.classes]},
            meta={"report": f"CXR{report.number}", "majors": list(report.majors)},
        )


def _headings(report: Report) -> set[str]:
    return {major.partition("/")[0].strip() for major in report.majors}
