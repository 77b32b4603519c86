"""Writes tiny folders in the published layouts, with drawn pictures: names, columns and quirks as published."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from xray_files import dicom, values

from omni_plugin_xray.layouts.findings import FINDINGS

SIDE = 40


def drawn(seed: int) -> np.ndarray:
    """A bright spine and a heart, to the right of the middle, between two dark lungs; uint8."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    chest = 0.6 - 0.35 * (np.abs(x - 0.5) > 0.1) + 0.3 * (((x - 0.6) / 0.15) ** 2 + ((y - 0.65) / 0.15) ** 2 < 1)
    noise = np.random.default_rng(seed).normal(0, 0.02, (SIDE, SIDE))
    return np.clip((chest + noise) * 255, 0, 255).astype(np.uint8)


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows])
    path.write_bytes(gzip.compress(text.getvalue().encode()) if path.suffix == ".gz" else text.getvalue().encode())


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = Image.fromarray(drawn(seed))
    (grey if path.suffix == ".jpg" else grey.convert("RGB")).save(path)


MIMIC_REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation, pleural effusion or
 pneumothorax.  Heart size: normal.

 IMPRESSION:

 No acute cardiopulmonary process.
"""
VIEWS_REPORT = """                                 FINAL REPORT
 HISTORY:  Cough.

 PA AND LATERAL VIEWS OF THE CHEST:  The lungs are clear.

 CONCLUSION:  Normal.
"""
PLAIN_REPORT = "                                 FINAL REPORT\n No change in the position of the tube.\n"
MIMIC_STUDIES = (  # subject, study, split, report, (dicom id, view), labels that are not empty
    ("10000032", "50414267", "train", MIMIC_REPORT,
     (("02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "LATERAL"),
      ("174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962", "PA")),
     {"No Finding": "1.0"}),
    ("10000032", "53189527", "train", VIEWS_REPORT, (("2a2277a9-b0ded155-c0de8eb9-c124d10e-82c5caab", "AP"),),
     {"Cardiomegaly": "-1.0", "Pleural Effusion": "0.0"}),
    ("10000764", "57375967", "validate", PLAIN_REPORT, (("096052b7-d256dc40-453a102b-fa7d01c6-1b22c6b4", ""),),
     {"Support Devices": "1.0"}),
    ("10000898", "50771383", "test", MIMIC_REPORT, (("2a280266-c8bae121-54d75383-cac046f4-ca37aa16", "PA"),), {}),
)  # fmt: skip


def mimic_cxr(root: Path, *, images: str = "jpg") -> Path:
    """Five images of four studies of three patients with reports and packed tables."""
    split, metadata, labelled = [], [], []
    for subject, study, part, report, pictures, found in MIMIC_STUDIES:
        folder = root / f"files/p{subject[:2]}/p{subject}"
        for number, (name, view) in enumerate(pictures):
            path = folder / f"s{study}" / f"{name}.{images}"
            picture(path, int(study) + number) if images == "jpg" else _dicom(path)
            split.append((name, study, subject, part))
            known = (name, subject, study, "CHEST (PA AND LAT)", view, SIDE, SIDE, 21800506, 213014.531)
            metadata.append((*known, "", "", ""))
        (folder / f"s{study}.txt").write_text(report)
        if found:
            labelled.append((subject, study, *(found.get(name, "") for name in sorted(FINDINGS))))
    write_table(root / "mimic-cxr-2.0.0-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), split)
    columns = ("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows",
               "Columns", "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning",
               "PatientOrientationCodeSequence_CodeMeaning")  # fmt: skip
    write_table(root / "mimic-cxr-2.0.0-metadata.csv.gz", columns, metadata)
    for labeller in ("chexpert", "negbio"):
        table = root / f"mimic-cxr-2.0.0-{labeller}.csv.gz"
        write_table(table, ("subject_id", "study_id", *sorted(FINDINGS)), labelled)
    return root


def _dicom(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dicom(values(SIDE, SIDE)))


CHEXPERT = {  # path below the folder, sex, age, view, projection, labels that are not empty
    "train": (
        ("train/patient00001/study1/view1_frontal.jpg", "Female", 68, "Frontal", "AP",
         {"No Finding": "1.0", "Pneumothorax": "0.0", "Support Devices": "1.0"}),
        ("train/patient00002/study2/view1_frontal.jpg", "Female", 87, "Frontal", "AP",
         {"Cardiomegaly": "-1.0", "Lung Opacity": "1.0", "Edema": "-1.0", "Fracture": "1.0"}),
        ("train/patient00002/study1/view2_lateral.jpg", "Male", 83, "Lateral", "", {"Lung Opacity": "1.0"}),
        ("train/patient64540/study1/view1_frontal.jpg", "Unknown", 0, "Frontal", "PA", {"Consolidation": "-1.0"}),
    ),
    "valid": (
        ("valid/patient64541/study1/view1_frontal.jpg", "Male", 73, "Frontal", "AP",
         dict.fromkeys(FINDINGS, "0.0") | {"Cardiomegaly": "1.0"}),
    ),
}  # fmt: skip


def chexpert(root: Path, *, folder: str = "CheXpert-v1.0-small") -> Path:
    """Four radiographs for training and one for validation, in ``root/folder``."""
    columns = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
    for name, rows in CHEXPERT.items():
        table = []
        for number, (path, sex, age, view, projection, found) in enumerate(rows):
            picture(root / folder / path, number)
            marks = (found.get(finding, "") for finding in FINDINGS)
            table.append((f"CheXpert-v1.0-small/{path}", sex, age, view, projection, *marks))
        write_table(root / folder / f"{name}.csv", columns, table)
    return root


OPEN_I = (  # number, findings, impression, main headings, endings of its pictures' names
    (1, "The heart is of normal size.  The lungs are clear.", "Normal chest x-XXXX.", ("normal",), ("3001", "4001")),
    (2, "", "1. Mild cardiomegaly.\n2. No effusion.", ("Cardiomegaly/mild", "Opacity/lung/base/left"), ("1001",)),
    (3, "", "", ("Technical Quality of Image Unsatisfactory ", "Opacity/lung/hilum"), ("1001", "1002", "2001")),
    (4, "A clip is seen.", "", ("No Indexing",), ()),
    (7, "Lungs are clear.", "No acute disease.", ("normal",), ("1001", "2001")),
    (16, "Clear lungs.", "Normal.", ("normal",), ("1001",)),
)  # fmt: skip


def open_i(root: Path) -> Path:
    """Six reports with nine pictures."""
    (root / "ecgen-radiology").mkdir(parents=True)
    for number, findings, impression, majors, endings in OPEN_I:
        names = [f"CXR{number}_{number}_IM-{number:04d}-{ending}" for ending in endings]
        for index, name in enumerate(names):
            picture(root / f"NLMCXR_png/{name}.png", 10 * number + index)
        (root / f"ecgen-radiology/{number}.xml").write_text(_xml(number, findings, impression, majors, names))
    return root


def _xml(number: int, findings: str, impression: str, majors: Sequence[str], names: Sequence[str]) -> str:
    heads = "".join(f"<major>{each}</major>" for each in majors)
    pictures = "".join(
        f'<parentImage id="{name}"><figureId>F1</figureId><caption>Xray Chest PA and Lateral</caption>'
        f'<panel type="single"><url>/hadoop/storage/radiology/extract/{name}.jpg</url></panel></parentImage>'
        for name in names
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<eCitation>
   <meta type="rr"/>
   <uId id="CXR{number}"/>
   <ccLicense>byncnd</ccLicense>
   <MedlineCitation Owner="Indiana University" Status="supplied by publisher">
      <Article PubModel="Electronic">
         <Abstract>
            <AbstractText Label="COMPARISON">None.</AbstractText>
            <AbstractText Label="INDICATION">Positive TB test</AbstractText>
            <AbstractText Label="FINDINGS">{findings}</AbstractText>
            <AbstractText Label="IMPRESSION">{impression}</AbstractText>
         </Abstract>
      </Article>
   </MedlineCitation>
   <MeSH>{heads}<automatic>tuberculosis</automatic></MeSH>
   {pictures}
</eCitation>"""
