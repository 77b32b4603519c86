"""Where the human recordings lie: Tux Paint's stamps and KTuberling's sounds, from Debian or from a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from omni.data.building.archives import unpack_deb
from omni.data.building.packages import Source, obtain
from omni.errors import InputError

STAMPS = Source(
    package="tuxpaint-stamps-default", version="2022.06.04-1", client="apt",
    filename="tuxpaint-stamps-default_2022.06.04-1_all.deb",
    sha256="6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34", license="GPL-2.0-only",
    credit="Tux Paint stamps, copyright 2002-2022 Bill Kendrick and the contributors that its changelog names",
    url="https://tuxpaint.org",
)  # fmt: skip
KTUBERLING = Source(
    package="ktuberling-data", version="4:22.12.3-1", client="apt",
    filename="ktuberling-data_4%3a22.12.3-1_all.deb",
    sha256="fba44c875bfa31ea488dadd9263e87a4dcaea0bd47d28817f6c0dc6d2af970ed", license="GPL-2.0-or-later",
    credit="KTuberling, copyright 1999-2017 its authors and the KDE team; the spoken words of its scenes",
    url="https://apps.kde.org/ktuberling",
)  # fmt: skip
_PLACES = {STAMPS.package: "usr/share/tuxpaint/stamps", KTUBERLING.package: "usr/share/ktuberling/sounds"}


def find_tree(source: Source, *, cache: Path, given: list[Path], installed: Path = Path("/")) -> Path:
    """The data folder of a package of recordings.

    Looked for in this order: a folder in ``given`` that is the data folder or the root of an unpacked package; the
    installed package; the .deb in ``given`` or ``cache``, or fetched with ``apt-get download``, unpacked in ``cache``.

    Raises:
        InputError: the archive is not the pinned one. OmniError: it is nowhere and cannot be fetched.
    """
    place = _PLACES[source.package]
    for folder in given:
        if (folder / place).is_dir():
            return folder / place
        if folder.is_dir() and folder.name == Path(place).name and folder.parent.name == Path(place).parent.name:
            return folder
    if not given and (installed / place).is_dir():
        return installed / place
    unpacked = cache / f"{source.package}-{source.version.replace(':', '_')}"
    if not unpacked.is_dir():
        archive = obtain(source, cache=cache, given=given)
        part = unpacked.with_name(unpacked.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        unpack_deb(archive, part)
        os.replace(part, unpacked)
    if not (unpacked / place).is_dir():
        raise InputError(f"{unpacked} has no {place}; remove it and fetch {source.filename} again")
    return unpacked / place


def tree_digest(folder: Path) -> str:
    """sha256 over the sorted relative paths and sizes of a folder's files: which version of a package was read."""
    rows = sorted(
        f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}" for path in folder.rglob("*") if path.is_file()
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
