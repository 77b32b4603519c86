"""Builds one edition folder: pictures, speech, index tables, licences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omni.data.building.counter_rng import CounterRng, seed_of
from omni.data.building.frame import new_folder, write_info
from omni.data.building.packages import obtain
from omni.data.building.zip_shards import write_shards
from omni_plugin_m3mini.builder.licences import write_licences
from omni_plugin_m3mini.builder.names import LANGUAGES, Choice, choose, read_emoji, read_names
from omni_plugin_m3mini.builder.opus import SAMPLE_RATE, encode_opus
from omni_plugin_m3mini.builder.pictures import datasource_pictures, openmoji_pictures
from omni_plugin_m3mini.builder.sources import CLDR, NOTO, OPENMOJI, TWEMOJI
from omni_plugin_m3mini.builder.speech import Espeak, find_espeak, split_voices
from omni_plugin_m3mini.store import CLIP_COLUMNS, FORMAT, KIND_CLASS, KIND_OTHER, PICTURE_COLUMNS
from omni_plugin_m3mini.tables import ALL_SPLITS, SPLITS, draw_triples

Progress = Callable[[str, int, int], None]
WIDTHS = (2, 3, 5, 8)
_OPUS_LEVEL = 0.96  # about 16 kbit/s
_RATES = (150, 195)  # words a minute
_MAX_SECONDS = 1.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How large an edition is.

    Attributes:
        words: further words a language. rows: triples of each split.
        other_voices: clips of a further word, each in another voice of the split; a fraction = of so many of the words.
        class_voices: the same for a class's name.
    """

    words: int
    rows: dict[str, int]
    other_voices: dict[str, float]
    class_voices: dict[str, float]


PLANS = {
    "demo": Plan(
        words=300, rows={"train": 10_000, "val": 1_000, "test": 2_000},
        other_voices={"train": 5, "val": 0.4, "test": 0.8}, class_voices={"train": 8, "val": 1, "test": 1},
    ),
    "bench": Plan(
        words=450, rows={"train": 30_000, "val": 2_000, "test": 2_000},
        other_voices={"train": 5, "val": 0.5, "test": 1}, class_voices={"train": 6, "val": 1, "test": 1},
    ),
    "full": Plan(
        words=450, rows={"train": 30_000, "val": 2_000, "test": 2_000},
        other_voices={"train": 8, "val": 1, "test": 2}, class_voices={"train": 3, "val": 1, "test": 1},
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip to be spoken by espeak-ng, or taken from a recording (``rate`` 0)."""

    language: int
    kind: int
    word: int
    text: str
    split: str
    voice: int
    rate: int
    recording: Path | None = None


def build_edition(
    edition: str,
    out: Path,
    *,
    w: int = 8,
    cache: Path,
    given: list[Path],
    arts: tuple[str, ...] = ("noto", "twemoji"),
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Build ``edition`` with up to ``w`` languages into the folder ``out`` (replaced whole, only when all is done).

    Raises:
        OmniError: a package, a client or espeak-ng is missing; InputError: an archive is not what it should be.
    """
    tell = progress or (lambda what, done, total: None)
    plan = PLANS[edition]
    names = read_names(obtain(CLDR, cache=cache, given=given))
    emoji = read_emoji(names, obtain(NOTO, cache=cache, given=given))
    choice = choose(edition, emoji, names)
    languages = LANGUAGES[:w]
    espeak = find_espeak(cache=cache, given=given)
    variants = espeak.variants()
    voices = split_voices(variants)
    words = {language: _short_words(espeak, choice, language, plan.words, workers) for language in languages}
    clips = _plan_clips(plan, choice, words, languages, variants, voices)

    def speak(clip: Clip) -> np.ndarray:
        return espeak.speak(clip.text, language=languages[clip.language], variant=variants[clip.voice], rate=clip.rate)

    widths = [width for width in WIDTHS if width <= w]
    info = {
        "format": FORMAT,
        "name": edition,
        "w": widths,
        "languages": list(languages),
        "arts": list(arts),
        "sample_rate": SAMPLE_RATE,
        "voices": [{"name": name, "split": voices[name]} for name in variants],
        "classes": [item.to_dict() | {"names": {tag: item.names[tag] for tag in languages}} for item in choice.classes],
        "words": words,
    }
    with new_folder(out) as part:
        write_pictures(part, choice, arts, cache=cache, given=given, tell=tell)
        table = write_speech(part, clips, speak, languages, workers, tell)
        _write_triples(part, plan, len(choice.classes), table, widths)
        write_licences(part, arts)
        write_info(part, info)
    return out


def write_pictures(part: Path, choice: Choice, arts: tuple[str, ...], *, cache, given, tell: Progress) -> None:
    """Draw the classes in every art into shards below ``part`` and write pictures.npy."""
    by_art = {}
    for number, art in enumerate(arts):
        tell("pictures", number, len(arts))
        if art == "noto":
            by_art[art] = datasource_pictures(obtain(NOTO, cache=cache, given=given), "google", choice.classes)
        elif art == "twemoji":
            by_art[art] = datasource_pictures(obtain(TWEMOJI, cache=cache, given=given), "twitter", choice.classes)
        else:
            by_art[art] = openmoji_pictures(obtain(OPENMOJI, cache=cache, given=given), choice.classes)
    keys, members = [], []
    for index, item in enumerate(choice.classes):
        for number, art in enumerate(arts):
            if item.id in by_art[art]:
                keys.append((index, number))
                members.append((f"{art}/{item.id}.png", by_art[art][item.id]))
    places = write_shards(part, "pictures", members)
    rows = [(*key, place.shard, place.offset, place.size) for key, place in zip(keys, places, strict=True)]
    save_table(part / "pictures.npy", rows, PICTURE_COLUMNS)


def _short_words(espeak: Espeak, choice: Choice, language: str, count: int, workers: int) -> list[str]:
    """The first ``count`` further words that take at most 1.5 s in a plain voice."""
    kept: list[str] = []
    queue = choice.words[language]
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(queue), 50):
            some = queue[start : start + 50]
            waves = pool.map(lambda word: espeak.speak(word, language=language, variant="m1", rate=165), some)
            kept += [word for word, wave in zip(some, waves, strict=True) if len(wave) <= _MAX_SECONDS * SAMPLE_RATE]
            if len(kept) >= count:
                break
    return kept[:count]


def _plan_clips(plan, choice: Choice, words, languages, variants: list[str], voices: dict[str, str]) -> list[Clip]:
    """Which word is said in which voice: every clip of a word in another voice, voices used evenly."""
    clips = []
    for number, language in enumerate(languages):
        named = [item.names[language] for item in choice.classes]
        for kind, texts, counts in (
            (KIND_CLASS, named, plan.class_voices),
            (KIND_OTHER, words[language], plan.other_voices),
        ):
            for split in SPLITS:
                own = [index for index, name in enumerate(variants) if voices[name] == split]
                clips += deal_clips(number, language, kind, texts, split, own, counts[split])
    return clips


def deal_clips(number, language, kind, texts: list[str], split: str, own: list[int], per_word: float) -> list[Clip]:
    """``per_word`` clips of every text, each in another voice of ``own``, voices used evenly."""
    rng = CounterRng("m3mini", "clips", language, kind, split)
    deck: list[int] = []
    spoken = rng.shuffled(list(range(len(texts))))
    if per_word < 1:
        spoken = spoken[: round(per_word * len(texts))]
    clips = []
    for word in sorted(spoken):
        used: set[int] = set()
        while len(used) < min(max(1, int(per_word)), len(own)):
            deck = deck or rng.shuffled(own)
            voice = deck.pop()
            if voice in used:
                continue
            used.add(voice)
            span = _RATES[1] - _RATES[0] + 1
            rate = _RATES[0] + seed_of("m3mini", "rate", texts[word], voice) % span
            clips.append(
                Clip(language=number, kind=kind, word=word, text=texts[word], split=split, voice=voice, rate=rate)
            )
    return clips


def write_speech(
    part: Path,
    clips: list[Clip],
    wave_of: Callable[[Clip], np.ndarray],
    languages: Sequence[str],
    workers: int,
    tell: Progress,
    *,
    level: float = _OPUS_LEVEL,
) -> np.ndarray:
    """Encode every clip into shards below ``part`` and write clips.npy; returns its table (N, CLIP_COLUMNS)."""

    def encode(clip: Clip) -> tuple[int, bytes]:
        wave_T = wave_of(clip)
        return len(wave_T) * 1000 // SAMPLE_RATE, encode_opus(wave_T, compression_level=level)

    sounds = []
    with ThreadPoolExecutor(workers) as pool:
        for sound in pool.map(encode, clips):
            sounds.append(sound)
            if len(sounds) % 100 == 0 or len(sounds) == len(clips):
                tell("speech", len(sounds), len(clips))
    names = [f"{languages[clip.language]}/{number:06d}.ogg" for number, clip in enumerate(clips)]
    places = write_shards(part, "speech", [(name, data) for name, (_, data) in zip(names, sounds, strict=True)])
    rows = [
        (c.language, c.kind, c.word, ALL_SPLITS.index(c.split), c.voice, c.rate, length, p.shard, p.offset, p.size)
        for c, p, (length, _) in zip(clips, places, sounds, strict=True)
    ]
    return save_table(part / "clips.npy", rows, CLIP_COLUMNS)


def _write_triples(part: Path, plan: Plan, num_classes: int, clips: np.ndarray, widths: list[int]) -> None:
    language, kind, split_of = (clips[:, CLIP_COLUMNS.index(name)] for name in ("language", "kind", "split"))
    for w in widths:
        for number, split in enumerate(SPLITS):
            mine = (kind == KIND_OTHER) & (split_of == number)
            pools = [np.flatnonzero(mine & (language == tag)) for tag in range(w)]
            drawn = draw_triples(
                0, rows=plan.rows[split], num_classes=num_classes, w=w, split=split, clips_by_language=pools
            )
            np.save(part / f"triples-w{w}-{split}.npy", drawn.to_array())


def save_table(path: Path, rows: list[tuple[int, ...]], columns: tuple[str, ...]) -> np.ndarray:
    """Write rows as an int32 table (N, columns) and give it back as int64."""
    table = np.asarray(rows, dtype="<i4").reshape(len(rows), len(columns))
    np.save(path, table)
    return table.astype(np.int64)
