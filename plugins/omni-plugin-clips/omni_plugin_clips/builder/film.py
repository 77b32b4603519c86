"""Gets the films: Big Buck Bunny out of moviepy's sources, a street out of OpenCV's documentation; builds bbb."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

from omni.data.building.archives import read_deb_member, read_members
from omni.data.building.frame import builder_parser, new_folder, run_builder, write_info
from omni.data.building.packages import Source, obtain
from omni.errors import InputError
from omni_plugin_clips.builder.sources import MOVIEPY, OPENCV
from omni_plugin_clips.shots import read_shots
from omni_plugin_clips.store import FORMAT
from omni_plugin_m3mini.store import cache_folder

Progress = Callable[[str, int, int], None]
INNER = "docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip"
FILM = "moviepy_10_minutes/resources/bbb.mp4"
STREET = "usr/share/doc/opencv-doc/examples/data/vtest.avi"
MOST_BYTES = 200_000_000  # of the film; a small archive can announce any size


def main(argv: list[str] | None = None) -> int:
    """``omni data build bbb``; returns the exit status."""
    parser = builder_parser(
        "omni data build bbb", "Build the data set bbb.", folder="bbb", packages="pip download of moviepy's sources"
    )
    arguments = parser.parse_args(argv)
    return run_builder(build_bbb, arguments.out or cache_folder("bbb"), arguments)


def build_bbb(
    out: Path, *, cache: Path, given: list[Path], workers: int = 1, progress: Progress | None = None
) -> Path:
    """The film as it is in the package; where its shots are and what they show is in the plugin.

    Raises:
        OmniError: the package cannot be had. InputError: it is not the pinned one.
    """
    film = film_of(obtain(MOVIEPY, cache=cache, given=given))
    with new_folder(out) as part:
        (part / "bbb.mp4").write_bytes(film)
        write_licences(part, (MOVIEPY,))
        write_info(part, {"format": FORMAT, "name": "bbb", "shots": len(read_shots())})
    return out


def film_of(archive: Path) -> bytes:
    """Big Buck Bunny (MP4) out of the zip archive within moviepy's source archive.

    Raises:
        InputError: it is not there, damaged, or too large.
    """
    root = archive.name.removesuffix(".tar.gz")
    inner = read_members(archive, {f"{root}/{INNER}"})[f"{root}/{INNER}"]
    try:
        with zipfile.ZipFile(io.BytesIO(inner)) as packed:
            size = packed.getinfo(FILM).file_size
            if size > MOST_BYTES:
                raise InputError(f"{archive.name}: {FILM} announces {size} bytes; refused")
            return packed.read(FILM)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{archive.name}: no {FILM} within {INNER} ({error}); fetch the package again") from error


def street_of(archive: Path) -> bytes:
    """vtest.avi out of Debian's opencv-doc; raises InputError if it is not there."""
    return read_deb_member(archive, STREET)


def street(*, cache: Path, given: list[Path], installed: Path = Path("/")) -> bytes:
    """vtest.avi: of the installed package if no other place is given, else of the .deb, fetched if need be."""
    if not given and (installed / STREET).is_file():
        return (installed / STREET).read_bytes()
    return street_of(obtain(OPENCV, cache=cache, given=given))


def write_licences(part: Path, sources: tuple[Source, ...], note: str = "") -> None:
    """LICENSES of a built folder: what everything in it comes from."""
    rows = [f"{s.package} {s.version} ({s.license}): {s.credit}. {s.url}" for s in sources]
    text = "\n".join(["Built on this machine from these packages; pass it on only as their licences say.", *rows, note])
    (part / "LICENSES").write_text(text.rstrip() + "\n", encoding="utf-8")


