"""Writes model_zoo.md from the zoo entries of the plugins in this repository; ``--check`` only compares.

python tools/build_model_zoo.py [--check] [--output model_zoo.md]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from omni.plugin.catalog import Entry, get_catalog

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# Model zoo

Made by `tools/build_model_zoo.py` from the entries of the plugins; do not edit. `omni zoo list` prints what is
installed, `omni.load(NAME)` loads a model with its preprocessing.
"""


def own_entries() -> list[Entry]:
    """Zoo entries of omni-core and of the distributions in plugins/, by name; whatever else happens to be installed has
    no place on this page."""
    ours = {"omni-core", *(path.name for path in (ROOT / "plugins").glob("omni-plugin-*"))}
    return [entry for entry in get_catalog().entries("model") if entry.distribution in ours]


def render(entries: Iterable[Entry]) -> str:
    """The page."""
    entries = list(entries)
    lines = [HEAD]
    if not entries:
        lines.append("No plugin of this repository brings a model yet.\n")
        return "\n".join(lines)
    lines += ["| name | modalities | tasks | parameters | weights | license | plugin |", "|" + "---|" * 7]
    for entry in entries:
        spec = entry.spec
        weights = f"{spec.bytes / 1e6:.1f} MB" if spec.weights else "recipe"
        lines.append(
            f"| [{spec.name}](#{_anchor(spec.name)}) | {', '.join(spec.modalities)} | {', '.join(spec.tasks)} | "
            f"{spec.params:,} | {weights} | {spec.license} | {entry.distribution} |"
        )
    lines.append("")
    for entry in entries:
        lines += _section(entry)
    return "\n".join(lines)


def _section(entry: Entry) -> list[str]:
    spec = entry.spec
    lines = [f"## {spec.name}", "", spec.summary, ""]
    facts = {
        "Trained on": ", ".join(spec.trained_on),
        "Recipe": spec.recipe,
        "Config": spec.config,
        "Needs": ", ".join(spec.plugins),
        "Source": spec.source,
        "sha256": spec.sha256,
    }
    lines += [f"- {name}: {value}" for name, value in facts.items() if value]
    if spec.results:
        lines += ["", "| data set | split | metric | value | source |", "|---|---|---|---|---|"]
        for row in spec.results:
            lines.append("| " + " | ".join(str(row.get(key, "")) for key in _RESULT_KEYS) + " |")
    return [*lines, ""]


_RESULT_KEYS = ("dataset", "split", "metric", "value", "source")


def _anchor(name: str) -> str:
    """The heading's link, as GitHub makes it."""
    return "".join(letter for letter in name.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 if the page is out of date")
    parser.add_argument("--output", type=Path, default=ROOT / "model_zoo.md")
    options = parser.parse_args(arguments)
    page = render(own_entries())
    if options.check:
        if options.output.is_file() and options.output.read_text(encoding="utf-8") == page:
            return 0
        print(f"{options.output} is out of date; run: make zoo", file=sys.stderr)
        return 1
    options.output.write_text(page, encoding="utf-8")
    print(f"Written: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
