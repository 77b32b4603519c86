"""The packages that the clips are built from, tiny: the same layout, made of squares, tones and drawn frames."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from omni.data.building.packages import sha256_of
from omni_plugin_clips.builder import film, fluent, scenes

RATE = 16_000
SECONDS = 40
EMOJI = {  # id -> frames, names in en, fr and ru
    "1f404": (4, ("cow", "vache", "корова")),
    "1f42e": (4, ("cow face", "tête de vache", "морда коровы")),
    "1f436": (4, ("dog face", "tête de chien", "морда собаки")),
    "1f3c3": (4, ("person running", "personne qui court", "бегущий человек")),
    "1f3c3-200d-2640-fe0f": (4, ("woman running", "femme qui court", "бегущая женщина")),
    "1f3c3-1f3fb": (4, None),  # a skin tone has no name of its own
    "1f375": (4, ("teacup", "tasse", "чашка")),
    "1f30a": (4, ("wave", "vague", "волна")),
    "1f320": (1, ("star", "étoile", "звезда")),  # a still
    "1f468-200d-1f9b0": (4, None),  # CLDR's table has no name
}
THINGS = {"animals/cow": "A cow.", "animals/dog": "A dog.", "town/bell": "A bell.", "town/horn": "A horn.",
          "town/drum": "A drum.", "town/train": "A train!", "town/mute": "A mute.", "town/flat": "A flat."}  # fmt: skip


class Hum:
    """In place of espeak-ng, which the quick tests do not have: a tone that depends on text, language and voice."""

    def variants(self) -> list[str]:
        return [f"v{name}{number}" for number in range(2) for name in "abcdefghij"]

    def speak(self, text: str, *, language: str, variant: str, rate: int) -> np.ndarray:
        hertz = 200 + sum(map(ord, text + language + variant)) % 400
        return (0.1 * np.sin(2 * np.pi * hertz * np.arange(RATE // 4) / RATE)).astype(np.float32)


def tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def webp(frames: int, shade: int) -> bytes:
    """Frame i is filled with (shade, 40 i, 90)."""
    made = [Image.new("RGB", (32, 32), (shade, 40 * number, 90)) for number in range(frames)]
    buffer = io.BytesIO()
    extra = {"save_all": True, "append_images": made[1:], "duration": 50} if frames > 1 else {}
    made[0].save(buffer, "WEBP", lossless=True, **extra)
    return buffer.getvalue()


def movie(kind: str, codec: str, *, size: tuple[int, int], rate: int, sound: bool) -> bytes:
    """SECONDS of film; the red of a frame tells its second: 6 x second. Its sound is a tone of 300 + 10 x second Hz."""
    width, height = size
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        track = container.add_stream("aac", rate=RATE) if sound else None
        for number in range(SECONDS * rate):
            picture = np.full((height, width, 3), 120, np.uint8)
            picture[..., 0] = 6 * (number // rate)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track is not None:
            time = np.arange(SECONDS * RATE) / RATE
            wave = (0.3 * np.sin(2 * np.pi * (300 + 10 * np.floor(time)) * time)).astype(np.float32)
            for start in range(0, len(wave), 1024):
                frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
                frame.rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
                container.mux(track.encode(frame))
            container.mux(track.encode())
    return buffer.getvalue()


def deb(path: Path, members: dict[str, bytes]) -> Path:
    inner = tgz(path.with_suffix(".inner"), members).read_bytes()
    out = b"!<arch>\n"
    for name, body in (("debian-binary", b"2.0\n"), ("data.tar.gz", inner)):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
    path.write_bytes(out)
    path.with_suffix(".inner").unlink()
    return path


def cldr(path: Path) -> Path:
    members = {}
    for place, language in enumerate(("en", "fr", "ru", "root")):  # the last, of no language, is empty
        rows = {
            "".join(chr(int(code, 16)) for code in name.split("-")): {
                "tts": [names[place]],
                "default": [names[place], "thing"],
            }
            for name, (_, names) in EMOJI.items()
            if names and place < 3
        }
        text = json.dumps({"annotations": {"annotations": rows}}, ensure_ascii=False)
        members[f"package/annotations/{language}/annotations.json"] = text.encode()
    return tgz(path, members)


def stamps(root: Path) -> None:
    """Each thing is a red square with a clear border (the train a bar) and sounds as a tone of its own."""
    for number, (name, text) in enumerate(THINGS.items()):
        path = root / "usr/share/tuxpaint/stamps" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.zeros((60, 90 if name == "town/train" else 60, 4), np.uint8)
        picture[10:50, 10:-10] = (255, 0, 0, 255)
        Image.fromarray(picture).save(path.with_suffix(".png"))
        path.with_suffix(".txt").write_text(f"{text}\nfr.utf8=X", encoding="utf-8")
        silent = name == "town/mute"
        wave = 0.3 * np.sin(2 * np.pi * (300 + 60 * number) * np.arange(RATE) / RATE) * (not silent)
        if name != "town/flat":  # no sound of its own
            soundfile.write(path.with_suffix(".ogg"), wave.astype(np.float32), RATE)


def shots_table(path: Path) -> Path:
    """Ten shots of four seconds, the last of them titles."""
    rows = [f"{4 * n}.0\t{4 * n + 4}.0\t{'titles' if n == 9 else 'scene'}\tshot {n}" for n in range(10)]
    path.write_text("\n".join(["start\tend\tkind\ttext", *rows]) + "\n", encoding="utf-8")
    return path


def packages(folder: Path) -> Path:
    """All packages of the three data sets, named as the clients name them."""
    members = {f"package/assets/{name}.webp": webp(frames, 20 * place) for place, (name, (frames, _)) in
               enumerate(EMOJI.items())}  # fmt: skip
    tgz(folder / fluent.FLUENT.filename, {"package/package.json": b"{}", **members})
    cldr(folder / fluent.CLDR.filename)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(film.FILM, movie("mp4", "libx264", size=(64, 36), rate=4, sound=True))
    tgz(folder / film.MOVIEPY.filename, {f"moviepy-2.2.1/{film.INNER}": packed.getvalue()})
    deb(folder / film.OPENCV.filename, {f"./{film.STREET}": movie("avi", "mpeg4", size=(48, 36), rate=2, sound=False)})
    stamps(folder)
    shots_table(folder / "shots.tsv")
    return folder


def patch_sources(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The pinned sha256 become those of the tiny packages; espeak-ng becomes a hum."""
    for module, name in ((fluent, "FLUENT"), (fluent, "CLDR"), (film, "MOVIEPY"), (film, "OPENCV"),
                         (scenes, "MOVIEPY"), (scenes, "OPENCV")):  # fmt: skip
        source = getattr(module, name)
        patch.setattr(module, name, replace(source, sha256=sha256_of(folder / source.filename)))
    patch.setattr(fluent, "find_espeak", lambda **_: Hum())
