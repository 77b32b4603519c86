"""mix: scenes that are what their labels say, seen and heard; tracks that are not there; the splits."""

from __future__ import annotations

import io
import json
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest

from omni.data.processor import Processor
from omni.errors import ConfigError, InputError
from omni.registry import DATASETS
from omni_plugin_clips.builder.media import RATE, write_mp4
from omni_plugin_clips.builder.scenes import cut_out, ground_starts, plan, read_things, spoken_name
from omni_plugin_clips.mix import SPLITS, Mix
from omni_plugin_clips.scene import (
    FPS,
    FRAMES,
    GROUNDS,
    MOTIONS,
    SECONDS,
    SIDE,
    WHENS,
    Scene,
    draw_scenes,
    ears,
    render,
)
from omni_plugin_m3mini.builder.tuxpaint import read_stamps

STILL = Scene(
    thing=0, motion="right", when="all", ground="street", start=0, shift=0.0, across=0.5, words=(0, 0, 0)
)  # fmt: skip
GREY = np.full((FRAMES, SIDE, SIDE, 3), 100, np.uint8)
SQUARE = np.full((40, 40, 4), 255, np.uint8) * np.array([1, 0, 0, 1], np.uint8)


def scene(**changes) -> Scene:
    return Scene(**{**vars(STILL), **changes})


def found_boxes(frames_THWC: np.ndarray) -> np.ndarray:
    """(T, 4) of the red pixels."""
    made = []
    for frame in frames_THWC.astype(int):
        y, x = np.nonzero((frame[..., 0] > 150) & (frame[..., 1] < 90))
        made.append((x.min(), y.min(), x.max() + 1, y.max() + 1))
    return np.array(made)


def decode(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """Frames (T, H, W, 3), sound (2, samples) or None where there is no audio stream."""
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(io.BytesIO(data)) as container:
        if not container.streams.audio:
            return np.stack(frames), None
        return np.stack(frames), np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1)


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_thing_is_where_the_boxes_say_also_in_the_file(motion: str) -> None:
    made = scene(motion=motion, across=0.3)
    frames = render(made, SQUARE, GREY)
    boxes = made.boxes(40, 40)
    seen = boxes.clip(0, SIDE)
    assert np.abs(found_boxes(frames) - seen).max() <= 1.5
    assert np.prod(seen[:, 2:] - seen[:, :2], 1).min() > 0.5 * np.prod(boxes[:, 2:] - boxes[:, :2], 1).min()
    change = boxes[-1] - boxes[0]
    place, size = change[:2] + change[2:], change[2] - change[0]
    assert {"right": place[0] > 100, "left": place[0] < -100, "down": place[1] > 100, "up": place[1] < -100,
            "nearer": size > 40, "away": size < -40}[motion]  # fmt: skip
    decoded, sound = decode(write_mp4(frames, FPS, None))
    assert sound is None and decoded.shape == (FRAMES, SIDE, SIDE, 3)
    assert np.abs(found_boxes(decoded) - seen).max() <= 4  # H.264 smears colour over two pixels


def test_boxes_keep_the_aspect() -> None:
    boxes = scene().boxes(20, 40)
    assert np.allclose(boxes[:, 2] - boxes[:, 0], 2 * (boxes[:, 3] - boxes[:, 1]))


@pytest.mark.parametrize("when", WHENS)
def test_it_sounds_when_the_labels_say(when: str) -> None:
    made = scene(when=when, motion="down")
    tone = 0.3 * np.sin(2 * np.pi * 400 * np.arange(RATE // 5) / RATE)  # shorter than a second: repeated
    _, decoded = decode(write_mp4(GREY, FPS, ears(made, tone.astype(np.float32), RATE)))
    loud = np.abs(decoded[:, : SECONDS * RATE]).reshape(2, SECONDS, RATE).mean((0, 2))
    start, end = made.seconds()
    heard = (np.arange(SECONDS) >= start) & (np.arange(SECONDS) < end)
    assert loud[heard].min() > 0.01 and (loud[~heard] < 0.002).all()


def test_the_sound_is_panned_and_fades_with_the_motion() -> None:
    tone = (0.3 * np.sin(2 * np.pi * 400 * np.arange(3 * RATE) / RATE)).astype(np.float32)

    def loudness(sound_CT: np.ndarray) -> np.ndarray:
        """(2, FRAMES - 2), of each ear in each frame; the first and the last are fading."""
        return np.sqrt(np.square(sound_CT[:, : SECONDS * RATE]).reshape(2, FRAMES, RATE // FPS).mean(2))[:, 1:-1]

    for motion in MOTIONS:
        made = scene(motion=motion, across=0.2)
        boxes, sound = made.boxes(1, 1)[1:-1], ears(made, tone, RATE)
        pan, size = (boxes[:, 0] + boxes[:, 2]) / 2 / SIDE, boxes[:, 2] - boxes[:, 0]
        whole = np.sqrt(np.square(loudness(sound)).sum(0)) / size  # as loud as it is large, wherever it is
        assert whole.max() / whole.min() < 1.02
        heard = loudness(sound)
        assert np.abs(heard[1] / heard[0] / np.tan(pan * np.pi / 2) - 1).max() < 0.02
        if motion not in ("nearer", "away"):  # AAC at 48 kbit/s; quiet starts are coarse
            heard = loudness(decode(write_mp4(GREY, FPS, sound))[1])[:, 3:]
            assert np.abs(heard[1] / heard[0] / np.tan(pan[3:] * np.pi / 2) - 1).max() < 0.15
    assert ears(scene(when=None), tone, RATE) is None


def test_texts_say_what_where_and_when() -> None:
    assert STILL.text("a dog") == "A dog moves from left to right over a street, heard all the time."
    quiet = scene(when=None, ground="cartoon", motion="away", words=(1, 0, 1))
    assert quiet.text("a dog") == "A dog shrinks into the distance in a cartoon." and quiet.seconds() is None
    texts = {
        scene(motion=m, when=w, ground=g, words=words).text("a dog")
        for m in MOTIONS for w in (*WHENS, None) for g in GROUNDS for words in ((0, 0, 0), (1, 1, 1))
    }  # fmt: skip
    assert len(texts) == len(MOTIONS) * 5 * 2 * 2  # no two labels have one text
    for text in ("Remember to wash your hands.", "A dreidel that stands for nothing at all.", "Big fireworks!"):
        with pytest.raises(InputError, match="no thing with an article"):
            spoken_name(text)
    assert spoken_name("Some bread.") == "some bread" and spoken_name("A train!") == "a train"


def test_the_built_scenes(home: Path) -> None:
    info = json.loads((home / "mix/edition.json").read_text())
    assert [t["id"] for t in info["things"]] == ["animals/cow", "animals/dog", "town/bell", "town/drum", "town/horn",
                                                 "town/train"]  # fmt: skip
    assert list(info["left_out"]) == ["town/mute"] and "silent" in info["left_out"]["town/mute"]
    parts = {split: Mix(split, root=home / "mix") for split in SPLITS}
    assert {split: len(data) for split, data in parts.items()} == {"train": 24, "val": 6, "test": 12, "unseen": 6}
    checked = {True: 0, False: 0}
    for data in parts.values():
        for index, sample in enumerate(data):
            frames, sound = decode(sample.values["video"])
            has = data.scene(index).when is not None
            assert (sound is not None) == has == ("audio" in sample.values) == sample.meta["track"]
            assert np.isnan(sample.targets["sounds"]).all() != has and (sample.targets["when"] >= 0) == has
            checked[has] += 1
            boxes = np.asarray(sample.targets["boxes"])
            assert boxes.shape == (FRAMES, 4)
            if sample.targets["motion"] < 4:  # far things are a few pixels
                assert np.abs(found_boxes(frames) - boxes.clip(0, SIDE)).max() < 5
    assert checked[True] > 30 and checked[False] > 3
    thing = {split: {s.targets["group"] for s in data} for split, data in parts.items()}
    assert not thing["unseen"] & (thing["train"] | thing["val"] | thing["test"])
    for split in ("val", "test", "unseen"):
        assert len({s.values["text"] for s in parts[split]}) == len(parts[split])


def test_the_films_are_split_by_time(home: Path) -> None:
    for ground in GROUNDS:
        spans = {}
        for split in ("train", "val", "test"):
            data = Mix(split, root=home / "mix")
            starts = [s.start for s in (data.scene(i) for i in range(len(data))) if s.ground == ground]
            spans[split] = {frame for start in starts for frame in range(start, start + FRAMES)}
        assert all(spans.values()) and not any(spans[a] & spans[b] for a, b in combinations(spans, 2))
    dark = np.zeros((400, 8, 8, 3), np.uint8)
    with pytest.raises(InputError, match="no bright piece of 3 s in its block 'val'"):
        ground_starts(dark, "street", "val")


def test_the_sound_can_be_left_out(home: Path) -> None:
    made, without, only = (Mix("train", root=home / "mix", sound=s) for s in ("as_made", "missing", "only_with"))
    assert len(made) == len(without) == 24 and len(only) == sum("audio" in s.values for s in made) < 24
    assert not any("audio" in s.values for s in without) and all("audio" in s.values for s in only)
    assert [s.values["text"] for s in without] == [s.values["text"] for s in made]
    half = [
        [s.id for s in Mix("train", root=home / "mix", drop_sound=0.5, seed=seed) if "audio" in s.values]
        for seed in (0, 0, 1)
    ]
    assert half[0] == half[1] != half[2] and 3 < len(half[0]) < len(only) - 3
    for bad in ({"sound": "loud"}, {"drop_sound": 2}, {"split": "dev"}):
        with pytest.raises(ConfigError):
            Mix(root=home / "mix", **bad)


def test_scenes_without_a_track_lack_the_slot_in_a_batch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_HOME", str(home))
    data = DATASETS.build(dict(type="mix", split="test"))
    processor = Processor(
        dict(
            video=dict(type="video_basic", size=32, num_frames=4),
            audio=dict(type="log_mel", max_seconds=3.0),
            text=dict(type="bpe"),
        )
    )
    samples = [data[index] for index in range(len(data))]
    batch = processor.collate([(sample, processor(sample)) for sample in samples])
    assert batch.present["audio"].tolist() == [sample.meta["track"] for sample in samples]
    assert 0 < int(batch.present["audio"].sum()) < len(samples) and batch.present["video"].all()
    assert batch.inputs["video"]["pixels_BTCHW"].shape == (12, 4, 3, 32, 32)
    assert len(batch.inputs["audio"]["valid_BT"]) == int(batch.present["audio"].sum())
    assert batch.targets["boxes"].shape == (12, FRAMES, 4)


def test_scenes_are_drawn_alike_everywhere_and_evenly() -> None:
    starts = {ground: np.arange(50) for ground in GROUNDS}
    options = dict(things=[0, 2, 5], groups=list(range(6)), starts=starts, silent=0.15)
    drawn = draw_scenes("x", 2000, **options, distinct=False)
    again, other = (draw_scenes(name, 20, **options, distinct=False) for name in "xy")
    assert drawn[:20] == again != other
    for name, values, spread in (("motion", MOTIONS, 0.03), ("ground", GROUNDS, 0.05), ("thing", (0, 2, 5), 0.05)):
        shares = [sum(getattr(s, name) == value for s in drawn) / 2000 for value in values]
        assert np.abs(np.array(shares) - 1 / len(values)).max() < spread
    assert abs(sum(s.when is None for s in drawn) / 2000 - 0.15) < 0.03
    most = draw_scenes("x", 500, **options, distinct=True)
    assert len(most) == 3 * 6 * 5 * 2  # every label once, then no more
    alike = draw_scenes("x", 500, **{**options, "groups": [0] * 6}, distinct=True)
    assert len(alike) == 6 * 5 * 2


def test_what_is_no_scene_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = tiny / "usr/share/tuxpaint/stamps"
    things, left_out = read_things(folder)
    grounds = {ground: np.full((400, SIDE, SIDE, 3), 99, np.uint8) for ground in GROUNDS}
    with pytest.raises(InputError, match="test has only .* scenes of different labels, not 301"):
        plan(things, grounds, {"test": 301}, tiny / "shots.tsv")
    stamp = next(s for s in read_stamps(folder) if s.id == "animals/cow")
    assert cut_out(stamp).shape == (40, 40, 4)  # the clear border is cut off
    empty = tmp_path / "x.png"
    from PIL import Image

    Image.new("RGBA", (9, 9)).save(empty)
    for path, cause in ((empty, "is empty"), (tmp_path / "x.svg", "is no PNG")):
        with pytest.raises(InputError, match=cause):
            cut_out(type(stamp)(id="x", picture=path, names={}, speech={}))
