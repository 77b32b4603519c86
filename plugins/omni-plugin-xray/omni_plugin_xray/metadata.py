"""What the header of a DICOM file may tell: numbers, and words of fixed vocabularies.

Fields that name a patient, a study, a place or a person are not even parsed unless ``identifiers`` asks for them, and
a field of a vocabulary that holds anything else reads as "OTHER": free text typed into it goes no further.
"""

from __future__ import annotations

import math
from typing import Any

from pydicom.dataset import Dataset

from omni_plugin_xray.view_codes import VIEW_CODES

PIXEL_TAGS = (
    "SOPClassUID", "Modality", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "VOILUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape", "BurnedInAnnotation", "PixelAspectRatio",
    "SmallestImagePixelValue", "LargestImagePixelValue", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "PixelData", "FloatPixelData", "DoubleFloatPixelData",
)  # fmt: skip
FACT_TAGS = (
    "ViewPosition", "ViewCodeSequence", "ImageLaterality", "Laterality", "BodyPartExamined", "PatientOrientation",
    "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
)  # fmt: skip
IDENTIFIER_TAGS = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate", "StudyInstanceUID",
    "SeriesInstanceUID", "SOPInstanceUID",
)  # fmt: skip

VIEWS = frozenset(VIEW_CODES.values()) | {
    "AP AXIAL", "AP LLD", "AP RLD", "LATERAL", "LL", "LLD", "LLO", "LPO", "PA LLD", "PA RLD", "RL", "RLD", "RLO",
    "SWIMMERS", "XTABLE LATERAL",
}  # fmt: skip
BODY_PARTS = frozenset(
    "ABDOMEN ABDOMENPELVIS ANKLE ARM BREAST CALCANEUS CERVICALSPINE CHEST CHESTABDOMEN CLAVICLE COCCYX CSPINE ELBOW "
    "EXTREMITY FEMUR FINGER FOOT FOREARM HAND HEAD HEEL HIP HUMERUS JAW KNEE LEG LOWERLEG LSPINE MANDIBLE NECK PATELLA "
    "PELVIS PORT_CHEST RIB RIBS SACRUM SCAPULA SHOULDER SINUS SKULL SPINE SSPINE STERNUM THIGH THORAX THUMB TIBIA TOE "
    "TSPINE WRIST ZYGOMA".split()
)
SIDES = frozenset({"L", "R", "B", "U"})
DIRECTIONS = frozenset("LRAPHF")
NO_VALUE = frozenset({"", "UNKNOWN", "NONE", "NA", "N/A"})
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
SPACING_MM = (0.005, 5.0)  # of any detector or film scanner; values beyond are of another unit


def facts(dataset: Dataset) -> dict[str, Any]:
    """The descriptive part of XrayImage.meta.

    Returns:
        view_position ("PA", "AP", "LL", "LATERAL", ...), laterality, body_part: a word of the vocabulary, "OTHER", or
        None where the file says nothing; patient_orientation: directions of rows and columns ("L", "F") or None;
        spacing_mm: (between rows, between columns) or None where it is not known; spacing_source: the field it comes
        from; at the detector unless that is PixelSpacing; spacing_problem: why it is not known, else None.
    """
    spacing, source, problem = _spacing(dataset)
    return {
        "view_position": _view(dataset),
        "laterality": _word(dataset, "ImageLaterality", SIDES) or _word(dataset, "Laterality", SIDES),
        "body_part": _word(dataset, "BodyPartExamined", BODY_PARTS),
        "patient_orientation": _orientation(dataset),
        "spacing_mm": spacing,
        "spacing_source": source,
        "spacing_problem": problem,
    }


def identifiers(dataset: Dataset) -> dict[str, str]:
    """Fields that name the patient, the study or the picture, as text; those that the file has."""
    return {tag: str(dataset.get(tag)) for tag in IDENTIFIER_TAGS if dataset.get(tag) not in (None, "")}


def number(value: Any) -> float | None:
    """A finite number or None."""
    try:
        made = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return made if math.isfinite(made) else None


def values(dataset: Dataset, tag: str) -> list[Any]:
    """The values of a field, [] if it is absent or empty."""
    value = dataset.get(tag)
    if value is None or value == "":
        return []
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)) else [value]


def word(dataset: Dataset, tag: str) -> str:
    """The first value in capitals, for comparison with known words only."""
    found = values(dataset, tag)
    return str(found[0]).strip().upper() if found else ""


def pixel_aspect(dataset: Dataset, spacing_mm: tuple[float, float] | None) -> float:
    """Height of a pixel divided by its width: of the spacing, or PixelAspectRatio, or 1."""
    if spacing_mm is not None:
        return spacing_mm[0] / spacing_mm[1]
    ratio = [number(value) for value in values(dataset, "PixelAspectRatio")]
    if len(ratio) == 2 and ratio[0] and ratio[1] and min(ratio) > 0:
        return ratio[0] / ratio[1]
    return 1.0


def _word(dataset: Dataset, tag: str, known: frozenset[str]) -> str | None:
    text = word(dataset, tag)
    if text in NO_VALUE:
        return None
    return text if text in known else "OTHER"


def _view(dataset: Dataset) -> str | None:
    """ViewPosition, or where it is empty or unknown the code of the view."""
    found = _word(dataset, "ViewPosition", VIEWS)
    if found in (None, "OTHER"):
        for item in values(dataset, "ViewCodeSequence"):
            code = VIEW_CODES.get(str(item.get("CodeValue", "")).strip())
            if code:
                return code
    return found


def _orientation(dataset: Dataset) -> tuple[str, str] | None:
    found = [str(value).strip().upper() for value in values(dataset, "PatientOrientation")]
    if len(found) != 2 or not all(item and len(item) <= 3 and set(item) <= DIRECTIONS for item in found):
        return None
    return found[0], found[1]


def _spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, str | None, str | None]:
    """(spacing, field, None) of the first field that can be believed, else (None, None, why the first cannot)."""
    low, high = SPACING_MM
    problems = []
    for tag in SPACINGS:
        pair = [number(value) for value in values(dataset, tag)]
        if len(pair) != 2 or pair[0] is None or pair[1] is None:
            problems += [f"{tag} is no pair of numbers"] if pair else []
        elif low <= min(pair) and max(pair) <= high:  # type: ignore[type-var]
            return (pair[0], pair[1]), tag, None
        else:
            problems.append(f"{tag} is {pair[0]:g} x {pair[1]:g}, not within {low:g} to {high:g} mm")
    return None, None, problems[0] if problems else "the file does not say it"
