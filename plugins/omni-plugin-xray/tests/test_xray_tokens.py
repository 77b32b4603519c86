"""PNG and JPEG, the transform and the adapter."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from xray_files import dicom, values

from omni.errors import ConfigError, InputError
from omni_plugin_xray.adapter import XrayAdapter
from omni_plugin_xray.image import XrayImage
from omni_plugin_xray.io import load, sample
from omni_plugin_xray.transform import XrayBasic


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(height: int = 120, width: int = 90, seed: int = 0, aspect: float = 1.0) -> XrayImage:
    levels = np.random.default_rng(seed).integers(0, 65536, (height, width), dtype=np.uint16)
    return XrayImage(levels_HW=levels, pixel_aspect=aspect)


def levels_of(pixels_CHW: torch.Tensor) -> np.ndarray:
    return (pixels_CHW[0] * 0.25 + 0.5).numpy()


def test_every_form_of_one_radiograph_gives_the_same_levels() -> None:
    deep = values(30, 24, 16)
    eight = (deep >> 8).astype(np.uint8)
    forms = [encoded(Image.fromarray(deep)), Image.fromarray(deep), deep, deep[None], torch.from_numpy(deep / 65535)]
    for form in forms:
        assert np.array_equal(load(form).levels_HW, deep)
    grey = Image.fromarray(eight)
    for form in (encoded(grey), encoded(grey.convert("RGB")), encoded(grey.convert("RGBA")), grey.convert("P"), eight):
        assert np.array_equal(load(form).levels_HW, eight.astype(np.uint16) * 257)
    assert load(encoded(grey)).meta["bits_stored"] == 8 and load(forms[0]).meta["bits_stored"] == 16
    jpeg = load(encoded(grey, "JPEG", quality=95)).levels_HW.astype(int)
    assert np.abs(jpeg - eight.astype(int) * 257).mean() < 257 * 1.5


def test_sixteen_bits_reach_the_pixels() -> None:
    """Two stored values that one of 8 bits cannot tell apart differ after the transform; by exactly their distance."""
    stored = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) + 30000
    stored[0, :2] = 0, 65535
    data = encoded(Image.fromarray(stored))
    pixels = levels_of(XrayBasic(size=32)(load(data))["pixels_CHW"]) * 65535
    assert np.abs(pixels - stored).max() < 0.05


def test_rotations_of_exif_and_inversion() -> None:
    eight = values(20, 30, 8)
    exif = Image.Exif()
    exif[274] = 6
    turned = load(encoded(Image.fromarray(eight), "PNG", exif=exif)).levels_HW
    assert np.array_equal(turned, np.rot90(eight, -1).astype(np.uint16) * 257)
    assert np.array_equal(load(eight, invert=True).levels_HW, 65535 - eight.astype(np.uint16) * 257)
    stretched = load(np.array([[100, 110], [120, 150]], np.uint8), window="minmax").levels_HW
    assert stretched.tolist() == [[0, 13107], [26214, 65535]]
    with pytest.raises(InputError, match="no DICOM"):
        load(eight, window=(3, 4))


@pytest.mark.parametrize("size", [64, 1024])
def test_squash_agrees_with_pillows_linear_resize(size: int) -> None:
    raw = picture(700, 500)
    pixels = levels_of(XrayBasic(size=size, mode="squash")(raw)["pixels_CHW"])
    wanted = Image.fromarray((raw.levels_HW / 65535).astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR)
    assert np.abs(pixels - np.asarray(wanted)).max() < 2e-6 * 10


def test_fit_shows_everything_and_crop_the_middle() -> None:
    raw = picture(200, 100)
    fit = levels_of(XrayBasic(size=64)(raw)["pixels_CHW"])
    whole = Image.fromarray((raw.levels_HW / 65535).astype(np.float32))
    assert not fit[:, :16].any() and not fit[:, 48:].any()
    assert np.abs(fit[:, 16:48] - np.asarray(whole.resize((32, 64), Image.Resampling.BILINEAR))).max() < 1e-5
    crop = levels_of(XrayBasic(size=64, mode="crop")(raw)["pixels_CHW"])
    assert np.abs(crop - np.asarray(whole.resize((64, 128), Image.Resampling.BILINEAR))[32:96]).max() < 1e-5


def test_pixels_that_are_not_square_become_square() -> None:
    """A disc stays one: rows of twice the spacing of the columns."""
    y, x = np.mgrid[0:64, 0:128]
    disc = ((((y - 31.5) * 2) ** 2 + (x - 63.5) ** 2) < 50**2).astype(np.uint16) * 65535
    data = dicom(disc, bits=16, PixelSpacing=[0.4, 0.2])
    shown = levels_of(XrayBasic(size=64)(load(data))["pixels_CHW"]) > 0.5
    assert abs(int(shown.any(1).sum()) - int(shown.any(0).sum())) <= 1 and 48 <= shown.any(0).sum() <= 52


def test_nothing_is_mirrored_by_default() -> None:
    raw = XrayImage(levels_HW=np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None], 64, 0))
    transform = XrayBasic(size=32, rotate=5, jitter=0.2)
    for seed in range(40):
        torch.manual_seed(seed)
        shown = levels_of(transform(raw, training=True)["pixels_CHW"])
        assert shown[8:24, 20:].mean() > shown[8:24, :12].mean()
    assert XrayBasic().flip == 0
    off = dict(size=32, crop_scale=(1, 1))
    plain = XrayBasic(**off)(raw)["pixels_CHW"]
    assert torch.equal(XrayBasic(**off, flip=1.0)(raw, training=True)["pixels_CHW"], plain.flip(-1))


def test_augmentation_follows_torchs_generator_and_only_in_training() -> None:
    transform = XrayBasic(size=64, crop_scale=(0.5, 0.9), rotate=10, jitter=0.3)
    plain = transform(picture())["pixels_CHW"]
    torch.manual_seed(1)
    first, second = (transform(picture(), training=True)["pixels_CHW"] for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(transform(picture(), training=True)["pixels_CHW"], first)
    assert not torch.equal(first, second) and torch.equal(transform(picture())["pixels_CHW"], plain)
    assert not transform.deterministic and XrayBasic(crop_scale=(1, 1)).deterministic
    again = XrayBasic(**transform.to_config())
    assert again.to_config() == transform.to_config()


@pytest.mark.parametrize("options", [dict(size=100), dict(size=1040), dict(mode="stretch"), dict(flip=2), dict(std=0),
                                     dict(crop_scale=(0.9, 0.5)), dict(rotate=-1), dict(size=0)])  # fmt: skip
def test_wrong_settings_are_named(options: dict) -> None:
    with pytest.raises(ConfigError, match="xray_basic"):
        XrayBasic(**options)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9000), (9000, 1), (37, 2900)])
@pytest.mark.parametrize("mode", ["fit", "squash", "crop", "keep"])
def test_odd_sizes(height: int, width: int, mode: str) -> None:
    pixels = XrayBasic(size=64, mode=mode)(picture(height, width))["pixels_CHW"]
    assert pixels.shape[0] == 1 and pixels.shape[1] % 16 == 0 and pixels.shape[2] % 16 == 0
    assert pixels[0].numel() <= 64 * 64 and pixels.isfinite().all()


def test_sizes_of_a_batch_and_the_adapter_at_1024() -> None:
    torch.manual_seed(0)
    options = dict(modality="xray", width=32, num_heads=4, num_layers=2)
    transform = XrayBasic(size=64, mode="keep")
    batch = transform.collate([transform(picture(100, 100)), transform(picture(60, 200))])
    assert batch["pixels_BCHW"].shape[1] == 1 and batch["sizes_B2"].shape == (2, 2)
    assert XrayAdapter(**options, image_size=64)(batch).tokens_BLD.shape[0] == 2
    large = {"pixels_BCHW": XrayBasic(size=1024)(picture(50, 50))["pixels_CHW"][None]}
    with torch.no_grad():
        tokens = XrayAdapter(**options, relative_bias="none")(large).tokens_BLD
        wide = XrayAdapter(**options, stem="patch", patch_size=32)(large)
    assert tokens.shape == (1, 4097, 32) and wide.tokens_BLD.shape == (1, 1025, 32)
    assert wide.bias[0].shape == (1, 4, 1025, 1025)
    with pytest.raises(InputError, match="xray adapter.*1, H, W"):
        XrayAdapter(**options)({"pixels_BCHW": torch.zeros(1, 3, 64, 64)})


def test_samples() -> None:
    assert [sample(kind).levels_HW.shape for kind in ("typical", "minimum", "other")] == [(32, 32), (1, 1), (48, 24)]
    with pytest.raises(InputError, match="typical"):
        sample("else")
