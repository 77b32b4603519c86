"""Codes of radiographic views (DICOM PS3.16, CID 4010) -> short names; SNOMED CT and the older SRT numbers."""

from __future__ import annotations

VIEW_CODES: dict[str, str] = {
    "272479007": "PA",  # postero-anterior
    "R-40888": "PA",
    "R-10214": "PA",  # of earlier editions of the list
    "399348003": "AP",  # antero-posterior
    "R-10206": "AP",
    "399067008": "LATERAL",  # lateral
    "R-102CD": "LATERAL",
    "399173006": "LL",  # left lateral
    "R-10236": "LL",
    "399198007": "RL",  # right lateral
    "R-10232": "RL",
    "399135007": "LAO",  # left anterior oblique
    "R-10220": "LAO",
    "399356000": "RAO",  # right anterior oblique
    "R-40985": "RAO",
    "399006002": "LPO",  # left posterior oblique
    "R-10212": "LPO",
    "399038007": "RPO",  # right posterior oblique
    "R-10210": "RPO",
    "399033003": "FRONTAL",  # frontal
    "R-10202": "FRONTAL",
}
