"""Builds composites: cut-outs of Tux Paint's stamps, frames of two films, sounds of the things."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from omni.data.building.frame import builder_parser, new_folder, run_builder, write_info
from omni.data.building.packages import obtain
from omni.data.building.zip_shards import Place, write_shards
from omni.errors import InputError
from omni_plugin_clips.builder.film import film_of, street, write_licences
from omni_plugin_clips.builder.media import small_frames
from omni_plugin_clips.builder.scenes import DARK, spoken_name
from omni_plugin_clips.builder.sources import MOVIEPY, OPENCV
from omni_plugin_clips.shots import SHARES as FILM_SHARES
from omni_plugin_clips.shots import TABLE, read_shots, split_shots
from omni_plugin_detection.composites.dataset import BLOCKS, FORMAT, GROUND_HEIGHT
from omni_plugin_m3mini.builder.stamp_sources import STAMPS, find_tree, tree_digest
from omni_plugin_m3mini.builder.stamps import SHARES, plain_svg
from omni_plugin_m3mini.builder.tuxpaint import Stamp, deal_groups, object_groups, read_stamps
from omni_plugin_m3mini.store import cache_folder

Progress = Callable[[str, int, int], None]
CUT_SIDE = 112  # longer side of a cut-out, pixels
SPLITS = ("seen", "seen", "unseen")  # of train, val and test of the data set stamps
FPS = 1
_JPEG = 92


def main(argv: list[str] | None = None) -> int:
    """``omni data build composites``; returns the exit status."""
    parser = builder_parser(
        "omni data build composites", "Build the data set composites.", folder="composites",
        packages="apt-get download, pip download",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    return run_builder(build_composites, arguments.out or cache_folder("composites"), arguments)


def build_composites(
    out: Path, *, cache: Path, given: list[Path], workers: int = 1, progress: Progress | None = None,
    shots: Path = TABLE,
) -> Path:  # fmt: skip
    """Cut-outs (PNG), grounds (JPEG) and sounds into ``out`` (replaced whole, only when all is done).

    Raises:
        OmniError: a package cannot be had. InputError: it is not what it should be.
    """
    tell = progress or (lambda what, done, total: None)
    folder = find_tree(STAMPS, cache=cache, given=given)
    stamps = [stamp for stamp in read_stamps(folder) if not stamp.is_symbol and stamp.speech and "en" in stamp.names]
    if not stamps:
        raise InputError(f"{folder}: no stamp of a thing has a name and recorded speech; is it {STAMPS.package}?")
    groups = object_groups(stamps)
    split = deal_groups(stamps, groups, SHARES)
    films = {
        "cartoon": (film_of(obtain(MOVIEPY, cache=cache, given=given)), MOVIEPY.filename),
        "street": (street(cache=cache, given=given), OPENCV.filename),
    }
    with new_folder(out) as part:
        cut_outs = []
        for number, stamp in enumerate(stamps):
            cut_outs.append(cut_out(stamp))
            tell("cut-outs", number + 1, len(stamps))
        places = write_shards(part, "things", [(f"{s.id}.png", _png(c)) for s, c in zip(stamps, cut_outs, strict=True)])
        sounding = [stamp for stamp in stamps if stamp.effect is not None and stamp.effect.suffix == ".ogg"]
        heard = write_shards(part, "sounds", [(f"{s.id}.ogg", s.effect.read_bytes()) for s in sounding if s.effect])
        sounds = {s.id: _place("sounds", p) for s, p in zip(sounding, heard, strict=True)}
        grounds = _write_grounds(part, films, shots, tell)
        write_licences(part, (STAMPS, MOVIEPY, OPENCV), "The stamps' licence, GPL-2.0, is that of the whole.")
        things = [
            {"id": s.id, "category": s.category, "group": g, "name": plain_name(s), "names": s.names,
             "part": SPLITS[n], "size": list(c.shape[:2]), "place": _place("things", p), "sound": sounds.get(s.id)}
            for s, g, n, c, p in zip(stamps, groups, split, cut_outs, places, strict=True)
        ]  # fmt: skip
        info = {"format": FORMAT, "name": "composites", "things": things, "grounds": grounds}
        write_info(part, {**info, "sources": {STAMPS.package: tree_digest(folder)}})
    return out


def cut_out(stamp: Stamp) -> np.ndarray:
    """(H, W, 4) uint8: a stamp without its empty border, longer side at most 112 pixels.

    Raises:
        InputError: it cannot be read, or there is nothing in it.
    """
    from PIL import Image, UnidentifiedImageError

    data = stamp.picture.read_bytes()
    try:
        if stamp.picture.suffix == ".svg":
            import cairosvg

            data = cairosvg.svg2png(bytestring=plain_svg(data, stamp.picture.name), output_width=2 * CUT_SIDE)
        picture = Image.open(io.BytesIO(data)).convert("RGBA")
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise InputError(f"{stamp.picture}: not a picture ({error})") from error
    box = picture.getchannel("A").point(lambda value: 255 * (value >= 128)).getbbox()
    if box is None:
        raise InputError(f"{stamp.picture} is empty")
    picture = picture.crop(box)
    picture.thumbnail((CUT_SIDE, CUT_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def plain_name(stamp: Stamp) -> str:
    """ "a dog": the stamp's English text where it is a thing with an article, else what its file is called."""
    try:
        return spoken_name(stamp.names["en"])
    except InputError:
        return "the " + stamp.id.rsplit("/", 1)[-1].replace("_", " ").replace("-", " ").lower()


def _write_grounds(
    part: Path, films: dict[str, tuple[bytes, str]], shots: Path, tell: Progress
) -> list[dict[str, object]]:
    rows: list[tuple[str, str]] = []
    members = []
    for number, (ground, (film, name)) in enumerate(films.items()):
        frames_THWC = small_frames(film, fps=FPS, height=GROUND_HEIGHT, name=name)
        for block in BLOCKS:
            for moment in ground_moments(frames_THWC, ground, block, shots):
                members.append((f"{ground}/{moment:04d}.jpg", _jpeg(frames_THWC[moment])))
                rows.append((ground, block))
        tell("films", number + 1, len(films))
    places = write_shards(part, "grounds", members)
    return [
        {"film": film, "block": block, "place": _place("grounds", p)}
        for (film, block), p in zip(rows, places, strict=True)
    ]


def ground_moments(frames_THWC: np.ndarray, ground: str, block: str, table: Path = TABLE) -> list[int]:
    """Numbers of the bright frames of a film's block of time; the cartoon's blocks are those of the data set bbb.

    Raises:
        InputError: there is none.
    """
    bright = frames_THWC[:, ::4, ::4].mean((1, 2, 3)) >= DARK
    inside = np.zeros(len(bright), bool)
    if ground == "cartoon":
        found = read_shots(table)
        for shot, split in zip(found, split_shots(found), strict=True):
            if shot.kind == "scene" and split == block:
                inside[int(np.ceil(shot.start * FPS)) : int(shot.end * FPS)] = True
    else:
        bounds = (np.cumsum((0, *FILM_SHARES)) * len(bright)).astype(int)
        place = BLOCKS.index(block)
        inside[bounds[place] : bounds[place + 1]] = True
    moments = np.flatnonzero(bright & inside).tolist()
    if not moments:
        raise InputError(f"composites: the film of the {ground} has no bright frame in its block {block!r}")
    return moments


def _place(stem: str, place: Place) -> list[object]:
    return [f"{stem}-{place.shard:03d}.zip", place.offset, place.size]


def _png(pixels_HWC: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC).save(buffer, format="PNG")
    return buffer.getvalue()


def _jpeg(pixels_HWC: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC).save(buffer, format="JPEG", quality=_JPEG)
    return buffer.getvalue()
