from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from omni.errors import InputError
from omni_plugin_image.io import load, sample


def photo(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def same(image: Image.Image, reference: Image.Image, tolerance: int = 0) -> bool:
    difference = np.abs(np.asarray(image).astype(int) - np.asarray(reference).astype(int))
    return image.mode == "RGB" and image.size == reference.size and difference.max() <= tolerance


def test_every_form_of_one_picture_gives_the_same_pixels(tmp_path: Path) -> None:
    picture = photo()
    path = tmp_path / "a.png"
    picture.save(path)
    array = np.asarray(picture)
    chw = array.transpose(2, 0, 1)
    forms = [
        path, str(path), path.read_bytes(), picture, array, chw, torch.from_numpy(chw.copy()),
        array / 255, (chw / 255).astype(np.float32), torch.from_numpy(chw.copy()).double() / 255,
    ]  # fmt: skip
    for form in forms:
        assert same(load(form), picture), type(form)


def test_half_precision_and_grey_arrays() -> None:
    grey = np.linspace(0, 255, 48, dtype=np.uint8).reshape(6, 8)
    expected = Image.fromarray(np.repeat(grey[..., None], 3, -1))
    assert same(load(grey), expected)
    assert same(load(grey[..., None]), expected)
    assert same(load(grey / 255.0), expected)
    assert same(load(torch.from_numpy(grey)[None].float().div(255).bfloat16()), expected, tolerance=1)


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.zeros((3, 9, 3), np.uint8), "could be channels first or last"),
        (np.zeros((5, 9, 7), np.uint8), "no axis of 1, 3 or 4"),
        (np.zeros((2, 3, 9, 9), np.uint8), "one by one"),
        (np.full((9, 9), 2.0), "0..1"),
        (np.full((9, 9), -0.1), "0..1"),
        (np.full((9, 9), np.nan), "0..1"),
        (np.zeros((9, 9), np.uint16), "uint16"),
        (np.zeros((9, 9), np.int64), "int64"),
        (np.zeros((0, 9, 3), np.uint8), "empty"),
    ],
)
def test_arrays_whose_meaning_is_not_certain_are_refused(array: np.ndarray, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        load(array)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[274] = 6  # to be shown turned by 90 degrees clockwise
    picture = photo()
    turned = load(encoded(picture, "PNG", exif=exif))
    assert same(turned, picture.transpose(Image.Transpose.ROTATE_270))


def test_cmyk_palette_grey_and_bilevel() -> None:
    picture = photo()
    assert same(load(encoded(picture.convert("CMYK"), "JPEG", quality=100, subsampling=0)), picture, tolerance=12)
    palette = picture.quantize(16)
    assert same(load(encoded(palette)), palette.convert("RGB"))
    assert same(load(encoded(picture.convert("L"))), picture.convert("L").convert("RGB"))
    assert same(load(encoded(picture.convert("1"))), picture.convert("1").convert("RGB"))


def test_alpha_is_composited_on_white_or_the_given_colour() -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (200, 0, 0, 255)
    rgba[2] = (0, 100, 0, 128)
    white, blue = (np.asarray(load(encoded(Image.fromarray(rgba)), background=b)) for b in ((255,) * 3, (0, 0, 255)))
    assert (white[0] == (200, 0, 0)).all() and (white[3] == 255).all() and (blue[3] == (0, 0, 255)).all()
    assert np.abs(white[2].astype(int) - (127, 177, 127)).max() <= 1
    grey = Image.fromarray(np.full((2, 2, 2), (10, 0), np.uint8), "LA")
    assert (np.asarray(load(grey)) == 255).all()
    keyed = Image.fromarray(np.zeros((2, 2), np.uint8), "P")
    assert (np.asarray(load(encoded(keyed, transparency=0))) == 255).all()


def test_sixteen_bit_grey_keeps_its_full_range() -> None:
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    values = np.asarray(load(encoded(Image.fromarray(deep))))[0, :, 0]
    assert values.tolist() == [0, 1, 128, 255]
    with pytest.raises(InputError, match="8 and 16 bit"):
        load(Image.fromarray(np.array([[70000]], np.int32)))


def test_float_tiff_must_lie_in_0_to_1() -> None:
    assert np.asarray(load(encoded(Image.fromarray(np.full((2, 2), 0.5, np.float32)), "TIFF")))[0, 0, 0] == 128
    with pytest.raises(InputError, match="0..1"):
        load(encoded(Image.fromarray(np.full((2, 2), 300.0, np.float32)), "TIFF"))


def test_the_first_frame_of_an_animation() -> None:
    frames = [photo(seed=1).quantize(32), photo(seed=2).quantize(32)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert same(load(data), frames[0].convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_files_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"holiday.{kind.lower()}"
    data = encoded(photo(200, 150), kind)
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(InputError, match="holiday"):
        load(path)
    path.write_bytes(data[:20])
    with pytest.raises(InputError, match="holiday"):
        load(path)


def test_missing_empty_foreign_files_and_folders_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "words.png").write_bytes(b"no picture at all")
    for value, words in (
        (tmp_path / "none.png", "none.png"),
        (tmp_path / "empty.png", "empty.png.*0 bytes"),
        (tmp_path / "words.png", "words.png.*no format"),
        (tmp_path, "cannot be read"),
        ("https://example.com/cat.jpg", "download it first"),
        (b"", "0 bytes"),
        (3, "int"),
    ):
        with pytest.raises(InputError, match=words):
            load(value)


def test_pictures_with_too_many_pixels_are_refused_before_decoding() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)))  # a few hundred bytes of PNG
    assert len(bomb) < 100_000
    with pytest.raises(InputError, match="(?i)pixels"):
        load(bomb)
    with pytest.raises(InputError, match="max_pixels"):
        load(photo(), max_pixels=100)


def test_large_jpegs_may_be_decoded_smaller() -> None:
    data = encoded(photo(1600, 1200), "JPEG", quality=92)
    full, small = load(data), load(data, at_least=224)
    assert full.size == (1600, 1200) and small.size == (800, 600)
    shrunk = [np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC)).astype(int) for image in (full, small)]
    assert np.abs(shrunk[0] - shrunk[1]).max() <= 3 and np.abs(shrunk[0] - shrunk[1]).mean() < 0.5
    assert load(data, at_least=400).size == (1600, 1200)  # less than four times: decoded in full


def test_samples() -> None:
    assert sample().size == (32, 32) and sample("minimum").size == (1, 1) and sample("other").size == (48, 24)
    with pytest.raises(InputError, match="typical"):
        sample("else")
