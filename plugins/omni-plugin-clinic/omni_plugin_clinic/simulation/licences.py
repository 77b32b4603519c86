"""What may be done with an edition: its LICENSES file, and the terms that models trained on it inherit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omni.data.building.packages import Source
from omni_plugin_clinic.simulation.sources import CT, OPEN_I, PULSE

NOTICE = "Simulated, not for clinical use: no case is a patient. Research software, not a medical device."
_MIT = """
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def terms(edition: str, *, open_i: bool) -> list[dict[str, Any]]:
    """What holds for the data and for what is trained on it; see omni.data.terms."""
    own = {"data": f"simclinic {edition}", "license": "MIT AND Apache-2.0", "publish": True}
    if not open_i:
        return [own]
    return [
        own,
        {"data": f"Open-i reports in simclinic {edition}", "license": OPEN_I.license, "publish": False,
         "why": "the reports may not be used commercially nor passed on in changed form"},
    ]  # fmt: skip


def write_licences(folder: Path, sources: list[Source]) -> None:
    """Write LICENSES: a row for every file that is now in ``folder``, plus edition.json and LICENSES itself."""
    real = OPEN_I in sources
    rows = ["file | licence | what it is, where it comes from", "--- | --- | ---"]
    for name in sorted({path.name for path in folder.iterdir()} | {"edition.json", "LICENSES"}):
        rows.append(" | ".join((name, *_row(name, real))))
    credits = [
        f"{source.package} {source.version} ({source.license}): {source.credit}. {source.url}" for source in sources
    ]
    text = "\n".join([NOTICE, "", *rows, "", *credits]) + "\n" + _MIT
    if real:
        text += (
            "\nThe texts of this edition are reports under CC-BY-NC-ND-4.0, unchanged, from this machine's copy of the "
            "package: keep\nthem here. https://creativecommons.org/licenses/by-nc-nd/4.0/legalcode\n"
        )
    (folder / "LICENSES").write_text(text, encoding="utf-8")


def _row(name: str, real: bool) -> tuple[str, str]:
    if name.endswith(".zip"):
        return "MIT", (
            f"radiographs projected from the CT of {CT.package} {CT.version}; ECGs made of beats by the generator of "
            f"{PULSE.package} {PULSE.version}"
        )
    if name.startswith("facts-") and real:
        return OPEN_I.license, f"reports of {OPEN_I.package} {OPEN_I.version}, and what each case was made with"
    return "Apache-2.0", "this file" if name == "LICENSES" else "made by this project"
