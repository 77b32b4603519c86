"""Builds the stamps data set: picture, names in many languages, recorded speech, sound effect of each stamp."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from omni.data.building.frame import builder_parser, new_folder, run_builder, write_info
from omni.data.building.zip_shards import write_shards
from omni.errors import InputError, MissingDependencyError
from omni_plugin_m3mini.builder.edition import Clip, Progress, save_table, write_speech
from omni_plugin_m3mini.builder.speech import recorded_wave
from omni_plugin_m3mini.builder.stamp_sources import STAMPS, find_tree, tree_digest
from omni_plugin_m3mini.builder.tuxpaint import Stamp, deal_groups, object_groups, read_stamps
from omni_plugin_m3mini.store import FORMAT, KIND_CLASS, KIND_EFFECT, PICTURE_COLUMNS, cache_folder
from omni_plugin_m3mini.tables import SPLITS

SIDE = 128
SHARES = (540, 68, 68)
_OPUS_LEVEL = 0.9  # about 32 kbit/s: among the clips are sound effects


def main(argv: list[str] | None = None) -> int:
    """``omni data build stamps``; returns the exit status."""
    parser = builder_parser(
        "omni data build stamps", "Build the stamps data set.", folder="stamps",
        packages="as installed, else apt-get download",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    return run_builder(build_stamps, arguments.out or cache_folder("stamps"), arguments)


def build_stamps(
    out: Path, *, cache: Path, given: list[Path], workers: int = 1, progress: Progress | None = None
) -> Path:
    """Build the data set into ``out`` (replaced whole, only when all is done): stamps of things (no letters or signs)
    that somebody recorded the name of.

    Raises:
        OmniError: the package cannot be had. InputError: it is not what it should be.
    """
    tell = progress or (lambda what, done, total: None)
    folder = find_tree(STAMPS, cache=cache, given=given)
    stamps = [stamp for stamp in read_stamps(folder) if not stamp.is_symbol and stamp.speech]
    if not stamps:
        raise InputError(f"{folder}: no stamp of a thing has recorded speech; is it tuxpaint-stamps-default?")
    groups = object_groups(stamps)
    split = deal_groups(stamps, groups, SHARES)
    languages = sorted({language for stamp in stamps for language in stamp.speech.keys() & stamp.names.keys()})
    classes = [
        {"id": stamp.id, "category": stamp.category, "names": stamp.names, "split": SPLITS[number], "group": group}
        for stamp, number, group in zip(stamps, split, groups, strict=True)
    ]
    info = {
        "format": FORMAT, "name": "stamps", "languages": languages, "classes": classes,
        "sources": {STAMPS.package: tree_digest(folder)},
    }  # fmt: skip
    with new_folder(out) as part:
        members = []
        for number, stamp in enumerate(stamps):
            members.append((f"{stamp.id}.png", square_png(stamp.picture)))
            tell("pictures", number + 1, len(stamps))
        places = write_shards(part, "pictures", members)
        rows = [(number, 0, p.shard, p.offset, p.size) for number, p in enumerate(places)]
        save_table(part / "pictures.npy", rows, PICTURE_COLUMNS)
        left_out = _write_clips(part, _clips(stamps, split, languages), languages, workers, tell)
        (part / "LICENSES").write_text(
            f"Everything here comes from {STAMPS.package} ({STAMPS.license}): {STAMPS.credit}. {STAMPS.url}\n"
            "Built on this machine; pass it on only as that licence says.\n",
            encoding="utf-8",
        )
        write_info(part, {**info, "left_out": left_out})
    return out


def plain_svg(data: bytes, name: str) -> bytes:
    """An SVG without its DOCTYPE: the short entities that some drawing programs declare there are put in place.

    Raises:
        InputError: an entity that holds another one, or names a file: such drawings are refused.
    """
    found = re.search(rb"<!DOCTYPE[^\[>]*(?:\[(.*?)\]\s*)?>", data, re.DOTALL)
    if found is None:
        return data
    data = data[: found.start()] + data[found.end() :]
    for entity in re.finditer(rb"<!ENTITY\s+(.*?)>", found[1] or b"", re.DOTALL):
        plain = re.fullmatch(rb"""([\w.-]+)\s+(?:"([^"&%]{0,200})"|'([^'&%]{0,200})')\s*""", entity[1])
        if plain is None:
            raise InputError(f"{name}: its DOCTYPE declares an entity that is not a short plain text; refused")
        data = data.replace(b"&" + plain[1] + b";", plain[2] if plain[2] is not None else plain[3])
    return data


def square_png(path: Path) -> bytes:
    """A stamp as 128 x 128 RGB PNG: scaled down if larger, in the middle of a white ground.

    Raises:
        InputError: the picture cannot be read. MissingDependencyError: an SVG, and cairosvg is missing.
    """
    from PIL import Image, UnidentifiedImageError

    data = path.read_bytes()
    if path.suffix == ".svg":
        try:
            import cairosvg
        except (ImportError, OSError) as error:
            raise MissingDependencyError(
                f"drawing {path.name} needs cairosvg, which cannot be imported ({error}); "
                "pip install 'omni-plugin-m3mini[build]' (and the cairo library)"
            ) from error
        try:
            data = cairosvg.svg2png(bytestring=plain_svg(data, path.name), output_width=2 * SIDE)
        except Exception as error:  # cairosvg raises whatever its parsers raise
            raise InputError(f"{path}: cannot be drawn ({error})") from error
    try:
        picture = Image.open(io.BytesIO(data)).convert("RGBA")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: not a picture ({error})") from error
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", (SIDE, SIDE), "white")
    ground.alpha_composite(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    buffer = io.BytesIO()
    ground.convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()


def _clips(stamps: list[Stamp], split: list[int], languages: list[str]) -> list[Clip]:
    clips = []
    for number, stamp in enumerate(stamps):
        for place, language in enumerate(languages):
            if language in stamp.speech and language in stamp.names:
                clips.append((place, KIND_CLASS, number, stamp.names[language], stamp.speech[language]))
        if stamp.effect is not None:
            clips.append((0, KIND_EFFECT, number, "", stamp.effect))
    return [
        Clip(
            language=language, kind=kind, word=word, text=text, split=SPLITS[split[word]], voice=0, rate=0,
            recording=path,
        )
        for language, kind, word, text, path in clips
    ]  # fmt: skip


def _write_clips(part: Path, clips: list[Clip], languages: list[str], workers: int, tell: Progress) -> dict[str, str]:
    """Write those that can be decoded; returns file -> reason of the others."""
    left_out: dict[str, str] = {}
    waves: dict[int, np.ndarray] = {}

    def decode(number: int) -> None:
        path = clips[number].recording
        assert path is not None
        try:
            waves[number] = recorded_wave(path)
        except InputError as error:
            left_out[f"{path.parent.name}/{path.name}"] = str(error).replace(str(path), "").strip()

    with ThreadPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(decode, range(len(clips)))):
            if done % 100 == 99 or done + 1 == len(clips):
                tell("recordings", done + 1, len(clips))
    kept = sorted(waves)
    if len(kept) < 0.9 * len(clips):
        raise InputError(f"{len(left_out)} of {len(clips)} recordings cannot be used: {dict(sorted(left_out.items()))}")
    by_clip = {id(clips[number]): waves[number] for number in kept}
    write_speech(
        part, [clips[number] for number in kept], lambda clip: by_clip[id(clip)], languages, workers, tell,
        level=_OPUS_LEVEL,
    )  # fmt: skip
    return dict(sorted(left_out.items()))
