"""Everything that was measured of one model on one data set: as a table, JSON, or a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omni.evaluation.geometry import Geometry
from omni.evaluation.retrieval import Evaluation
from omni.evaluation.zero_shot import Classification

Rows = list[list[str]]


@dataclass(kw_only=True)
class Report:
    """Results, in the order in which they were measured.

    Attributes:
        model, dataset: their names, for the heading.
        retrieval, classification: results.
        geometry: None = not measured.
        confidence: of the intervals that are shown.
        notes: what a reader must know, a sentence each.
    """

    model: str
    dataset: str
    retrieval: list[Evaluation] = field(default_factory=list)
    classification: list[Classification] = field(default_factory=list)
    geometry: Geometry | None = None
    confidence: float = 0.95
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "model": self.model,
            "dataset": self.dataset,
            "confidence": self.confidence,
            "retrieval": [item.to_dict() for item in self.retrieval],
            "classification": [item.to_dict() for item in self.classification],
            "geometry": None if self.geometry is None else self.geometry.to_dict(),
            "notes": self.notes,
        }

    def tables(self) -> dict[str, Rows]:
        """title -> rows of cells, the first row the heading."""
        made: dict[str, Rows] = {}
        for item in self.retrieval:
            made[f"{item.title}, {item.score} score"] = retrieval_rows(item)
        if self.classification:
            made["Classification"] = classification_rows(self.classification)
        if self.geometry is not None:
            made.update(geometry_tables(self.geometry))
        return made

    def print(self) -> None:
        """Tables on the terminal."""
        from rich.console import Console
        from rich.table import Table

        console = Console()
        for title, (heading, *rows) in self.tables().items():
            table = Table(*heading, title=title, title_justify="left")
            for row in rows:
                table.add_row(*row)
            console.print(table)
        for note in self.all_notes():
            console.print(note)

    def all_notes(self) -> list[str]:
        """The notes, and those that follow from the results."""
        notes = list(self.notes)
        for item in self.retrieval:
            if item.left_out:
                notes.append(f"{item.title}: {item.left_out} samples lack one of the slots and were left out.")
        if self.geometry is not None and self.geometry.left_out:
            pairs = ", ".join(self.geometry.left_out)
            notes.append(f"Not trained as a pair, so without alignment and gap: {pairs}.")
        if any(item.numbers.intervals for item in [*self.retrieval, *self.classification]):
            notes.append(f"In brackets: {self.confidence:.0%} bootstrap intervals over the queries or samples.")
        return notes

    def save_html(self, path: str | Path) -> Path:
        """Write one page with tables and plots, without any file beside it.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        from omni.evaluation.page import report_page

        place = Path(path)
        text = report_page(self)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
        return place


def retrieval_rows(item: Evaluation) -> Rows:
    """One line for the result and one for each control."""
    numbers = item.numbers
    heading = ["", *(f"R@{k}" for k in numbers.recall), "mAP", "median rank", "queries", "candidates", "right/query"]
    rows = [heading]
    for name, found in (("", numbers), *((f"{slot} shuffled", part) for slot, part in item.controls.items())):
        recalls = [with_interval(value, found.intervals.get(f"r{k}")) for k, value in found.recall.items()]
        rows.append(
            [
                name,
                *recalls,
                with_interval(found.mean_average_precision, found.intervals.get("map")),
                with_interval(found.median_rank, found.intervals.get("median_rank"), form="g"),
                str(found.queries),
                str(found.candidates),
                f"{found.positives:.3g}",
            ]
        )
    rows.append(["chance", *(f"{value:.3f}" for value in chance_recall(item).values()), *[""] * 5])
    return rows


def chance_recall(item: Evaluation) -> dict[int, float]:
    """k -> recall of a random order, for the mean number of right candidates: exact where all queries have as many."""
    wrong, total = item.numbers.candidates - item.numbers.positives, item.numbers.candidates
    made = {}
    for k in item.numbers.recall:
        missed = 1.0
        for drawn in range(min(k, total)):
            missed *= max(0.0, wrong - drawn) / (total - drawn)
        made[k] = 1 - missed
    return made


def classification_rows(items: list[Classification]) -> Rows:
    """One line each; columns of the cut-offs that all share, and of the first's."""
    ks = sorted({k for item in items for k in item.numbers.accuracy})
    rows = [["", *(f"top-{k}" for k in ks), "class mean", "chance", "majority", "samples", "classes", "settings"]]
    for item in items:
        found = item.numbers
        cells = [
            with_interval(found.accuracy[k], found.intervals.get(f"top{k}")) if k in found.accuracy else "" for k in ks
        ]
        shown = {key: value for key, value in item.settings.items() if key not in ("templates", "label")}
        if len(item.settings.get("templates", ())) > 1:
            shown["prompts a class"] = len(item.settings["templates"])
        settings = ", ".join(f"{key} {value}" for key, value in shown.items())
        facts = [f"{found.balanced:.3f}", f"{found.chance:.3f}", f"{found.majority:.3f}"]
        rows.append([item.title, *cells, *facts, str(found.samples), str(found.classes), settings])
    return rows


def geometry_tables(geometry: Geometry) -> dict[str, Rows]:
    """Of slots, and of pairs where there are any."""
    slots = [["slot", "values", "uniformity", "effective rank", "less the mean", "width"]]
    for item in geometry.slots:
        spread = "" if item.uniformity is None else f"{item.uniformity:.3f}"
        ranks = [f"{item.effective_rank:.1f}", f"{item.effective_rank_centred:.1f}"]
        slots.append([item.slot, str(item.values), spread, *ranks, str(item.width)])
    made = {"Geometry of slots": slots}
    if geometry.pairs:
        rows = [["pair", "samples", "alignment", "modality gap"]]
        for pair in geometry.pairs:
            name = f"{pair.first} + {pair.second}"
            rows.append([name, str(pair.samples), f"{pair.alignment:.3f}", f"{pair.gap:.3f}"])
        made["Geometry of pairs"] = rows
    return made


def with_interval(value: float | None, interval: Any, *, form: str = ".3f") -> str:
    """ "0.250 [0.200, 0.300]"."""
    if value is None:
        return ""
    if interval is None:
        return f"{value:{form}}"
    return f"{value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"
