"""The LICENSES file of an edition: a row for every file, then the attributions."""

from __future__ import annotations

from pathlib import Path

from omni.data.building.packages import Source
from omni_plugin_m3mini.builder.sources import CLDR, NOTO, OPENMOJI, TWEMOJI

ARTS: dict[str, Source] = {"noto": NOTO, "twemoji": TWEMOJI, "openmoji": OPENMOJI}
_TABLE = "index table, made by this project"
_NOTICE = """
The names in edition.json and what the clips say come from the Unicode CLDR annotations, under Unicode-3.0:

  Permission is hereby granted, free of charge, to any person obtaining a copy of data files and any associated
  documentation (the "Data Files") or software and any associated documentation (the "Software") to deal in the Data
  Files or Software without restriction, including without limitation the rights to use, copy, modify, merge, publish,
  distribute, and/or sell copies of the Data Files or Software, and to permit persons to whom the Data Files or Software
  are furnished to do so, provided that either (a) this copyright and permission notice appear with all copies of the
  Data Files or Software, or (b) this copyright and permission notice appear in associated Documentation.

  THE DATA FILES AND SOFTWARE ARE PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
  LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT OF THIRD PARTY
  RIGHTS. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR HOLDERS INCLUDED IN THIS NOTICE BE LIABLE FOR ANY CLAIM, OR ANY
  SPECIAL INDIRECT OR CONSEQUENTIAL DAMAGES, OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS,
  WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
  PERFORMANCE OF THE DATA FILES OR SOFTWARE.

  Except as contained in this notice, the name of a copyright holder shall not be used in advertising or otherwise to
  promote the sale, use or other dealings in these Data Files or Software without prior written authorization of the
  copyright holder.

The speech is synthetic: espeak-ng 1.51 spoke those names in its own voice variants. The program is GPL-3.0-or-later and
no part of it is here; its sound output is not covered by its licence.
"""

_BUILT_HERE = """
This edition was built on this machine from the packages named above. It holds human recordings under the GNU General
Public License: keep it here, or pass it on only as that licence says.
"""


def write_licences(folder: Path, arts: tuple[str, ...], recordings: tuple[Source, ...] = ()) -> None:
    """Write LICENSES for every file that is now in ``folder``, plus edition.json and LICENSES itself.

    ``recordings`` are the packages whose human speech is among the shards.
    """
    pictures = " AND ".join(ARTS[art].license for art in arts)
    rows = ["file | licence | what it is, where it comes from", "--- | --- | ---"]
    for name in sorted({path.name for path in folder.iterdir()} | {"edition.json", "LICENSES"}):
        row = _row(name, pictures, arts)
        if recordings and (name.startswith("speech-") or name == "edition.json"):
            licences = " AND ".join(dict.fromkeys(source.license for source in recordings))
            origin = ", ".join(f"{source.package} {source.version}" for source in recordings)
            row = (f"{licences} AND {row[0]}", f"speech or texts of {origin}, and {row[1]}")
        rows.append(" | ".join((name, *row)))
    credits = [
        f"{source.package} {source.version} ({source.license}): {source.credit}. {source.url}"
        for source in (CLDR, *(ARTS[art] for art in arts), *recordings)
    ]
    links = [
        "Licence texts: https://www.apache.org/licenses/LICENSE-2.0, https://creativecommons.org/licenses/by/4.0/legalcode,",
        "https://creativecommons.org/licenses/by-sa/4.0/legalcode, https://www.unicode.org/license.txt",
    ]
    text = "\n".join([*rows, "", *credits, "", *links]) + "\n" + _NOTICE
    if recordings:
        text += _BUILT_HERE
    (folder / "LICENSES").write_text(text, encoding="utf-8")


def _row(name: str, pictures: str, arts: tuple[str, ...]) -> tuple[str, str]:
    if name.startswith("pictures-"):
        folders = ", ".join(f"{art}/ from {ARTS[art].package} {ARTS[art].version} {ARTS[art].license}" for art in arts)
        return pictures, f"pictures: {folders}"
    if name.startswith("speech-"):
        return "Unicode-3.0", f"names of {CLDR.package} {CLDR.version}, spoken by espeak-ng 1.51 (synthetic speech)"
    if name == "edition.json":
        return "Unicode-3.0", f"names from {CLDR.package} {CLDR.version}; the rest is this project's, Apache-2.0"
    return "Apache-2.0", "this file" if name == "LICENSES" else _TABLE
