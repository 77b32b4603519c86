"""Everything that was measured of one model on one data set: as a table, JSON, or a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omni.evaluation.geometry import Geometry
from omni.evaluation.retrieval import Evaluation
from omni.evaluation.zero_shot import Classification
from omni.metrics.bootstrap import Interval

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
        interval = f"{self.confidence:.0%} interval"
        for item in self.retrieval:
            made[retrieval_title(item)] = retrieval_rows(item, interval)
        if self.classification:
            made["Classification"] = classification_rows(self.classification, interval)
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
        notes += [classification_note(item) for item in self.classification]
        if self.geometry is not None and self.geometry.left_out:
            pairs = ", ".join(self.geometry.left_out)
            notes.append(f"Not trained as a pair, so without alignment and gap: {pairs}.")
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


def retrieval_title(item: Evaluation) -> str:
    """What was searched with what, under which score, among how many."""
    found = item.numbers
    kind = f"candidates ({item.by_label} {item.candidates})" if item.by_label else "candidates"
    right = "" if found.positives == 1 else f", {found.positives:.3g} right ones each"
    return f"{item.title}, {item.score} score: {found.queries} queries, {found.candidates} {kind}{right}"


def retrieval_rows(item: Evaluation, interval: str) -> Rows:
    """One line a measure; a column for the result, its interval, each control and chance."""
    chance = {f"r{k}": f"{value:.3f}" for k, value in chance_recall(item).items()}
    rows = [["", "", interval, *(f"{slot} shuffled" for slot in item.controls), "chance"]]
    measures = [(f"R@{k}", f"r{k}", ".3f") for k in item.numbers.recall]
    for title, name, form in (*measures, ("mAP", "map", ".3f"), ("median rank", "median_rank", "g")):
        values = [found.to_dict().get(name) for found in (item.numbers, *item.controls.values())]
        cells = ["" if value is None else f"{value:{form}}" for value in values]
        rows.append([title, cells[0], ends(item.numbers.intervals.get(name), form), *cells[1:], chance.get(name, "")])
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


def classification_rows(items: list[Classification], interval: str) -> Rows:
    """One line each; columns of every cut-off that occurs."""
    ks = sorted({k for item in items for k in item.numbers.accuracy} - {1})
    rows = [["", "top-1", interval, *(f"top-{k}" for k in ks), "class mean", "chance", "majority"]]
    for item in items:
        found = item.numbers
        further = [f"{found.accuracy[k]:.3f}" if k in found.accuracy else "" for k in ks]
        facts = [f"{value:.3f}" for value in (found.balanced, found.chance, found.majority)]
        rows.append(
            [item.title, f"{found.accuracy[1]:.3f}", ends(found.intervals.get("top1"), ".3f"), *further, *facts]
        )
    return rows


def classification_note(item: Classification) -> str:
    """Samples, classes and the settings of one line."""
    shown = {key.replace("_", " "): value for key, value in item.settings.items() if key != "templates"}
    if len(item.settings.get("templates", ())) > 1:
        shown["prompts a class"] = len(item.settings["templates"])
    settings = ", ".join(f"{key} {value}" for key, value in shown.items())
    return f"{item.title}: {item.numbers.samples} samples, {item.numbers.classes} classes, {settings}."


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


def ends(interval: Interval | None, form: str) -> str:
    """ "0.200 to 0.300"; empty where there is no interval."""
    return "" if interval is None else f"{interval.low:{form}} to {interval.high:{form}}"
