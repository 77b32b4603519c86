"""Real reports of the Indiana collection (Open-i), chosen by their MeSH labels to fit what a radiograph shows.

They are CC-BY-NC-ND-4.0: read from the user's own copy of the package, kept whole, never shipped.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from omni.data.building.counter_rng import CounterRng, seed_of
from omni.errors import InputError

MEMBER = "torchxrayvision/data/NLMCXR_reports.tgz"
_CLOUDY = ("opacity", "infiltrate", "consolidation", "pneumonia", "density", "airspace disease")
_ROUND = ("nodule", "mass", "granuloma", "calcified granuloma")
_MOST_XML = 200_000


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report and what its labels say.

    Attributes:
        id: of the collection. text: findings, then impression.
        heart, fluid: whether the labels name cardiomegaly, pleural effusion.
        shadows: of latents.SHADOWS, those that the labels name by kind and side; {0} where they name none of any kind.
    """

    id: str
    text: str
    heart: bool
    fluid: bool
    shadows: frozenset[int]


def read_reports(wheel: Path) -> list[Report]:
    """The reports in the wheel of torchxrayvision that have labels and text, by id.

    Raises:
        InputError: they are not in it, or cannot be read.
    """
    reports = []
    try:
        with zipfile.ZipFile(wheel) as archive, tarfile.open(fileobj=io.BytesIO(archive.read(MEMBER))) as tar:
            for member in tar:
                if member.isreg() and member.name.endswith(".xml") and member.size <= _MOST_XML:
                    report = _parsed(tar.extractfile(member).read())
                    if report is not None:
                        reports.append(report)
    except (zipfile.BadZipFile, tarfile.TarError, KeyError, OSError, ElementTree.ParseError) as error:
        raise InputError(f"{wheel.name}: {MEMBER} cannot be read ({error}); fetch the package again") from error
    return sorted(reports, key=lambda report: int(report.id))


def of_split(reports: list[Report], split: str) -> list[Report]:
    """The reports of one split: 80 in 100 train, 10 val, 10 test, by a hash of their ids."""
    shares = {"train": range(0, 80), "val": range(80, 90), "test": range(90, 100)}[split]
    return [report for report in reports if seed_of("simclinic", "open-i", report.id) % 100 in shares]


def choose_report(reports: list[Report], c: int, f: int, s: int, rng: CounterRng) -> tuple[Report, dict[str, bool]]:
    """A report that fits best, at random among equals, and which of c, f and s it agrees with.

    Few real reports name just one combination: heart and fluid count before the shadow.
    """

    def fit(report: Report) -> tuple[int, int]:
        return (report.heart == bool(c)) + (report.fluid == bool(f)), s in report.shadows

    best = max(map(fit, reports))
    equal = [report for report in reports if fit(report) == best]
    report = equal[int(rng.integers(len(equal), (1,))[0])]
    return report, {"c": report.heart == bool(c), "f": report.fluid == bool(f), "s": s in report.shadows}


def _parsed(data: bytes) -> Report | None:
    root = ElementTree.fromstring(data)
    parts = {node.get("Label", ""): (node.text or "").strip() for node in root.iter("AbstractText")}
    text = " ".join(parts[label] for label in ("FINDINGS", "IMPRESSION") if parts.get(label))
    labels = [(node.text or "").strip().lower() for node in root.iter("major")]
    number = next((node.get("id", "") for node in root.iter("IUXRId")), "")
    if not text or not labels or not number.isdigit() or "no indexing" in labels:
        return None
    shadows, any_shadow = set(), False
    for label in labels:
        kind, *where = label.split("/")
        for names, first in ((_CLOUDY, 1), (_ROUND, 3)):
            if kind in names:
                any_shadow = True
                shadows |= {first + side for side, name in enumerate(("right", "left")) if name in where}
    return Report(
        id=number,
        text=text,
        heart=any(label.startswith("cardiomegaly") for label in labels),
        fluid=any(label.startswith("pleural effusion") for label in labels),
        shadows=frozenset(shadows if any_shadow else {0}),
    )
