"""Builds mix: things with a sound of their own (Tux Paint's stamps), moved over two films."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omni.data.building.counter_rng import seed_of
from omni.data.building.frame import builder_parser, new_folder, run_builder, write_info
from omni.data.building.packages import obtain
from omni.data.building.zip_shards import write_shards
from omni.errors import InputError
from omni_plugin_clips.builder.film import film_of, street, write_licences
from omni_plugin_clips.builder.media import RATE, small_frames, write_mp4
from omni_plugin_clips.builder.sources import MOVIEPY, OPENCV
from omni_plugin_clips.scene import FPS, FRAMES, GROUNDS, SECONDS, SIDE, Scene, draw_scenes, ears, render
from omni_plugin_clips.shots import SHARES, TABLE, read_shots, split_shots
from omni_plugin_clips.shots import SPLITS as BLOCK_NAMES
from omni_plugin_clips.store import FORMAT
from omni_plugin_m3mini.builder.speech import recorded_wave
from omni_plugin_m3mini.builder.stamp_sources import STAMPS, find_tree, tree_digest
from omni_plugin_m3mini.builder.tuxpaint import Stamp, object_groups, read_stamps
from omni_plugin_m3mini.store import cache_folder

Progress = Callable[[str, int, int], None]
COUNTS = {"train": 2000, "val": 200, "test": 400, "unseen": 200}
SILENT = 0.15
UNSEEN = 0.12  # share of the things
BLOCKS = {"train": "train", "val": "val", "test": "test", "unseen": "test"}  # of the films' time
_NOUN = re.compile(r"(a|an|the|some) [A-Za-z' -]+")
DARK = 24.0  # mean brightness below which a piece of film is no ground


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A stamp with its sound: id, English name, group of things that are called alike, RGBA picture, 16 kHz wave."""

    id: str
    name: str
    group: int
    picture_HWC: np.ndarray
    wave_T: np.ndarray


def main(argv: list[str] | None = None) -> int:
    """``omni data build mix``; returns the exit status."""
    parser = builder_parser(
        "omni data build mix", "Build the data set mix.", folder="mix", packages="apt-get download, pip download"
    )
    parser.add_argument("--scenes", type=int, default=COUNTS["train"], help="of training (default %(default)s)")
    arguments = parser.parse_args(argv)
    counts = {**COUNTS, "train": arguments.scenes}
    return run_builder(build_mix, arguments.out or cache_folder("mix"), arguments, counts=counts)


def build_mix(
    out: Path, *, cache: Path, given: list[Path], workers: int = 1, progress: Progress | None = None,
    counts: dict[str, int] = COUNTS, shots: Path = TABLE,
) -> Path:  # fmt: skip
    """Render every scene into ``out`` (replaced whole, only when all is done).

    Args:
        counts: scenes of each split. shots: the table of the cartoon's shots.

    Raises:
        OmniError: a package cannot be had. InputError: it is not what it should be.
    """
    tell = progress or (lambda what, done, total: None)
    folder = find_tree(STAMPS, cache=cache, given=given)
    things, left_out = read_things(folder)
    films = {
        "cartoon": (film_of(obtain(MOVIEPY, cache=cache, given=given)), MOVIEPY.filename),
        "street": (street(cache=cache, given=given), OPENCV.filename),
    }
    grounds = {}
    for number, (ground, (film, name)) in enumerate(films.items()):
        grounds[ground] = small_frames(film, fps=FPS, height=SIDE, name=name)
        tell("films", number + 1, len(films))
    scenes = plan(things, grounds, counts, shots)
    with new_folder(out) as part:
        members = []
        with ThreadPoolExecutor(workers) as pool:
            made = pool.map(lambda row: _scene_file(row[1], things, grounds), scenes)
            for (split, _), data in zip(scenes, made, strict=True):
                members.append((f"{split}/{len(members):05d}.mp4", data))
                if len(members) % 50 == 0 or len(members) == len(scenes):
                    tell("scenes", len(members), len(scenes))
        places = write_shards(part, "scenes", members)
        rows = [
            {"split": split, **scene.to_dict(), "place": [f"scenes-{p.shard:03d}.zip", p.offset, p.size]}
            for (split, scene), p in zip(scenes, places, strict=True)
        ]
        write_licences(part, (STAMPS, MOVIEPY, OPENCV), "The stamps' licence, GPL-2.0, is that of the whole.")
        info = {
            "format": FORMAT, "name": "mix", "side": SIDE, "fps": FPS, "seconds": SECONDS, "scenes": rows,
            "left_out": left_out, "sources": {STAMPS.package: tree_digest(folder)},
            "things": [
                {"id": t.id, "name": t.name, "group": t.group, "size": list(t.picture_HWC.shape[:2])} for t in things
            ],
        }  # fmt: skip
        write_info(part, info)
    return out


def read_things(folder: Path) -> tuple[list[Thing], dict[str, str]]:
    """The stamps of things that have a sound and a PNG picture, and file -> reason of those that cannot be used.

    Raises:
        InputError: fewer than four.
    """
    stamps = [s for s in read_stamps(folder) if s.effect is not None and not s.is_symbol and "en" in s.names]
    groups = object_groups(stamps)
    things, left_out = [], {}
    for stamp, group in zip(stamps, groups, strict=True):
        assert stamp.effect is not None
        try:
            name, picture_HWC, wave_T = spoken_name(stamp.names["en"]), cut_out(stamp), recorded_wave(stamp.effect)
        except InputError as error:
            left_out[stamp.id] = str(error).replace(f"{folder}/", "")
            continue
        things.append(Thing(id=stamp.id, name=name, group=group, picture_HWC=picture_HWC, wave_T=wave_T))
    if len(things) < 4:
        raise InputError(f"{folder}: {len(things)} things with a picture and a sound; is it {STAMPS.package}?")
    return things, left_out


def cut_out(stamp: Stamp) -> np.ndarray:
    """(H, W, 4) uint8: a stamp's PNG picture without its empty border, at most 128 pixels a side.

    Raises:
        InputError: no PNG, or nothing in it.
    """
    from PIL import Image, UnidentifiedImageError

    if stamp.picture.suffix != ".png":
        raise InputError(f"{stamp.picture} is no PNG")
    try:
        picture = Image.open(stamp.picture).convert("RGBA")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{stamp.picture}: not a picture ({error})") from error
    box = picture.getchannel("A").point(lambda value: 255 * (value > 32)).getbbox()
    if box is None:
        raise InputError(f"{stamp.picture} is empty")
    picture = picture.crop(box)
    picture.thumbnail((128, 128), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def spoken_name(text: str) -> str:
    """ "A dog." -> "a dog": to stand in a sentence.

    Raises:
        InputError: no thing with an article in at most five words; some stamps are called by a whole sentence.
    """
    name = text.strip().rstrip(".!").strip()
    name = name[:1].lower() + name[1:]
    if _NOUN.fullmatch(name) is None or len(name.split()) > 5:
        raise InputError(f"is called {text!r}, no thing with an article in at most five words")
    return name


def plan(
    things: list[Thing], grounds: dict[str, np.ndarray], counts: dict[str, int], table: Path = TABLE
) -> list[tuple[str, Scene]]:
    """(split, scene) of every scene: unseen things, blocks of the films' time, and labels that differ in val and test.

    Raises:
        InputError: a split that cannot have so many scenes with labels of their own.
    """
    first = {thing.group: thing.id for thing in reversed(things)}
    order = sorted(first, key=lambda group: seed_of("mix", "unseen", first[group]))
    hidden = set(order[: max(1, round(UNSEEN * len(order)))])
    known = [number for number, t in enumerate(things) if t.group not in hidden]
    scenes = []
    for split, count in counts.items():
        pool = [number for number, t in enumerate(things) if t.group in hidden] if split == "unseen" else known
        starts = {ground: ground_starts(grounds[ground], ground, BLOCKS[split], table) for ground in GROUNDS}
        drawn = draw_scenes(
            split, count, things=pool, groups=[t.group for t in things], starts=starts, silent=SILENT,
            distinct=split != "train",
        )  # fmt: skip
        if len(drawn) < count:
            raise InputError(f"mix: {split} has only {len(drawn)} scenes of different labels, not {count}")
        scenes += [(split, scene) for scene in drawn]
    return scenes


def ground_starts(frames_TWHC: np.ndarray, ground: str, block: str, table: Path = TABLE) -> np.ndarray:
    """int64: where a piece of FRAMES bright frames that lies in that block of time may begin. The blocks of the cartoon
    are those of bbb, without titles.

    Raises:
        InputError: there is no such piece.
    """
    fit_T = frames_TWHC[:, ::4, ::4].mean((1, 2, 3)) >= DARK
    inside_T = np.zeros(len(fit_T), bool)
    if ground == "cartoon":
        shots = read_shots(table)
        for shot, split in zip(shots, split_shots(shots), strict=True):
            if shot.kind == "scene" and split == block:
                inside_T[int(np.ceil(shot.start * FPS)) : int(shot.end * FPS)] = True
    else:
        bounds = (np.cumsum((0, *SHARES)) * len(fit_T)).astype(int)
        place = BLOCK_NAMES.index(block)
        inside_T[bounds[place] : bounds[place + 1]] = True
    good_T = np.concatenate(([0], np.cumsum(fit_T & inside_T)))
    starts = np.flatnonzero(good_T[FRAMES:] - good_T[:-FRAMES] == FRAMES)
    if not len(starts):
        raise InputError(f"mix: the film of the {ground} has no bright piece of {SECONDS} s in its block {block!r}")
    return starts


def _scene_file(scene: Scene, things: list[Thing], grounds: dict[str, np.ndarray]) -> bytes:
    thing = things[scene.thing]
    frames = render(scene, thing.picture_HWC, grounds[scene.ground])
    return write_mp4(frames, FPS, ears(scene, thing.wave_T, RATE))
