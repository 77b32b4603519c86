"""Bad and odd files: the right value, or an error that names the file."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
from video_fixture import all_frames, write_film

from omni.data.processor import Processor
from omni.errors import InputError
from omni_plugin_video.io import Part, load


@pytest.mark.parametrize("name", ["a.mp4", "fast.mp4", "a.mkv", "a.avi", "a.webm"])
def test_a_film_cut_off_anywhere_is_refused_by_name(tmp_path: Path, name: str) -> None:
    codec = {"a.avi": "mpeg4", "a.webm": "libvpx"}.get(name, "libx264")
    path = write_film(tmp_path / name, codec=codec)
    data = path.read_bytes()
    if name == "fast.mp4":
        path = fast_start(path)
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
    for cut in [*range(1, 64, 7), *range(64, len(data) - 40, 397), len(data) - 30, len(data) - 2]:
        path.write_bytes(data[:cut])
        with pytest.raises(InputError, match=name):
            all_frames(load(path))


def fast_start(path: Path) -> Path:
    """The same film with its index in front, as it is laid out for the web."""
    import av

    made = path.with_name("moved_" + path.name)
    with av.open(str(path)) as source, av.open(str(made), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    made.replace(path)
    return path


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty"),
        (b"no film at all, only words", "no film"),
        (b"\x00\x00\x00\x18ftypmp42" + b"\0" * 12, "moov"),
        (b"\x1a\x45\xdf\xa3" + b"\xff" * 30, "no film|damaged"),
        (b"RIFF\x10\x00\x00\x00AVI LIST" + b"\0" * 12, "no film|damaged|no video|holds no frame"),
        (b"#EXTM3U\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n", "no film"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "no film"),
        (b"GIF89a" + b"\0" * 40, "no film|damaged|no video|holds no frame"),
    ],
)
def test_what_is_no_film(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "bad.mp4"
    write_film(tmp_path / "other.mp4")
    path.write_bytes(content)
    for value, name in ((path, r"bad\.mp4"), (content, f"{len(content)} bytes")):
        with pytest.raises(InputError, match=name) as caught:
            all_frames(load(value))
        assert __import__("re").search(cause, str(caught.value)), caught.value


def test_places_that_are_no_files(tmp_path: Path) -> None:
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    for value, cause in (
        (tmp_path, "not a regular file"),
        (tmp_path / "absent.mp4", "does not exist"),
        (loop, "loop.mp4"),
        (pipe, "not a regular file"),
        ("https://example.org/a.mp4", "address"),
        ("bad\0name.mp4", "bad"),
    ):
        with pytest.raises(InputError, match=cause):
            load(value)


def test_no_permission(tmp_path: Path) -> None:
    path = write_film(tmp_path / "mine.mp4")
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(0o755)
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(InputError, match="mine.mp4.*[Pp]ermission"):
            load(path)
    finally:
        os.seteuid(user)


def test_a_file_without_pictures(tmp_path: Path) -> None:
    path = write_film(tmp_path / "song.mp4", frames=0, sound="aac")
    with pytest.raises(InputError, match=r"song\.mp4.*no video stream \(streams: audio\)"):
        load(path)


def test_a_codec_that_is_not_there(tmp_path: Path) -> None:
    path = write_film(tmp_path / "odd.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    with pytest.raises(InputError, match=r"odd\.mp4.*(codec|decoded)"):
        load(path)


def test_a_huge_size_in_a_header(tmp_path: Path) -> None:
    path = write_film(tmp_path / "huge.mkv", codec="ffv1", height=48, width=64)
    with pytest.raises(InputError, match=r"huge\.mkv.*64 x 48 pixels.*max_pixels"):
        load(path, max_pixels=1000)
    gif = write_film(tmp_path / "huge.gif", codec="gif", pixels="rgb8")
    data = bytearray(gif.read_bytes())
    data[6:10] = b"\xff\xff\xff\xff"
    gif.write_bytes(data)
    with pytest.raises(InputError, match=r"huge\.gif.*(pixels|no frame)"):
        load(gif)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.gif"])
def test_a_damaged_file_gives_frames_or_a_named_error(tmp_path: Path, name: str) -> None:
    options = {"a.avi": {"codec": "mpeg4"}, "a.gif": {"codec": "gif", "pixels": "rgb8"}, "a.ts": {"kind": "mpegts"}}
    path = write_film(tmp_path / name, sound=None, **options.get(name, {}))
    data = path.read_bytes()
    draw = random.Random(0)
    for _ in range(25):
        broken = bytearray(data)
        for _ in range(draw.choice((1, 3, 20))):
            broken[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        try:
            film = load(path)
            frames = all_frames(film, sorted({0, len(film) // 2, len(film) - 1}))
        except InputError as error:
            assert name in str(error)
        else:
            assert frames.dtype == np.uint8 and np.isfinite(film.times_T).all() and (np.diff(film.times_T) >= 0).all()


def test_the_slot_and_the_file_are_named(tmp_path: Path) -> None:
    processor = Processor({"scene": {"modality": "video", "size": 32, "num_frames": 2}})
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"words")
    with pytest.raises(InputError, match=r"'scene'.*bad\.mp4"):
        processor.process_value("scene", path)
    with pytest.raises(InputError, match=r"'scene'.*holds nothing of a film"):
        processor.process_value("scene", Part(path=write_film(tmp_path / "good.mp4"), start=5.0, end=6.0))


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (np.zeros((4, 9, 9, 3), np.uint8), "no frame rate"),
        ((np.zeros((4, 9, 9, 3), np.uint8), 0), "above 0"),
        ((np.zeros((4, 9, 9, 3), np.uint8), float("nan")), "above 0"),
        ((np.zeros((4, 3, 9, 3), np.uint8), 8), "first or last"),
        ((np.zeros((4, 9, 9, 5), np.uint8), 8), "no axis of 1 or 3"),
        ((np.zeros((9, 9, 3), np.uint8), 8), "shape"),
        ((np.zeros((0, 9, 9, 3), np.uint8), 8), "at least one frame"),
        ((np.full((4, 9, 9, 3), np.nan), 8), "0..1"),
        ((np.full((4, 9, 9, 3), 200.0), 8), "0..1"),
        ((np.zeros((4, 9, 9, 3), np.int32), 8), "int32"),
        ({"frames": np.zeros((4, 9, 9, 3), np.uint8)}, "frames.*fps"),
        (([np.zeros((9, 9, 3)), np.zeros((8, 9, 3))], 8), "different sizes"),
        (7, "no frame rate"),
    ],
)
def test_frames_whose_meaning_is_not_certain(value: object, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        load(value)


def test_every_form_of_frames_gives_the_same_film() -> None:
    torch = pytest.importorskip("torch")
    frames = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    first = frames.transpose(0, 3, 1, 2)
    for value in (
        frames,
        first,
        list(frames),
        torch.from_numpy(first.copy()),
        frames / 255,
        torch.from_numpy(frames) / 255,
    ):
        film = load((value, 8))
        assert np.array_equal(all_frames(film), frames) and film.times_T.tolist() == [0, 0.125, 0.25, 0.375]
        assert film.end == 0.5
    grey = load({"frames": frames[..., :1], "fps": 2.0})
    assert np.array_equal(all_frames(grey), np.repeat(frames[..., :1], 3, -1))
