"""Builds fluentclips: animated emoji, their names, those names spoken, and the sounds of things that are called so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omni.data.building.archives import read_members
from omni.data.building.counter_rng import seed_of
from omni.data.building.frame import builder_parser, new_folder, run_builder, write_info
from omni.data.building.packages import obtain
from omni.data.building.zip_shards import write_shards
from omni.errors import ConfigError, InputError
from omni_plugin_clips.builder.film import write_licences
from omni_plugin_clips.builder.sources import FLUENT
from omni_plugin_clips.store import FORMAT
from omni_plugin_m3mini.builder.names import normalise
from omni_plugin_m3mini.builder.opus import encode_opus
from omni_plugin_m3mini.builder.sources import CLDR
from omni_plugin_m3mini.builder.speech import Espeak, find_espeak, recorded_wave, split_voices
from omni_plugin_m3mini.builder.stamp_sources import STAMPS, find_tree
from omni_plugin_m3mini.builder.tuxpaint import bare_words, read_stamps
from omni_plugin_m3mini.store import cache_folder

Progress = Callable[[str, int, int], None]
SPOKEN = ("en", "fr", "de", "es", "it", "pt", "ru", "el", "pl", "tr", "hi", "ko")
SPLITS, SHARES = ("train", "val", "test"), (0.8, 0.1, 0.1)
_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
_SELECTOR = "\ufe0f"
_FRAME = b"ANMF"  # the chunk of one frame of an animated WebP
_OWN = re.compile(r"^(man|woman|person) (?!in |with )|^(a|an|some|the) | face$")
_TABLE = re.compile(r"^package/annotations/([A-Za-z-]+)/annotations\.json$")
_OPUS_SPEECH, _OPUS_EFFECT = 0.96, 0.9
_WORDS_A_MINUTE = 165


@dataclass(kw_only=True)
class Animation:
    """One animated emoji: its id (code points, as the file is called), WebP bytes, language -> name and keywords."""

    id: str
    data: bytes
    names: dict[str, str] = field(default_factory=dict)
    keywords: dict[str, list[str]] = field(default_factory=dict)

    @property
    def plain(self) -> str:
        """The id without skin tones."""
        return "-".join(code for code in self.id.split("-") if code not in _TONES)

    @property
    def family(self) -> str:
        """What is dealt to one split together: a woman, a man and a person running; a cow and a cow's face."""
        return bare_name(self.names["en"])


def main(argv: list[str] | None = None) -> int:
    """``omni data build fluentclips``; returns the exit status."""
    parser = builder_parser(
        "omni data build fluentclips", "Build the data set fluentclips.", folder="fluentclips",
        packages="npm pack, apt-get download",
    )  # fmt: skip
    parser.add_argument("--languages", nargs="+", default=list(SPOKEN), help="spoken (default: %(default)s)")
    parser.add_argument("--tones", action="store_true", help="also the skin tones (477 animations)")
    parser.add_argument("--no-effects", dest="effects", action="store_false", help="no sounds of Tux Paint's stamps")
    arguments = parser.parse_args(argv)
    out = arguments.out or cache_folder("fluentclips")
    settings = {"languages": tuple(arguments.languages), "tones": arguments.tones, "effects": arguments.effects}
    return run_builder(build_fluent, out, arguments, **settings)


def build_fluent(
    out: Path, *, cache: Path, given: list[Path], workers: int = 1, progress: Progress | None = None,
    languages: tuple[str, ...] = SPOKEN, tones: bool = False, effects: bool = True,
) -> Path:  # fmt: skip
    """Build into ``out`` (replaced whole, only when all is done).

    Args:
        languages: whose names are spoken; names as text come in every language of CLDR.
        tones: also the animations of other skin tones, in the split of the plain one.
        effects: match sounds of Tux Paint's stamps (GPL-2.0) by name.

    Raises:
        OmniError: a package or espeak-ng cannot be had. InputError: an archive is not what it should be.
        ConfigError: a language that CLDR does not name every animation in.
    """
    tell = progress or (lambda what, done, total: None)
    found = read_animations(obtain(FLUENT, cache=cache, given=given), tones=tones)
    unnamed = name_all(found, read_annotations(obtain(CLDR, cache=cache, given=given)))
    found = [item for item in found if item.id not in unnamed]
    if not found:
        raise InputError(f"{FLUENT.package} holds no animation that CLDR names; fetch the packages again")
    for language in languages:
        if any(language not in item.names for item in found):
            raise ConfigError(f"fluentclips: CLDR does not name all of the animations in {language!r}")
    splits = deal(found)
    sounds = effects_by_name(find_tree(STAMPS, cache=cache, given=given)) if effects else {}
    espeak = find_espeak(cache=cache, given=given)
    with new_folder(out) as part:
        places = write_shards(part, "videos", [(f"{item.id}.webp", item.data) for item in found])
        clips = _speak(espeak, found, splits, languages, workers, tell)
        own = _own_sounds(found, sounds)
        spoken = write_shards(part, "speech", [(f"{clip['language']}/{clip['id']}.ogg", data) for clip, data in clips])
        effect = write_shards(part, "effects", list(own.items())) if own else []
        by_id = {name.removesuffix(".ogg"): _place("effects", p) for name, p in zip(own, effect, strict=True)}
        for (clip, _), place in zip(clips, spoken, strict=True):
            clip["place"] = _place("speech", place)
        sources = (FLUENT, CLDR, *((STAMPS,) if own else ()))
        write_licences(part, sources, "The speech is synthetic: espeak-ng spoke the names.")
        info = {
            "format": FORMAT, "name": "fluentclips", "languages": list(languages), "unnamed": unnamed, "speech": [
                clip for clip, _ in clips
            ],
            "clips": [
                {
                    "id": item.id, "plain": item.plain, "split": splits[item.family], "family": item.family,
                    "names": item.names, "keywords": item.keywords, "place": _place("videos", place),
                    "effect": by_id.get(item.plain),
                }
                for item, place in zip(found, places, strict=True)
            ],
        }  # fmt: skip
        write_info(part, info)
    return out


def read_animations(archive: Path, *, tones: bool) -> list[Animation]:
    """The files with more than one frame, sorted by id; stills are left out."""
    found = []
    for name, data in sorted(read_members(archive).items()):
        stem, dot, ending = name.rpartition("/")[2].rpartition(".")
        if dot and ending == "webp" and data.count(_FRAME) > 1 and (tones or not _TONES & set(stem.split("-"))):
            found.append(Animation(id=stem, data=data))
    return found


def read_annotations(archive: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """language -> emoji without variation selectors -> CLDR's row (``tts`` name, ``default`` keywords)."""
    tables = {}
    for path, data in read_members(archive).items():
        match = _TABLE.match(path)
        rows = json.loads(data)["annotations"].get("annotations", {}) if match else {}
        if rows and match:
            tables[match[1]] = {text.replace(_SELECTOR, ""): row for text, row in rows.items() if row.get("tts")}
    return tables


def name_all(found: list[Animation], tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Fill in names and keywords in every language that names the emoji; returns ids without an English name."""
    for item in found:
        text = "".join(chr(int(code, 16)) for code in item.plain.split("-")).replace(_SELECTOR, "")
        for language, rows in sorted(tables.items()):
            if text in rows:
                item.names[language] = normalise(rows[text]["tts"][0])
                item.keywords[language] = [normalise(word) for word in rows[text].get("default", ())]
    return [item.id for item in found if "en" not in item.names]


def bare_name(text: str) -> str:
    """An English name without article, "man", "woman", "person" before and "face" after it."""
    name = normalise(text)
    while (shorter := _OWN.sub("", name).strip()) not in (name, ""):
        name = shorter
    return name


def deal(found: list[Animation]) -> dict[str, str]:
    """family -> split, in a fixed pseudo-random order."""
    order = sorted({item.family for item in found}, key=lambda family: seed_of("fluentclips", "split", family))
    first, second = (round(share * len(order)) for share in (SHARES[0], SHARES[0] + SHARES[1]))
    return {family: SPLITS[(place >= first) + (place >= second)] for place, family in enumerate(order)}


def effects_by_name(folder: Path) -> dict[str, Path]:
    """Bare English name -> sound of a Tux Paint stamp."""
    found: dict[str, Path] = {}
    for stamp in read_stamps(folder):
        if stamp.effect is not None and not stamp.is_symbol and "en" in stamp.names:
            found.setdefault(bare_name(bare_words(stamp.names["en"])), stamp.effect)
    return found


def _own_sounds(found: list[Animation], sounds: Mapping[str, Path]) -> dict[str, bytes]:
    """File name -> Ogg Opus, of the plain ids whose bare name is that of a sound that can be read."""
    own = {}
    for item in found:
        path = sounds.get(item.family)
        if path is None or f"{item.plain}.ogg" in own:
            continue
        try:
            own[f"{item.plain}.ogg"] = encode_opus(recorded_wave(path), compression_level=_OPUS_EFFECT)
        except InputError:  # some of the package's sounds are silent
            continue
    return own


def _speak(
    espeak: Espeak, found: list[Animation], splits: Mapping[str, str], languages: tuple[str, ...], workers: int,
    tell: Progress,
) -> list[tuple[dict[str, Any], bytes]]:  # fmt: skip
    """(row, Ogg Opus) of every plain id in every language, in a voice of its split."""
    voices = split_voices(espeak.variants())
    own = {split: sorted(name for name, part in voices.items() if part == split) for split in SPLITS}
    wanted = {}
    for item in found:
        for language in languages:
            pool = own[splits[item.family]]
            voice = pool[seed_of("fluentclips", "voice", item.plain, language) % len(pool)]
            wanted[item.plain, language] = (item.names[language], voice)

    def speak(row: tuple[tuple[str, str], tuple[str, str]]) -> tuple[dict[str, Any], bytes]:
        (name, language), (text, voice) = row
        wave_T = espeak.speak(text, language=language, variant=voice, rate=_WORDS_A_MINUTE)
        return {"id": name, "language": language, "voice": voice}, encode_opus(wave_T, compression_level=_OPUS_SPEECH)

    clips = []
    with ThreadPoolExecutor(workers) as pool:
        for clip in pool.map(speak, wanted.items()):
            clips.append(clip)
            if len(clips) % 100 == 0 or len(clips) == len(wanted):
                tell("speech", len(clips), len(wanted))
    return clips


def _place(stem: str, place: Any) -> list[Any]:
    return [f"{stem}-{place.shard:03d}.zip", place.offset, place.size]
