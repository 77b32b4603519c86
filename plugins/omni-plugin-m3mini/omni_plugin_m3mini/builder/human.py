"""Builds the human edition: m3mini whose triples are spoken by people (Tux Paint's stamps, KTuberling's words)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from omni.data.building.frame import new_folder, write_info
from omni.data.building.packages import obtain
from omni.errors import InputError
from omni_plugin_m3mini.builder.edition import (
    WIDTHS,
    Clip,
    Progress,
    deal_clips,
    write_pictures,
    write_speech,
)
from omni_plugin_m3mini.builder.licences import write_licences
from omni_plugin_m3mini.builder.names import Choice, choose, read_emoji, read_names
from omni_plugin_m3mini.builder.opus import SAMPLE_RATE
from omni_plugin_m3mini.builder.sources import CLDR, NOTO
from omni_plugin_m3mini.builder.speech import Espeak, find_espeak, recorded_wave, split_voices
from omni_plugin_m3mini.builder.stamp_sources import KTUBERLING, STAMPS, find_tree, tree_digest
from omni_plugin_m3mini.builder.tuxpaint import (
    Stamp,
    bare_words,
    deal_groups,
    object_groups,
    read_soundtheme,
    read_stamps,
)
from omni_plugin_m3mini.store import CLIP_COLUMNS, FORMAT, KIND_CLASS, KIND_OTHER
from omni_plugin_m3mini.tables import ALL_SPLITS, NEW_SPEAKERS, SPLITS, draw_triples

# Nested, as in the other editions. The first four have many recordings by other people in KTuberling, the fifth a few.
HUMAN_LANGUAGES = ("fr", "ru", "el", "ca", "ro", "es", "bg", "be")
ROWS = {"train": 30_000, "val": 2_000, "test": 2_000, NEW_SPEAKERS: 2_000}
_SHARES = (80, 10, 10)
_MAX_SECONDS = 6.0
_LEAST_NEW_CLIPS = 10  # a width has a new-speaker test only if each of its languages has so many clips
_SYNTHETIC_CLASS = {"train": 6, "val": 1, "test": 1}
_SYNTHETIC_WORDS = {"train": 2}


def build_human(
    out: Path,
    *,
    w: int = 3,
    classes: int = 200,
    cache: Path,
    given: list[Path],
    arts: tuple[str, ...],
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Build the human edition with the first ``w`` languages into ``out`` (replaced whole, only when all is done).

    Triples are spoken by people: clips of train, val and test are split by object (stamps with the same words or the
    same recording stay together); ``new_speakers`` has KTuberling's voices. espeak-ng says the names of the classes
    (for the aligned view) and, in training voices, the words of the training objects (for speech="mixed").

    Raises:
        OmniError: a package or client is missing. InputError: an archive or folder is not what it should be.
    """
    tell = progress or (lambda what, done, total: None)
    languages = HUMAN_LANGUAGES[:w]
    choice = _choose(languages, classes, cache=cache, given=given)
    stamps_at = find_tree(STAMPS, cache=cache, given=given)
    sounds_at = find_tree(KTUBERLING, cache=cache, given=given)
    stamps = [stamp for stamp in read_stamps(stamps_at) if set(stamp.speech) & set(HUMAN_LANGUAGES)]
    stamp_split = deal_groups(stamps, object_groups(stamps), _SHARES)
    themes = {tag: read_soundtheme(sounds_at / f"{tag}.soundtheme") for tag in languages}
    espeak = find_espeak(cache=cache, given=given)
    variants = espeak.variants()
    voices = _voices(languages, variants)
    recorded = _recorded_clips(stamps, stamp_split, themes, choice, languages)
    clips, left_out = _usable(recorded, workers, tell)
    clips += _synthetic_clips(choice, stamps, clips, languages, voices)
    widths = [width for width in WIDTHS if width <= w]
    info = {
        "format": FORMAT, "name": "human", "w": widths, "languages": list(languages), "arts": list(arts),
        "sample_rate": SAMPLE_RATE, "voices": voices, "splits": list(ALL_SPLITS),
        "classes": [item.to_dict() for item in choice.classes], "words": _word_texts(stamps, themes, languages),
        "left_out": left_out,
        "sources": {source.package: tree_digest(at) for source, at in ((STAMPS, stamps_at), (KTUBERLING, sounds_at))},
    }  # fmt: skip
    with new_folder(out) as part:
        write_pictures(part, choice, arts, cache=cache, given=given, tell=tell)
        table = write_speech(part, clips, _speaker(espeak, languages, voices), languages, workers, tell)
        new_widths = _write_triples(part, len(choice.classes), table, voices, widths)
        write_licences(part, arts, recordings=(STAMPS, KTUBERLING))
        write_info(part, {**info, "new_speakers_w": new_widths})
    return out


def _choose(languages: tuple[str, ...], classes: int, *, cache: Path, given: list[Path]) -> Choice:
    """Classes whose names differ in spelling between these languages; as many as asked for, or as there are."""
    cldr = obtain(CLDR, cache=cache, given=given)
    emoji = read_emoji(read_names(cldr, (*languages, "en")), obtain(NOTO, cache=cache, given=given))
    return choose("human", emoji, read_names(cldr, languages), count=classes)


def _voices(languages: tuple[str, ...], variants: list[str]) -> list[dict]:
    """Human voices first (one entry a source and language: who speaks is not recorded), then espeak-ng's."""
    voices = [{"name": f"tuxpaint-{tag}", "split": "all", "human": True} for tag in languages]
    voices += [{"name": f"ktuberling-{tag}", "split": NEW_SPEAKERS, "human": True} for tag in languages]
    split = split_voices(variants)
    return voices + [{"name": name, "split": split[name], "human": False} for name in variants]


def _word_texts(stamps: list[Stamp], themes: dict[str, dict[str, Path]], languages) -> dict[str, list[str]]:
    """What each word index says: the stamps' names, then KTuberling's English keys (its own words it has not)."""
    return {tag: [stamp.names.get(tag, "") for stamp in stamps] + sorted(themes[tag]) for tag in languages}


def _recorded_clips(stamps, stamp_split: list[int], themes, choice: Choice, languages) -> list[Clip]:
    """Clips from recordings. One that says just a class's name is of that class; one that contains it is left out."""
    clips = []
    for number, tag in enumerate(languages):
        names = {bare_words(item.names[tag]): index for index, item in enumerate(choice.classes)}
        pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, names)) + r")\b")
        first = first_words(stamps, tag)
        for word, stamp in enumerate(stamps):
            if tag not in stamp.speech or tag not in stamp.names:
                continue
            said, split = bare_words(stamp.names[tag]), SPLITS[stamp_split[word]]
            path, text = stamp.speech[tag], stamp.names[tag]
            if said in names:
                clips.append(_clip(number, KIND_CLASS, names[said], text, split, number, path))
            elif not pattern.search(said):
                clips.append(_clip(number, KIND_OTHER, first[word], text, split, number, path))
        for place, key in enumerate(sorted(themes[tag])):
            voice = len(languages) + number
            word = len(stamps) + place
            clips.append(_clip(number, KIND_OTHER, word, key, NEW_SPEAKERS, voice, themes[tag][key]))
    return clips


def first_words(stamps: list[Stamp], language: str) -> list[int]:
    """For each stamp the first one of the same words in a language: two such clips say one word."""
    seen: dict[str, int] = {}
    return [seen.setdefault(bare_words(stamp.names.get(language, "")), word) for word, stamp in enumerate(stamps)]


def _clip(language: int, kind: int, word: int, text: str, split: str, voice: int, recording: Path) -> Clip:
    return Clip(
        language=language, kind=kind, word=word, text=text, split=split, voice=voice, rate=0, recording=recording
    )


def _usable(clips: list[Clip], workers: int, tell: Progress) -> tuple[list[Clip], dict[str, str]]:
    """The clips that can be decoded, and file -> reason of the others."""

    def fault(clip: Clip) -> str:
        assert clip.recording is not None
        try:
            recorded_wave(clip.recording, max_seconds=_MAX_SECONDS)
        except InputError as error:
            return str(error).replace(str(clip.recording), "").strip()
        return ""

    faults = []
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(fault, clips):
            faults.append(found)
            if len(faults) % 100 == 0 or len(faults) == len(clips):
                tell("recordings", len(faults), len(clips))
    pairs = list(zip(clips, faults, strict=True))
    good = [clip for clip, found in pairs if not found]
    if len(good) < 0.9 * len(clips):
        raise InputError(f"{len(clips) - len(good)} of {len(clips)} recordings cannot be used; first: {pairs[0][1]}")
    bad = {f"{clip.recording.parent.name}/{clip.recording.name}": found for clip, found in pairs if found}
    return good, bad


def _synthetic_clips(
    choice: Choice, stamps: list[Stamp], recorded: list[Clip], languages: tuple[str, ...], voices: list[dict]
) -> list[Clip]:
    """espeak-ng's clips: the classes' names in every split, and the training objects' words in training voices."""
    clips: list[Clip] = []
    for number, tag in enumerate(languages):
        for split in SPLITS:
            own = [index for index, voice in enumerate(voices) if voice["split"] == split and not voice["human"]]
            texts = [item.names[tag] for item in choice.classes]
            clips += deal_clips(number, tag, KIND_CLASS, texts, split, own, _SYNTHETIC_CLASS[split])
            if split in _SYNTHETIC_WORDS:
                mine = sorted(
                    {
                        clip.word
                        for clip in recorded
                        if clip.language == number and clip.split == split and clip.kind == KIND_OTHER
                    }
                )
                texts = [stamps[word].names[tag] for word in mine]
                dealt = deal_clips(number, tag, KIND_OTHER, texts, split, own, _SYNTHETIC_WORDS[split])
                clips += [replace(clip, word=mine[clip.word]) for clip in dealt]
    return clips


def _speaker(espeak: Espeak, languages: tuple[str, ...], voices: list[dict]):
    def speak(clip: Clip) -> np.ndarray:
        if clip.recording is not None:
            return recorded_wave(clip.recording, max_seconds=_MAX_SECONDS)
        name = voices[clip.voice]["name"]
        return espeak.speak(clip.text, language=languages[clip.language], variant=name, rate=clip.rate)

    return speak


def _write_triples(part: Path, num_classes: int, clips: np.ndarray, voices: list[dict], widths: list[int]) -> list[int]:
    """Tables of every width and split, from human clips; returns the widths that have a new-speaker test."""
    language, kind, split_of, voice = (
        clips[:, CLIP_COLUMNS.index(name)] for name in ("language", "kind", "split", "voice")
    )
    human = np.array([item["human"] for item in voices])[voice] & (kind == KIND_OTHER)
    new_widths = []
    for w in widths:
        for number, split in enumerate(ALL_SPLITS):
            pools = [np.flatnonzero(human & (split_of == number) & (language == tag)) for tag in range(w)]
            if split == NEW_SPEAKERS:
                if min(map(len, pools)) < _LEAST_NEW_CLIPS:
                    continue
                new_widths.append(w)
            drawn = draw_triples(
                0, rows=ROWS[split], num_classes=num_classes, w=w, split=split, clips_by_language=pools
            )
            np.save(part / f"triples-w{w}-{split}.npy", drawn.to_array())
    return new_widths
