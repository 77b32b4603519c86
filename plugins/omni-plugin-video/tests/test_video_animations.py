"""Animated WebP, GIF and APNG: the right frames at the right times."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_fixture import all_frames, numbers, picture, write_film

from omni.data.processor import Processor
from omni.errors import InputError
from omni_plugin_video.io import load
from omni_plugin_video.sound import sound_of, split

LASTING = [40, 40, 100, 250, 30, 500, 20, 10]  # milliseconds


def animation(path: Path, *, lasting: list[int] | int = LASTING, size: tuple[int, int] = (24, 36), **options) -> Path:
    pictures = [Image.fromarray(picture(n * 4, *size)) for n in range(len(LASTING))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=lasting, loop=0, **options)
    return path


def every(name: str, path: Path) -> Path:
    return animation(path / name, **({"lossless": True} if name.endswith("webp") else {}))


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.apng", "a.gif"])
def test_frames_and_true_times(tmp_path: Path, name: str) -> None:
    path = every(name, tmp_path)
    for film in (load(path), load(path.read_bytes())):
        assert np.allclose(film.times_T * 1000, np.cumsum([0, *LASTING[:-1]]), atol=1e-6)
        assert film.end * 1000 == pytest.approx(sum(LASTING)) and (film.height, film.width) == (24, 36)
        whole = all_frames(film)
        expected = np.stack([picture(n * 4, 24, 36) for n in range(len(LASTING))])
        if name.endswith("gif"):  # 256 colours
            assert numbers(whole) == pytest.approx([n * 4 for n in range(8)], abs=1)
        else:
            assert np.array_equal(whole, expected)
        for some in ([5], [0, 3, 7], [6, 7]):
            assert np.array_equal(all_frames(film, some), whole[some])


def test_the_times_are_those_that_pillow_tells(tmp_path: Path) -> None:
    for name in ("a.webp", "a.png", "a.gif"):
        path = every(name, tmp_path)
        film = load(path)
        with Image.open(path) as image:
            told = []
            for index in range(image.n_frames):
                image.seek(index)
                image.load()
                told.append(image.info["duration"])
        assert np.allclose(np.diff([*film.times_T, film.end]) * 1000, told)


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_pyav_gives_the_same_frames_where_it_can_read_them(tmp_path: Path, name: str) -> None:
    path = every(name, tmp_path)
    assert np.array_equal(all_frames(load(path)), all_frames(load(path, backend="pyav")))
    film = write_film(tmp_path / "moving.gif", codec="gif", pixels="rgb8")
    assert np.array_equal(all_frames(load(film)), all_frames(load(film, backend="pyav")))


def test_what_only_pillow_reads(tmp_path: Path) -> None:
    path = every("a.webp", tmp_path)
    for backend in ("pyav", "decord"):
        with pytest.raises(InputError, match=r"a\.webp"):
            all_frames(load(path, backend=backend))


def test_frames_that_last_no_time_last_as_long_as_browsers_show_them(tmp_path: Path) -> None:
    for name in ("a.gif", "a.png"):
        film = load(animation(tmp_path / name, lasting=0))
        assert np.allclose(np.diff([*film.times_T, film.end]), 0.1)


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    first = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    first.putpixel((7, 7), (0, 0, 0, 0))  # in a GIF the first frame says that there is a transparent colour
    second = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (0, 0, 255, 255))
    half.paste((0, 0, 0, 0), (0, 0, 4, 8))
    for name, more in (("a.webp", {"lossless": True}), ("a.png", {"blend": 0}), ("a.gif", {"disposal": 2})):
        path = tmp_path / name
        first.save(path, save_all=True, append_images=[second, half], duration=100, **more)
        frames = all_frames(load(path))
        assert frames[:, 0, 0].tolist() == [[255, 0, 0], [255, 255, 255], [255, 255, 255]], name
        assert frames[2, 0, 7].tolist() == [0, 0, 255] and frames[0, 7, 7].tolist() == [255, 255, 255], name


def test_a_still_picture_in_front_is_not_a_frame(tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture(n, 24, 36)) for n in (30, 0, 8, 16)]
    path = tmp_path / "a.png"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50, default_image=True)
    film = load(path)
    assert numbers(all_frames(film)) == [0, 8, 16] and np.allclose(film.times_T, [0, 0.05, 0.1])


def test_still_pictures(tmp_path: Path) -> None:
    still = Image.fromarray(picture(4, 24, 36))
    for name in ("a.webp", "a.gif"):
        still.save(tmp_path / name)
        film = load(tmp_path / name)
        assert len(film) == 1 and film.end == 0.1 and all_frames(film).shape == (1, 24, 36, 3)
    still.save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png.*no animation.*slot of pictures"):
        load(tmp_path / "a.png")


def test_they_have_no_sound_and_are_films_like_others(tmp_path: Path) -> None:
    for name in ("a.webp", "a.gif"):
        path = every(name, tmp_path)
        assert split(path) == {"video": path} and sound_of(path) is None
        made = Processor({"video": {"size": 32, "sampling": "time", "rate": 10, "num_frames": 0}})
        tensors = made.process_value("video", str(path))
        assert len(tensors["times_T"]) == len(tensors["pixels_TCHW"]) and float(tensors["times_T"][-1]) < 1.0


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif"])
def test_damaged_and_cut_off(tmp_path: Path, name: str) -> None:
    path = every(name, tmp_path)
    data = path.read_bytes()
    for cut in [*range(1, 64, 7), *range(64, len(data) - 40, 211), len(data) - 30, len(data) - 4]:
        path.write_bytes(data[:cut])
        with pytest.raises(InputError, match=rf"a\.{name[2:]}"):
            all_frames(load(path))
    draw = random.Random(0)
    for _ in range(40):
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
            assert frames.dtype == np.uint8 and (np.diff(film.times_T) > 0).all()
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"36 x 24 pixels.*max_pixels"):
        load(path, max_pixels=500)
