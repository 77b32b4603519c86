"""fluentclips and bbb: what the builders read, and what the data sets give."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clips_fixture import EMOJI, RATE, SECONDS, patch_sources, tgz
from PIL import Image

from omni.data.building.packages import sha256_of
from omni.errors import ConfigError, InputError
from omni_plugin_audio.io import load as load_sound
from omni_plugin_clips.bbb import BigBuckBunny
from omni_plugin_clips.builder import film, fluent
from omni_plugin_clips.fluentclips import FluentClips
from omni_plugin_clips.shots import Shot, read_shots, split_shots
from omni_plugin_video.io import load

SPLITS = ("train", "val", "test")


def everything(home: Path, **options) -> list:
    return [s for split in SPLITS for s in FluentClips(split, root=home / "fluentclips", **options)]


def test_animations_have_names_and_a_spoken_name(home: Path) -> None:
    samples = everything(home)
    assert {s.meta["emoji"] for s in samples} == {"1f404", "1f42e", "1f436", "1f3c3", "1f3c3-200d-2640-fe0f", "1f375",
                                                  "1f30a"}  # fmt: skip
    assert len(samples) == 2 * 7 and len({s.id for s in samples}) == 14
    info = json.loads((home / "fluentclips/edition.json").read_text())
    assert info["unnamed"] == ["1f468-200d-1f9b0"] and set(info["files"]) >= {"LICENSES", "videos-000.zip"}
    cow = next(s for s in samples if s.id == "fluent-1f42e-fr")
    assert cow.values["text"] == "tête de vache" and cow.meta["sound"] == "spoken"
    picture = Image.open(io.BytesIO(cow.values["video"]))
    assert picture.n_frames == 4
    wave_T, rate = soundfile.read(io.BytesIO(cow.values["audio"]))
    hertz = np.abs(np.fft.rfft(wave_T)).argmax() * rate / len(wave_T)
    expected = 200 + sum(map(ord, "tête de vache" + "fr" + cow.meta["voice"])) % 400
    assert rate == RATE and abs(hertz - expected) < 8  # its own name, in its own voice


def test_the_video_plugin_reads_the_animations(home: Path) -> None:
    data = next(s for s in everything(home) if s.meta["emoji"] == "1f404").values["video"]
    film_read = load(data)
    assert len(film_read) == 4 and film_read.times_T.tolist() == pytest.approx([0, 0.05, 0.1, 0.15])
    frames = np.concatenate(list(film_read.blocks(np.arange(4))))
    assert np.abs(frames[:, 16, 16, 1].astype(int) - [0, 40, 80, 120]).max() <= 1


def test_families_stay_in_one_split_and_voices_too(home: Path) -> None:
    parts = {split: list(FluentClips(split, root=home / "fluentclips")) for split in SPLITS}
    for key in ("family", "clip"):
        found = {split: {s.targets[key] for s in samples} for split, samples in parts.items()}
        assert not any(found[a] & found[b] for a, b in combinations(SPLITS, 2))
    voices = {split: {s.meta["voice"] for s in samples} for split, samples in parts.items()}
    assert not any(voices[a] & voices[b] for a, b in combinations(SPLITS, 2))
    assert fluent.bare_name("Woman running") == fluent.bare_name("person running") == "running"
    assert fluent.bare_name("cow face") == fluent.bare_name("A cow") == "cow"
    assert fluent.bare_name("man in motorized wheelchair") == "man in motorized wheelchair"
    assert fluent.bare_name("man") == "man" and fluent.bare_name("wind face") == "wind"


def test_things_that_are_called_alike_give_their_own_sound(home: Path) -> None:
    own = everything(home, sound="effect", languages="en")
    assert {s.meta["emoji"] for s in own} == {"1f404", "1f42e", "1f436"}  # cows and the dog; the teacup has none
    wave_T, rate = soundfile.read(io.BytesIO(own[0].values["audio"]))
    hertz = np.abs(np.fft.rfft(wave_T)).argmax() * rate / len(wave_T)
    assert abs(hertz - (300 if own[0].meta["name"].startswith("cow") else 360)) < 8
    kinds = {s.meta["emoji"]: s.meta["sound"] for s in everything(home, sound="effect_or_spoken")}
    assert kinds["1f404"] == "effect" and kinds["1f375"] == "spoken"
    assert all("audio" not in s.values for s in everything(home, sound="none"))


def test_languages_texts_and_refusals(home: Path) -> None:
    every = everything(home, languages="all")
    assert len(every) == 3 * 7
    russian = [s for s in every if s.meta["language"] == "ru"]  # has names, is not spoken
    assert len(russian) == 7 and all("audio" not in s.values and s.meta["sound"] == "none" for s in russian)
    assert everything(home, languages="en", text="keywords")[0].values["text"].endswith(", thing")
    for bad in ({"languages": ["xx"]}, {"sound": "loud"}, {"text": "x"}, {"split": "dev"}):
        with pytest.raises(ConfigError):
            FluentClips(root=home / "fluentclips", **bad)
    with pytest.raises(InputError, match="omni data build fluentclips"):
        FluentClips(root=home / "nowhere")
    with pytest.raises(IndexError, match="none with index 99"):
        FluentClips(root=home / "fluentclips")[99]


def test_tones_come_with_their_plain_one(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch_sources(monkeypatch, tiny)
    fluent.build_fluent(tmp_path / "out", cache=tmp_path, given=[tiny], languages=("en",), tones=True, effects=False)
    samples = [s for split in SPLITS for s in FluentClips(split, root=tmp_path / "out")]
    toned, plain = (next(s for s in samples if s.meta["emoji"] == name) for name in ("1f3c3-1f3fb", "1f3c3"))
    assert toned.values["text"] == plain.values["text"] == "person running"
    assert toned.targets["family"] == plain.targets["family"] and toned.values["audio"] == plain.values["audio"]
    assert len(samples) == len([names for frames, names in EMOJI.values() if names and frames > 1]) + 1
    with pytest.raises(ConfigError, match="does not name all of the animations in 'xx'"):
        fluent.build_fluent(tmp_path / "no", cache=tmp_path, given=[tiny], languages=("xx",))
    assert not (tmp_path / "no").exists()


def test_shots_are_parts_of_the_film_with_their_sound(home: Path, tiny: Path) -> None:
    parts = {split: BigBuckBunny(split, root=home / "bbb", shots=tiny / "shots.tsv") for split in SPLITS}
    shots = {split: [s.targets["shot"] for s in data] for split, data in parts.items()}
    assert shots == {"train": [0, 1, 2, 3, 4, 5], "val": [6], "test": [7, 8]}  # the titles are left out
    sample = parts["train"][2]
    assert sample.values["text"] == "shot 2" and sample.targets["seconds"] == [8.0, 12.0]
    clip = load(sample.values["video"])
    inside = np.flatnonzero((clip.times_T >= 8) & (clip.times_T < 12))
    red = next(iter(clip.blocks(inside)))[:, 18, 32, 0].astype(int)
    assert np.abs(red - 6 * np.repeat(np.arange(8, 12), 4)).max() <= 6
    sound = load_sound(sample.values["audio"])
    assert len(sound.samples_T) == 4 * RATE
    first = np.abs(np.fft.rfft(sound.samples_T[:RATE].numpy())).argmax()
    assert abs(first - 380) <= 3
    assert len(BigBuckBunny("test", root=home / "bbb", shots=tiny / "shots.tsv", titles=True)) == 3


def test_windows_divide_a_shot_evenly(home: Path, tiny: Path) -> None:
    data = BigBuckBunny("val", root=home / "bbb", shots=tiny / "shots.tsv", window=1.5)
    assert [s.targets["seconds"] for s in data] == [[24.0, 25.333], [25.333, 26.667], [26.667, 28.0]]
    assert {s.targets["shot"] for s in data} == {6} and len({s.id for s in data}) == 3
    with pytest.raises(ConfigError, match="window"):
        BigBuckBunny("val", root=home / "bbb", window=0)


def test_the_table_of_the_real_film() -> None:
    shots = read_shots()
    assert len(shots) == 130 and [s.kind for s in shots].count("titles") == 1
    assert shots[0].start < 1 and 596 < shots[-1].end < 597 and sum(s.end - s.start for s in shots) > 590
    assert all(s.text.isascii() and s.text.endswith(".") and 20 < len(s.text) < 140 for s in shots)
    assert len({s.text for s in shots}) == 130
    splits = split_shots(shots)
    assert splits == sorted(splits, key=SPLITS.index)  # blocks of time
    scenes = [(split, s.end - s.start) for split, s in zip(splits, shots, strict=True) if s.kind == "scene"]
    shares = [sum(t for split, t in scenes if split == name) / sum(t for _, t in scenes) for name in SPLITS]
    assert np.abs(np.array(shares) - [0.7, 0.1, 0.2]).max() < 0.05


def test_tables_that_are_wrong_are_named(tmp_path: Path) -> None:
    overlapping = "0\t2\tscene\ta\n1\t3\tscene\tb"
    for text, cause in (("", "no shots"), ("0\t1\tscene\t", "is no shot"), ("x\t1\tscene\ta", "seconds"),
                        (overlapping, "before the shot above"), ("0\t1\tsong\ta", "kinds")):  # fmt: skip
        (tmp_path / "t.tsv").write_text(f"start\tend\tkind\ttext\n{text}\n")
        with pytest.raises(InputError, match=cause):
            read_shots(tmp_path / "t.tsv")
    with pytest.raises(InputError, match="cannot be read"):
        read_shots(tmp_path / "none.tsv")
    only = [Shot(number=0, start=0, end=SECONDS, kind="scene", text="a")]
    assert split_shots(only) == ["train"]


def test_packages_without_the_film_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("other.mp4", b"x")
    path = tgz(tmp_path / film.MOVIEPY.filename, {f"moviepy-2.2.1/{film.INNER}": packed.getvalue()})
    with pytest.raises(InputError, match="not moviepy 2.2.1: sha256"):
        film.build_bbb(tmp_path / "out", cache=tmp_path, given=[tmp_path])
    monkeypatch.setattr(film, "MOVIEPY", replace(film.MOVIEPY, sha256=sha256_of(path)))
    with pytest.raises(InputError, match=r"no .*bbb.mp4 within"):
        film.build_bbb(tmp_path / "out", cache=tmp_path, given=[tmp_path])
    assert not (tmp_path / "out").exists()
