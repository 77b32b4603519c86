"""Tiny folders in the layouts of published data sets of films: drawn films, the real file names, columns and quirks."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from video_fixture import picture, write_film

KINETICS = (
    # label, youtube_id, start, end, with sound; ids begin with hyphens and underscores, as YouTube's do
    ("riding a bike", "---v8pgm1eQ", 1, 11, True),
    ("riding a bike", "_7FXK3gqvTA", 102, 112, False),
    ("playing 'rock, paper, scissors'", "07WeVTAd4Mg", 0, 10, True),
)
VGGSOUND = (
    ("---g-f_I2yQ", 1, "people marching", "test", True),
    ("--0PQM4-hqg", 30, "waterfall burbling", "train", True),
    ("_U5ARaWhbHg", 110, "female speech, woman speaking", "train", True),
    ("a2xk9Y4bQ0c", 1200, "waterfall burbling", "train", False),
)
VALOR = {
    "train": (("x-2Abohj8VY_30.000_40.000", "With the sound of waves, a man in red walks on the beach.", True),
              ("-0_BS8LqBWs_0.000_10.000", "A cat looks into the camera in silence.", False)),
    "val": (("_abCDefGHij_110.000_120.000", "A dog barks at a blue car.", True),),
    "test": (("07WeVTAd4Mg_5.000_15.000", "People cheer, and a band begins to play.", True),),
}  # fmt: skip


@cache
def content(sound: bool, look: int) -> bytes:
    """A film with sound or without, made once."""
    track = {"sound": "aac", "pitch": 440.0 * 1.5**look} if sound else {}
    with TemporaryDirectory() as place:
        return write_film(Path(place, "a.mp4"), height=32, width=32, frames=13, first=9 * look, **track).read_bytes()


def film(path: Path, *, sound: bool = True, look: int = 0) -> Path:
    """A film of half a second; other looks have other colours and another pitch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(sound, look))
    return path


def table(path: Path, rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def kinetics(root: Path, *, deep: bool = False) -> Path:
    """Tables in annotations, films flat in a folder a split, or sorted by class (``deep``)."""
    header = ("label", "youtube_id", "time_start", "time_end", "split")
    parts = {"train": ("train", KINETICS), "val": ("validate", KINETICS[:2]), "test": ("test", KINETICS[2:])}
    for split, (called, rows) in parts.items():
        lines = [(label, name, start, end, called) for label, name, start, end, _ in rows]
        table(root / f"annotations/{split}.csv", [header, *lines])
        for label, name, start, end, sound in rows:
            folder = root / split / label if deep else root / split
            film(folder / f"{name}_{start:06d}_{end:06d}.mp4", sound=sound)
    return root


def kinetics_folders(root: Path) -> Path:
    """A folder a class, without tables."""
    shutil.rmtree(kinetics(root, deep=True) / "annotations")
    return root


def msrvtt(root: Path) -> Path:
    """Four films for train, one for val, two for test; twenty captions each; the tables of the split 1k-A beside."""
    splits = {"video0": "train", "video1": "train", "video2": "train", "video3": "train", "video6513": "validate",
              "video7010": "test", "video7011": "test"}  # fmt: skip
    videos, sentences = [], []
    for number, (name, split) in enumerate(splits.items()):
        place = "TestVideo" if split == "test" else "TrainValVideo"
        film(root / place / f"{name}.mp4", sound=name != "video1")
        videos.append({
            "category": number, "url": f"https://www.youtube.com/watch?v=9lZi22qLlE{number}", "video_id": name,
            "start time": 137.72, "end time": 149.44, "split": split, "id": number,
        })  # fmt: skip
        sentences += [
            {"caption": f"caption {which} of film {number}", "video_id": name, "sen_id": 20 * number + which}
            for which in range(20)
        ]
    sentences.reverse()  # the order of the published table is no order of films
    parts = {
        "train_val_videodatainfo.json": [video for video in videos if video["split"] != "test"],
        "test_videodatainfo.json": [video for video in videos if video["split"] == "test"],
        "MSRVTT_data.json": videos,
    }
    for name, chosen in parts.items():
        ids = {video["video_id"] for video in chosen}
        told = [sentence for sentence in sentences if sentence["video_id"] in ids]
        (root / name).write_text(json.dumps({"info": {"version": "1.0"}, "videos": chosen, "sentences": told}))
    table(root / "MSRVTT_train.9k.csv", [["video_id"], ["video0"], ["video1"], ["video6513"], ["video7010"]])
    header = ["key", "vid_key", "video_id", "sentence"]
    rows = [["ret0", "msr7011", "video7011", "a person, who sings"], ["ret1", "msr2", "video2", "a woman is cooking"]]
    table(root / "MSRVTT_JSFUSION_test.csv", [header, *rows])
    return root


def valor(root: Path) -> Path:
    """VALOR-32K with its films."""
    for split, rows in VALOR.items():
        root.mkdir(parents=True, exist_ok=True)
        told = [{"video_id": name, "desc": text} for name, text, _ in rows]
        (root / f"desc_{split}.json").write_text(json.dumps(told))
        for name, _, sound in rows:
            film(root / "videos" / f"{name}.mp4", sound=sound)
    return root


def valor_frames(root: Path) -> Path:
    """The same, taken apart: pictures at two a second and, where there is sound, WAV."""
    import soundfile

    shutil.rmtree(valor(root) / "videos")
    (root / "audio_22050hz").mkdir()
    for number, (name, _, sound) in enumerate(row for rows in VALOR.values() for row in rows):
        for frame in range(3):
            path = root / "frames_fps2" / name / f"img_{frame + 1:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(frame * 10, 32, 40)).save(path)
        if sound:
            wave = [((step * (7 + number)) % 100) / 100 - 0.5 for step in range(22050)]
            soundfile.write(root / "audio_22050hz" / f"{name}.wav", wave, 22050)
    return root


def vggsound(root: Path) -> Path:
    """The table without a header line, one label with a comma, films in one folder."""
    table(root / "vggsound.csv", [row[:4] for row in VGGSOUND])
    for look, (name, start, _, _, sound) in enumerate(VGGSOUND):
        film(root / "video" / f"{name}_{start:06d}.mp4", sound=sound, look=look)
    return root
