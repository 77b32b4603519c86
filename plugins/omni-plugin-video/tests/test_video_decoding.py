"""Both decoders give the same frames, and the right ones."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from video_fixture import all_frames, numbers, write_film

from omni.errors import ConfigError, InputError
from omni_plugin_video import decoding
from omni_plugin_video.io import load

VARIABLE = [0, 40, 80, 500, 540, 1000, 1040, 1080, 3000, 3040]
PLAIN = {
    "h264.mp4": {},
    "h264.mkv": {},
    "full_range.mp4": {"pixels": "yuvj420p"},
    "odd_444.mp4": {"pixels": "yuv444p", "height": 49, "width": 65},
    "odd_420.webm": {"codec": "libvpx-vp9", "height": 47, "width": 63},
    "vp8.webm": {"codec": "libvpx"},
    "b_frames.mp4": {"frames": 30, "options": {"preset": "medium", "bf": "3"}},
    "mpeg4.mov": {"codec": "mpeg4"},
    "motion_jpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "lossless.mkv": {"codec": "ffv1", "pixels": "yuv420p"},
    "variable.mp4": {"frames": len(VARIABLE), "milliseconds": VARIABLE},
    "one.mp4": {"frames": 1},
    "with_sound.mp4": {"sound": "aac"},
}
OTHERS = {
    "open_groups.mp4": {"frames": 30, "options": {"preset": "medium", "bf": "3", "x264-params": "open-gop=1"}},
    "open_hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "stream.ts": {"kind": "mpegts"},
    "old.mpg": {"codec": "mpeg2video"},
    "ten_bits.mp4": {"codec": "libx265", "pixels": "yuv420p10le", "options": {"x265-params": "log-level=none"}},
    "flash.flv": {"codec": "flv1"},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
}


def sequential(path: Path) -> np.ndarray:
    """Every frame, decoded in order by nothing but PyAV."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24", interpolation="BICUBIC") for f in container.decode(video=0)])


@pytest.mark.parametrize("name", PLAIN)
def test_decord_and_pyav_give_the_same_frames(tmp_path: Path, name: str) -> None:
    path = write_film(tmp_path / name, **PLAIN[name])
    first, second = load(path, backend="decord"), load(path, backend="pyav")
    assert first.probe.plain, "decord does not read this by default"
    whole = all_frames(second)
    assert np.array_equal(all_frames(first), whole) and np.array_equal(whole, sequential(path))
    count = PLAIN[name].get("frames", 12)
    assert len(first) == len(whole) == count
    assert numbers(whole) == list(range(count))
    draw = np.random.default_rng(0)
    for _ in range(6):
        some = np.sort(draw.choice(count, draw.integers(1, count + 1), replace=False))
        assert np.array_equal(all_frames(first, some), whole[some]), some
        assert np.array_equal(all_frames(second, some), whole[some]), some
    data = path.read_bytes()
    assert np.array_equal(all_frames(load(data)), whole) and np.array_equal(
        all_frames(load(data, backend="pyav")), whole
    )


@pytest.mark.parametrize("name", OTHERS)
def test_what_decord_does_not_read_rightly_goes_to_pyav(tmp_path: Path, name: str) -> None:
    path = write_film(tmp_path / name, **OTHERS[name])
    film = load(path)
    whole = all_frames(film)
    count = OTHERS[name].get("frames", 12)
    assert not film.probe.plain and np.array_equal(whole, sequential(path)) and len(whole) == len(film) == count
    assert numbers(whole) == list(range(count))
    for some in (*([number] for number in range(count)), [3, 4, 10], [1, 7]):
        assert np.array_equal(all_frames(film, some), whole[some]), some
    assert np.allclose(np.diff(film.times_T), 0.04, atol=0.002) and abs(film.times_T[0]) < 1e-6


def test_the_times_of_a_variable_rate(tmp_path: Path) -> None:
    film = load(write_film(tmp_path / "a.mp4", frames=len(VARIABLE), milliseconds=VARIABLE))
    assert np.allclose(film.times_T * 1000, VARIABLE, atol=0.5)
    assert 3.04 < film.end <= 5.0


def test_sizes_that_decord_does_not_give_go_to_pyav(tmp_path: Path) -> None:
    path = write_film(tmp_path / "tiny.mp4", height=2, width=2)
    assert np.array_equal(all_frames(load(path)), sequential(path))


def test_closed_groups_of_hevc(tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:open-gop=0"}
    path = write_film(tmp_path / "a.mp4", codec="libx265", options=options)
    film, whole = load(path), sequential(path)
    assert film.probe.plain and np.array_equal(all_frames(film), whole)
    for number in range(12):
        assert np.array_equal(all_frames(film, [number])[0], whole[number])


def test_keyframes_that_the_file_does_not_list_go_to_pyav(tmp_path: Path) -> None:
    """decord seeks to such a frame, lands at the listed one before it, and gives that for it."""
    path = write_film(tmp_path / "a.mp4")
    assert load(path).probe.keyframes.tolist() == [0, 5, 10]
    data = bytearray(path.read_bytes())
    table = data.index(b"stss") + 8  # type, version and flags; then the count and the numbers of frames from 1
    assert struct.unpack_from(">4I", data, table) == (3, 1, 6, 11)
    struct.pack_into(">3I", data, table, 2, 1, 11)
    path.write_bytes(data)
    film, whole = load(path), sequential(path)
    assert film.probe.keyframes.tolist() == [0, 5, 10], "the pictures themselves say that they are keyframes"
    assert not film.probe.plain
    for number in range(12):
        assert np.array_equal(all_frames(film, [number])[0], whole[number]), number
    wrong = all_frames(load(path, backend="decord"), [5, 6])
    assert numbers(wrong) == [0, 1], "decord reads it rightly; it need not go to PyAV"


def test_an_animation(tmp_path: Path) -> None:
    path = write_film(tmp_path / "moving.gif", codec="gif", pixels="rgb8")
    whole = all_frames(load(path))
    assert np.array_equal(whole, sequential(path)) and np.array_equal(whole, all_frames(load(path, backend="pyav")))
    blue = whole[..., 2].mean((1, 2))
    assert len(whole) == 12 and (np.diff(blue) >= -1).all() and blue[-1] > blue[0] + 50  # of 256 colours


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_rotation_is_applied(tmp_path: Path, rotation: int, name: str) -> None:
    film = load(write_film(tmp_path / name, rotation=rotation, height=48, width=96))
    assert (film.height, film.width) == ((96, 48) if rotation % 180 else (48, 96))
    frame = all_frames(film, [6])[0].astype(int)
    assert frame.shape == (film.height, film.width, 3)
    red = {(y, x): frame[y, x, 0] for y in (4, film.height - 5) for x in (4, film.width - 5)}
    corner = max(red, key=red.get)
    assert red[corner] > 220
    expected = {0: (0, 0), 90: (1, 0), 180: (1, 1), -90: (0, 1)}[rotation]  # counterclockwise: down the left side
    assert (corner[0] > film.height / 2, corner[1] > film.width / 2) == expected


def test_without_decord_the_frames_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_film(tmp_path / "a.mp4")
    whole = all_frames(load(path, backend="decord"))
    monkeypatch.setitem(sys.modules, "decord", None)
    assert np.array_equal(all_frames(load(path)), whole)
    with pytest.raises(ConfigError, match="pip install 'decord2"):
        all_frames(load(path, backend="decord"))


def test_versions_of_decord_that_give_wrong_frames_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import decord

    path = write_film(tmp_path / "a.mp4")
    whole = sequential(path)
    monkeypatch.setattr(decord, "__version__", "3.4.0")
    monkeypatch.setattr(decord, "VideoReader", None)
    assert np.array_equal(all_frames(load(path)), whole)
    with pytest.raises(ConfigError, match="3.4.0 is not used"):
        all_frames(load(path, backend="decord"))


def test_frames_that_an_edit_list_leaves_out(tmp_path: Path) -> None:
    """A film cut without encoding it anew starts at a keyframe before the cut; what precedes the cut is not shown."""
    path = write_film(tmp_path / "a.mp4", options={"preset": "ultrafast", "bf": "0"})
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 4 + 4 + 4 + 4  # version, count, duration, then the first shown tick
    stream_ticks = int(round(0.08 / float(av.open(str(path)).streams.video[0].time_base)))
    data[place : place + 4] = stream_ticks.to_bytes(4, "big")
    path.write_bytes(data)
    film, whole = load(path), sequential(path)
    assert len(whole) == len(film) == 10 and numbers(whole) == list(range(2, 12))
    assert np.array_equal(all_frames(film), whole) and abs(film.times_T[0]) < 0.01
    for number in range(10):
        assert np.array_equal(all_frames(film, [number])[0], whole[number])


def test_where_decord_fails_midway_pyav_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import decord

    path = write_film(tmp_path / "a.mp4")
    whole = all_frames(load(path))
    monkeypatch.setattr(decoding, "BLOCK_PIXELS", 5 * 48 * 64)
    assert [len(block) for block in load(path).blocks(np.arange(12))] == [5, 5, 2]
    right = decord.VideoReader.get_batch

    def failing(self: object, indices: list[int]) -> object:
        if 5 in indices:
            raise decord.DECORDError("cannot go on")
        return right(self, indices)

    monkeypatch.setattr(decord.VideoReader, "get_batch", failing)
    assert np.array_equal(all_frames(load(path)), whole)
    with pytest.raises(InputError, match=r"a\.mp4.*cannot go on"):
        all_frames(load(path, backend="decord"))


def test_decord_reads_by_default_what_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_film(tmp_path / "a.mp4")
    monkeypatch.setattr(decoding, "_pyav_frames", None)
    assert len(all_frames(load(path))) == 12
    monkeypatch.setattr(decoding, "BLOCK_PIXELS", 48 * 64)  # more blocks than decord is given
    with pytest.raises(TypeError):
        all_frames(load(path))
    assert len(all_frames(load(path), [1, 2])) == 2
    with pytest.raises(InputError, match="auto, decord, pyav"):
        load(path, backend="ffmpeg")
