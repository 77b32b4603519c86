"""Sections of a radiology report in plain text, by its headings in capitals."""

from __future__ import annotations

import re
from collections.abc import Sequence

HEADING = re.compile(r"^[ \t]*([A-Z][A-Z0-9 ()/,&'.-]{2,60}?):(?=\s|$)", re.MULTILINE)
SECTIONS = ("findings", "impression")
OTHERS = ("EXAM", "TECHNIQUE", "INDICATION", "COMPARISON", "HISTORY", "PROCEDURE", "REASON", "NOTIFICATION", "WET READ")
VIEWS = ("CHEST", "VIEW", "RADIOGRAPH", "PORTABLE")


def sections(report: str) -> dict[str, str]:
    """Name of each section, in lower case -> its text with single spaces; sections of one name are joined.

    Headings of findings and impression are known by their words: "FINDINGS AND IMPRESSION" is "findings", "CONCLUSION"
    is "impression", and so is a heading that only names the picture ("PA AND LATERAL VIEWS OF THE CHEST"): "findings".
    """
    found: dict[str, list[str]] = {}
    marks = list(HEADING.finditer(report))
    ends = [*(mark.start() for mark in marks[1:]), len(report)]
    for mark, end in zip(marks, ends, strict=False):  # no mark, no section
        text = " ".join(report[mark.end() : end].split())
        if text:
            found.setdefault(_kind(mark[1]), []).append(text)
    return {name: " ".join(texts) for name, texts in found.items()}


def _kind(heading: str) -> str:
    if any(word in heading for word in OTHERS):
        return heading.lower()
    if "FINDING" in heading:
        return "findings"
    if "IMPRESSION" in heading or "CONCLUSION" in heading:
        return "impression"
    return "findings" if any(word in heading for word in VIEWS) else heading.lower()


def chosen(report: str, wanted: Sequence[str]) -> str:
    """The wanted sections one after the other, "" if the report has none of them."""
    found = sections(report)
    return " ".join(found[name] for name in wanted if name in found)
