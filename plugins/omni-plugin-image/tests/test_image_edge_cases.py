"""Files of every kind, and what is cut off, damaged or far too large; the fast decoder beside Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from omni.errors import InputError
from omni_plugin_image import jpeg
from omni_plugin_image.io import RgbArray, load
from omni_plugin_image.transform import CLIP_MEAN, CLIP_STD, ImageBasic

PHOTO_BOUND = 3.01  # of 255, and 1 in 999 of 1000 values: against Pillow's resize of the fully decoded picture
# highest and mean difference of 255 where a JPEG is decoded smaller
SMALL_DECODE_BOUNDS = {"photograph": (4.0, 0.35), "noise": (16.0, 2.0)}


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), int)
    return Image.fromarray((smooth + generator.integers(-20, 21, smooth.shape)).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(samples: np.ndarray, colour_type: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand: Pillow writes no 16-bit colours."""
    depth = 8 * samples.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(samples.dtype.newbyteorder(">")).tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    made = [
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body)) for tag, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def pixels(value: object, **options: object) -> np.ndarray:
    return load(value, form="array", **options).pixels_HWC.astype(int)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 90), height=st.integers(1, 90), quality=st.integers(20, 100),
    subsampling=st.sampled_from([0, 1, 2]), mode=st.sampled_from(["RGB", "L"]),
    orientation=st.integers(1, 8), progressive=st.booleans(),
)  # fmt: skip
def test_jpegs_are_decoded_to_pillows_pixels(
    width, height, quality, subsampling, mode, orientation, progressive
) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options = dict(quality=quality, subsampling=subsampling, progressive=progressive, exif=exif)
    data = encoded(photo(width, height).convert(mode), "JPEG", **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"), int)
    made = pixels(data)
    assert made.shape == expected.shape and np.abs(made - expected).max() == 0
    assert np.array_equal(np.asarray(load(data), int), made)


def test_without_the_fast_decoder_the_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo(1000, 800), "JPEG", quality=90)
    fast = [pixels(data, at_least=least) for least in (None, 64, 100, 200)]
    assert [item.shape[:2] for item in fast] == [(800, 1000), (200, 250), (200, 250), (400, 500)]
    monkeypatch.setattr(jpeg, "simplejpeg", None)
    for item, least in zip(fast, (None, 64, 100, 200), strict=True):
        slow = pixels(data, at_least=least)
        assert slow.shape == item.shape and np.abs(slow - item).max() == 0


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (640, 427), (224, 224), (100, 80), (300, 1000)])
def test_crop_agrees_with_torchvisions_resize_and_centre_crop(width: int, height: int) -> None:
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    data = encoded(photo(width, height), "JPEG", quality=92)
    transform = ImageBasic(size=224, mode="crop")
    made = transform(load(data, **transform.loader_options()))["pixels_CHW"]
    resized = Resize(224, interpolation=InterpolationMode.BICUBIC)(Image.open(io.BytesIO(data)))
    expected = np.asarray(CenterCrop(224)(resized), float)
    mean, std = torch.tensor(CLIP_MEAN).view(3, 1, 1), torch.tensor(CLIP_STD).view(3, 1, 1)
    levels = ((made * std + mean) * 255).permute(1, 2, 0).numpy()
    difference = np.abs(levels - expected)
    assert difference.max() <= PHOTO_BOUND and (difference > 1.01).mean() < 0.001


@pytest.mark.parametrize("size", [32, 96, 224])
@pytest.mark.parametrize(("height", "width"), [(1504, 2000), (1500, 2000), (1501, 2001)])
@pytest.mark.parametrize("kind", ["photograph", "noise"])
def test_a_large_jpeg_agrees_with_the_full_decode(size: int, height: int, width: int, kind: str) -> None:
    picture = photo(width, height) if kind == "noise" else photo(width // 4, height // 4).resize((width, height))
    data = encoded(picture, "JPEG", quality=90)
    transform = ImageBasic(size=size, mode="crop", crop_scale=(1, 1), crop_ratio=(1, 1))
    small, full = load(data, **transform.loader_options()), load(data, form="array")
    assert (small.pixels_HWC.shape[0] < height) == (height % 2 == 0)
    difference = (transform(small)["pixels_CHW"] - transform(full)["pixels_CHW"]).abs() * 255 * max(CLIP_STD)
    highest, mean = SMALL_DECODE_BOUNDS[kind]
    assert difference.max() <= highest and difference.mean() <= mean


def test_a_jpeg_cut_off_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    for options in ({}, {"progressive": True}):
        data = encoded(photo(120, 90), "JPEG", **options)
        for cut in [*range(1, 700, 23), *range(700, len(data), 211), len(data) - 3, len(data) - 2, len(data) - 1]:
            path.write_bytes(data[:cut])
            with pytest.raises(InputError, match="cut.jpg"):
                load(path)


def test_stray_bytes_that_do_no_harm_are_read() -> None:
    data = encoded(photo(60, 40), "JPEG")
    assert np.array_equal(pixels(data[:-2] + b"\0\0\0" + data[-2:]), pixels(data))
    assert np.array_equal(pixels(data + b"trailing"), pixels(data))


@settings(max_examples=60, deadline=None)
@given(
    place=st.integers(0, 10**6),
    bit=st.integers(0, 7),
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]),
)
def test_a_damaged_file_gives_a_picture_or_a_named_error(place: int, bit: int, kind: str) -> None:
    data = bytearray(encoded(photo(40, 30), kind))
    data[place % len(data)] ^= 1 << bit
    try:
        made = load(bytes(data))
    except InputError as error:
        assert "picture of" in str(error)
    else:
        assert made.mode == "RGB" and min(made.size) >= 1


def test_sixteen_bit_colours_and_alpha() -> None:
    deep = np.array([[[0, 32896, 65535], [257, 514, 771]]], np.uint16)
    assert np.abs(pixels(png(deep, 2)) - [[[0, 128, 255], [1, 2, 3]]]).max() <= 1
    clear = np.array([[[65535, 0, 0, 0], [65535, 0, 0, 65535]]], np.uint16)
    assert pixels(png(clear, 6)).tolist() == [[[255, 255, 255], [255, 0, 0]]]


def test_a_transparent_colour_of_an_rgb_file_is_composited() -> None:
    samples = np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8)
    data = png(samples, 2, (b"tRNS", struct.pack(">HHH", 10, 20, 30)))
    assert pixels(data).tolist() == [[[255, 255, 255], [40, 50, 60]]]
    assert pixels(data, background=(1, 2, 3)).tolist() == [[[1, 2, 3], [40, 50, 60]]]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_frame_that_is_told(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / "moving"
    path.write_bytes(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    for number, frame in enumerate(frames):
        assert np.abs(pixels(path, frame=number) - np.asarray(frame, int)).max() <= 1
    assert np.array_equal(pixels(path), pixels(path, frame=0))
    for number in (3, -1):
        with pytest.raises(InputError, match="moving.*3 frame"):
            load(path, frame=number)
    opened = Image.open(path)
    load(opened, frame=2)
    assert opened.tell() == 0


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "1"), ("GIF", "P"), ("TIFF", "1"), ("BMP", "1"), ("WEBP", "RGB")])
def test_bombs_are_refused_before_they_are_decoded(tmp_path: Path, kind: str, mode: str) -> None:
    path = tmp_path / "bomb"
    options = {"compression": "group4"} if kind == "TIFF" else {}
    path.write_bytes(encoded(Image.new(mode, (1500, 1000)), kind, **options))
    with pytest.raises(InputError, match="bomb.*1500 x 1000 pixels.*max_pixels"):
        load(path, max_pixels=1_000_000)
    assert load(path).size == (1500, 1000)


def test_a_huge_size_in_a_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    data = png(np.zeros((2, 2), np.uint8), 0)
    header = data[12:16] + struct.pack(">II", 100_000, 100_000) + data[24:29]
    path.write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    with pytest.raises(InputError, match=r"huge\.png.*pixels"):
        load(path)
    photo_bytes = encoded(photo(64, 64), "JPEG")
    place = photo_bytes.index(b"\xff\xc0") + 5
    path.write_bytes(photo_bytes[:place] + struct.pack(">HH", 65_000, 65_000) + photo_bytes[place + 4 :])
    with pytest.raises(InputError, match=r"huge\.png.*pixels"):
        load(path)


@pytest.mark.parametrize(("width", "height"), [(40_000, 2), (2, 40_000), (40_000, 1)])
def test_a_strip_does_not_become_gigabytes(width: int, height: int) -> None:
    transform = ImageBasic(size=64, mode="crop")
    made = transform(RgbArray(pixels_HWC=np.full((height, width, 3), 90, np.uint8)))["pixels_CHW"]
    assert made.shape == (3, 64, 64) and float(made.std((1, 2)).max()) < 1e-5


def test_every_colour_mode_becomes_rgb() -> None:
    for mode in ("LAB", "HSV", "YCbCr", "CMYK", "RGBX", "RGBa", "I;16", "I", "F", "PA"):
        assert np.abs(pixels(Image.new(mode, (4, 4))) - pixels(Image.new(mode, (4, 4)))[0, 0]).max() == 0, mode
    with pytest.raises(InputError, match="pil, array"):
        load(Image.new("RGB", (4, 4)), form="tensor")
