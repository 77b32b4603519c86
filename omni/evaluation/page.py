"""A report as one HTML page: tables, and plots as SVG within it. Needs matplotlib, which is imported here only."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from typing import Any

from omni.errors import MissingDependencyError
from omni.evaluation.geometry import BINS
from omni.evaluation.report import Report, chance_recall

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap; }
img { margin: 1rem 0; max-width: 100%; vertical-align: top; } .scroll { overflow-x: auto; }
"""
CONFUSION_MAX = 40  # classes up to which their names are written
CONFUSION_MOST = 400  # classes up to which a matrix is drawn


def report_page(report: Report) -> str:
    """The page as a string; the same report gives the same page.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401 - checked before anything is drawn
    except ImportError as error:
        raise MissingDependencyError(
            "An HTML report draws with matplotlib, which is not installed. Run pip install 'omni-core[plots]', or take "
            "the report as JSON."
        ) from error
    heading = f"{report.model} on {report.dataset}"
    parts = [f"<h1>{html.escape(heading)}</h1>"]
    parts += [_table(title, rows) for title, rows in report.tables().items()]
    for title, svg in figures(report).items():
        data = base64.b64encode(svg.encode()).decode()
        parts.append(f'<img alt="{html.escape(title)}" src="data:image/svg+xml;base64,{data}">')
    parts += [f"<p>{html.escape(note)}</p>" for note in report.all_notes()]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(heading)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def figures(report: Report) -> dict[str, str]:
    """Title -> SVG of every plot."""
    made = {}
    if report.retrieval:
        made["Recall at k"] = _svg(lambda axes: _recall(axes, report), width=7.0)
    for item in report.classification:
        if item.numbers.classes <= CONFUSION_MOST:
            made[f"Confusion of {item.title}"] = _svg(lambda axes, item=item: _confusion(axes, item))
    if report.geometry is not None:
        made["Spectrum"] = _svg(lambda axes: _spectrum(axes, report.geometry))
        for pair in report.geometry.pairs:
            made[f"Cosines of {pair.first} and {pair.second}"] = _svg(lambda axes, pair=pair: _cosines(axes, pair))
    return made


def _recall(axes: Any, report: Report) -> None:
    for number, item in enumerate(report.retrieval):
        colour = f"C{number % 10}"
        axes.plot(list(item.curve), list(item.curve.values()), marker=".", label=_plain(item.title), color=colour)
        chance = chance_recall(item)
        axes.plot(list(chance), list(chance.values()), ls=":", color=colour)
        for k, value in item.numbers.recall.items():
            interval = item.numbers.intervals.get(f"r{k}")
            if interval is not None:
                below, above = max(0.0, value - interval.low), max(0.0, interval.high - value)
                axes.errorbar([k], [value], yerr=[[below], [above]], color=colour, capsize=3)
    axes.set(xscale="log", xlabel="k", ylabel="recall at k", ylim=(0, 1.02), title="Retrieval (dotted: chance)")
    axes.legend(fontsize=8)


def _confusion(axes: Any, item: Any) -> None:
    counts = item.numbers.confusion_CC.double()
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy(), vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
    axes.set(title=_plain(item.title), xlabel="given", ylabel="true")
    if item.classes and len(item.classes) <= CONFUSION_MAX:
        names = [_plain(name) for name in item.classes]
        axes.set_xticks(range(len(item.classes)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(item.classes)), names, fontsize=7)


def _spectrum(axes: Any, geometry: Any) -> None:
    for item in geometry.slots:
        shown = [value for value in item.spectrum if value > 1e-7 * item.spectrum[0]]
        axes.plot(
            range(1, len(shown) + 1), shown, label=f"{_plain(item.slot)} (effective rank {item.effective_rank:.1f})"
        )
    axes.set(yscale="log", xlabel="direction", ylabel="share of the singular values", title="Spectrum of each slot")
    axes.legend(fontsize=8)


def _cosines(axes: Any, pair: Any) -> None:
    left = [-1 + 2 * number / BINS for number in range(BINS)]
    for counts, name in ((pair.unpaired, "two samples"), (pair.paired, "one sample")):
        shares = [count / max(1, sum(counts)) for count in counts]
        axes.bar(left, shares, width=2 / BINS, align="edge", alpha=0.6, label=name)
    axes.set(xlabel="cosine", ylabel="share", title=_plain(f"{pair.first} + {pair.second}"))
    axes.legend(fontsize=8)


def _plain(text: str) -> str:
    """The text as it is, where matplotlib would read mathematics between dollars."""
    return text.replace("$", r"\$")


def _svg(draw: Callable[[Any], None], *, width: float = 5.0) -> str:
    """Draw on a figure of its own, without pyplot's global state."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "omni", "svg.fonttype": "path", "text.usetex": False}):
        figure = Figure(figsize=(width, 4.2), layout="constrained")
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _table(title: str, rows: list[list[str]]) -> str:
    lines = [
        "<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in row) + "</tr>"
        for row, kind in zip(rows, ["th", *["td"] * (len(rows) - 1)], strict=True)
    ]
    return f'<h2>{html.escape(title)}</h2>\n<div class="scroll"><table>\n' + "\n".join(lines) + "\n</table></div>"
