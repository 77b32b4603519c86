"""The shipped demo edition: its ceilings, independence, splits, files and licences, computed from the data itself."""

from __future__ import annotations

import hashlib
import io
import json
import unicodedata
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

import omni_plugin_m3mini
from omni_plugin_m3mini.builder.speech import family
from omni_plugin_m3mini.dataset import M3Mini
from omni_plugin_m3mini.digit_tables import mutual_information
from omni_plugin_m3mini.store import KIND_OTHER, EditionStore
from omni_plugin_m3mini.tables import SPLITS, combination_split, draw_triples

DEMO = Path(omni_plugin_m3mini.__file__).parent / "data" / "demo"
WIDTHS = (2, 3)


@pytest.fixture(scope="module")
def store() -> EditionStore:
    return EditionStore(DEMO)


@pytest.mark.parametrize("w", WIDTHS)
@pytest.mark.parametrize("split", SPLITS)
def test_ceilings_by_enumeration(w: int, split: str) -> None:
    data = M3Mini("demo", w=w, split=split)
    truth_by_text: dict[str, Counter[int]] = defaultdict(Counter)
    joint = 0
    by_name = {item["names"][tag]: index for index, item in enumerate(data.classes) for tag in data.languages}
    for index in range(len(data)):
        text, target = data.text(index), int(data.triples.target_N[index])
        candidates = [by_name[name] for name in text.split(", ")]  # by reading the text and nothing else
        assert len(set(candidates)) == w and target in candidates
        truth_by_text[text][target] += 1
        # text and language together leave exactly one candidate, and it is the target
        language = data.languages[data.triples.language_N[index]]
        named = [c for c, name in zip(candidates, text.split(", "), strict=True)
                 if name == data.classes[c]["names"][language]]  # fmt: skip
        joint += named == [target]
    assert joint == len(data)
    if split != "train":
        # the best answer a text can get, even knowing the whole table by heart: exactly 1/w
        best = sum(max(counts.values()) for counts in truth_by_text.values())
        assert best * w == len(data)
        assert all(len(set(counts.values())) == 1 and len(counts) == w for counts in truth_by_text.values())


@pytest.mark.parametrize("w", WIDTHS)
def test_audio_alone_leaves_every_class(w: int) -> None:
    """In 200,000 draws the target is uniform whatever the language or clip; 1/n is the best constant answer."""
    clips = [np.arange(7), np.arange(7, 12), np.arange(12, 20)][:w]
    for split in SPLITS:
        drawn = draw_triples(5, rows=200_000, num_classes=50, w=w, split=split, clips_by_language=clips)
        for label in (drawn.language_N, drawn.clip_N):
            table = np.zeros((label.max() + 1, 50))
            np.add.at(table, (label, drawn.target_N), 1)
            expected = table.sum(1, keepdims=True) / 50
            statistic = float(((table - expected) ** 2 / expected).sum())
            freedom = 50 * len(table) - 50  # repeated texts widen the spread a little in val and test
            assert abs(statistic - freedom) < 8 * np.sqrt(2 * freedom), (split, statistic, freedom)


@pytest.mark.parametrize("w", WIDTHS)
@pytest.mark.parametrize("split", SPLITS)
def test_audio_is_independent_of_image_and_text_in_the_frozen_table(w: int, split: str) -> None:
    table = M3Mini("demo", w=w, split=split).triples
    first_word = table.class_NW[np.arange(len(table)), table.order_NW[:, 0]]
    first_language = table.order_NW[:, 0]
    rng = np.random.default_rng(0)
    for audio in (table.language_N, table.clip_N):
        for other in (table.target_N, first_word, first_language):
            seen = mutual_information(audio, other)
            shuffled = [mutual_information(audio, rng.permutation(other)) for _ in range(50)]
            assert seen < np.mean(shuffled) + 4.5 * np.std(shuffled) + 1e-9, (split, seen, np.mean(shuffled))
    # and the triple is not: the language picks the target among the text's words
    assert mutual_information(table.language_N, (table.class_NW[:, 0] == table.target_N).astype(int)) > 0.3


@pytest.mark.parametrize("w", WIDTHS)
def test_target_and_language_are_balanced(w: int) -> None:
    for split in SPLITS:
        table = M3Mini("demo", w=w, split=split).triples
        counts = np.bincount(table.target_N, minlength=50)
        assert abs(counts - counts.mean()).max() < 5.5 * np.sqrt(counts.mean() * (w if split != "train" else 1))
        if split != "train":
            assert len(set(np.bincount(table.language_N, minlength=w))) == 1


def test_no_spelling_is_shared_between_languages(store: EditionStore) -> None:
    languages = store.info["languages"]
    names = {tag: {item["names"][tag] for item in store.info["classes"]} for tag in languages}
    words = {tag: set(store.info["words"][tag]) for tag in languages}
    for tag in languages:
        assert len(names[tag]) == len(store.info["classes"]) == 50
        assert len(words[tag]) == 300 and not names[tag] & words[tag]  # the clip never names a class
        for name in names[tag] | words[tag]:
            assert name == unicodedata.normalize("NFC", name.lower()) and len(name.split(" ")) <= 2 and "," not in name
        for other in languages:
            assert tag == other or not (names[tag] | words[tag]) & (names[other] | words[other])


def test_splits_share_no_clip_voice_or_combination(store: EditionStore) -> None:
    column, voices = store.clip_column, store.info["voices"]
    for clip_split, voice in zip(column("split"), column("voice"), strict=True):
        assert SPLITS[clip_split] == voices[voice]["split"]
    families = defaultdict(set)
    for voice in voices:
        families[family(voice["name"])].add(voice["split"])
    assert all(len(splits) == 1 for splits in families.values())
    for w in WIDTHS:
        combinations, clips = {}, {}
        for split in SPLITS:
            table = M3Mini("demo", w=w, split=split).triples
            combinations[split] = {tuple(row) for row in table.class_NW}
            clips[split] = set(table.clip_N)
            used = np.array(sorted(clips[split]))
            assert (column("split")[used] == SPLITS.index(split)).all() and (column("kind")[used] == KIND_OTHER).all()
            assert (column("language")[table.clip_N] == table.language_N).all()
            assert (combination_split(table.class_NW, 50) == SPLITS.index(split)).all()
        for found in (combinations, clips):
            assert not found["train"] & found["val"] and not (found["train"] | found["val"]) & found["test"]


def test_pools_are_large(store: EditionStore) -> None:
    column = store.clip_column
    for language in range(3):
        for split, voices, least in (("train", 71, 1500), ("val", 10, 100), ("test", 20, 200)):
            mine = (column("language") == language) & (column("split") == SPLITS.index(split))
            assert len(set(column("voice")[mine])) == voices
            assert (mine & (column("kind") == KIND_OTHER)).sum() >= least
    assert column("milliseconds").max() < 2000 and column("milliseconds").min() > 100


@pytest.mark.parametrize("w", WIDTHS)
@pytest.mark.parametrize("split", SPLITS)
def test_frozen_tables_follow_from_their_seed(w: int, split: str) -> None:
    data = M3Mini("demo", w=w, split=split)
    again = data.resample(0)
    assert (again.triples.to_array() == data.triples.to_array()).all()
    other = data.resample(1)
    assert len(other) == len(data) and (other.triples.to_array() != data.triples.to_array()).any()


def test_files_sizes_digests_and_licences(store: EditionStore) -> None:
    files = {path.name: path for path in DEMO.iterdir()}
    assert all(path.stat().st_size <= 2_000_000 for path in files.values())
    assert sum(path.stat().st_size for path in files.values()) <= 15_000_000
    assert store.info["files"].keys() == files.keys() - {"edition.json"}
    for name, digest in store.info["files"].items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest, name
    text = (DEMO / "LICENSES").read_text()
    rows = [line.split(" | ") for line in text.splitlines() if line.count(" | ") == 2][2:]
    assert {row[0] for row in rows} == files.keys()
    assert all(row[1] in ("Apache-2.0", "Unicode-3.0", "Apache-2.0 AND CC-BY-4.0") for row in rows)
    for needed in ("cldr-annotations-full 48.2.0", "Noto Emoji", "Twemoji", "CC-BY-4.0", "espeak-ng 1.51", "synthetic"):
        assert needed in text


def test_tables_point_at_the_members_of_the_shards(store: EditionStore) -> None:
    archives = {path.name: zipfile.ZipFile(path) for path in DEMO.glob("*.zip")}
    members = {name: [entry for entry in archive.infolist()] for name, archive in archives.items()}
    for archive in archives.values():
        assert archive.testzip() is None
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in archive.infolist())
    assert sum(len(found) for name, found in members.items() if name.startswith("speech")) == len(store.clips)
    for clip in range(0, len(store.clips), 97):
        language = store.info["languages"][store.clip_column("language")[clip]]
        archive = archives[f"speech-{store.clip_column('shard')[clip]:03d}.zip"]
        assert archive.read(f"{language}/{clip:06d}.ogg") == store.clip_bytes(clip)
    for picture in range(len(store.pictures)):
        art = store.info["arts"][store.picture_column("art")[picture]]
        item = store.info["classes"][store.picture_column("class")[picture]]
        archive = archives[f"pictures-{store.picture_column('shard')[picture]:03d}.zip"]
        assert archive.read(f"{art}/{item['id']}.png") == store.picture_bytes(picture)


def test_every_clip_and_picture_decodes(store: EditionStore) -> None:
    soundfile = pytest.importorskip("soundfile", reason="the audio plugin brings it")
    image = pytest.importorskip("PIL.Image", reason="the image plugin brings it")
    for clip in range(0, len(store.clips), 41):
        wave_T, rate = soundfile.read(io.BytesIO(store.clip_bytes(clip)), dtype="float32")
        assert rate == 16_000 and wave_T.ndim == 1
        assert abs(len(wave_T) / 16 - store.clip_column("milliseconds")[clip]) < 1.1
        assert 0.02 < np.sqrt(np.mean(wave_T**2)) < 0.15
    arrays = []
    for picture in range(len(store.pictures)):
        with image.open(io.BytesIO(store.picture_bytes(picture))) as opened:
            assert opened.size == (64, 64) and opened.mode == "RGB" and opened.format == "PNG"
            arrays.append(np.asarray(opened, dtype=np.float32).ravel())
    pixels = np.stack(arrays)
    norms = np.square(pixels).sum(1)
    squared = norms[:, None] + norms - 2 * pixels @ pixels.T + 1e9 * np.eye(len(pixels))
    assert squared.min() > 100**2  # no two pictures are the same


def test_edition_json_is_plain_and_sorted(store: EditionStore) -> None:
    text = (DEMO / "edition.json").read_text(encoding="utf-8")
    assert text == json.dumps(store.info, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def test_contact_sheet_is_small() -> None:
    sheet = Path(__file__).parents[1] / "pictures.png"
    assert sheet.stat().st_size < 200_000 and "pictures.png" in (sheet.parent / "README.md").read_text(encoding="utf-8")
