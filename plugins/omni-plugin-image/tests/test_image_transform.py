from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from omni.data.processor import Processor
from omni.errors import ConfigError
from omni_plugin_image.transform import CLIP_MEAN, CLIP_STD, ImageBasic


def picture(width: int = 250, height: int = 187) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def bytes_of(pixels_CHW: torch.Tensor) -> np.ndarray:
    mean, std = torch.tensor(CLIP_MEAN).view(3, 1, 1), torch.tensor(CLIP_STD).view(3, 1, 1)
    return ((pixels_CHW * std + mean) * 255).permute(1, 2, 0).numpy()


def test_squash_agrees_with_pillows_bicubic_within_one_level() -> None:
    for size in ((64, 64), (224, 224), (400, 304)):  # smaller and larger than the picture
        pixels = ImageBasic(size=size)(picture())["pixels_CHW"]
        reference = np.asarray(picture().resize(size[::-1], Image.Resampling.BICUBIC)).astype(float)
        difference = np.abs(bytes_of(pixels) - reference)
        assert pixels.dtype == torch.float32 and pixels.is_contiguous()
        assert difference.max() < 1.01 and difference.mean() < 0.05


def test_crop_takes_the_centre_of_the_shorter_side() -> None:
    pixels = ImageBasic(size=64, mode="crop")(picture(200, 100))["pixels_CHW"]
    reference = np.asarray(picture(200, 100).resize((128, 64), Image.Resampling.BICUBIC))[:, 32:96].astype(float)
    assert np.abs(bytes_of(pixels) - reference).max() < 1.01
    assert ImageBasic(size=64, mode="crop")(picture(3, 100))["pixels_CHW"].shape == (3, 64, 64)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (1, 1), (1, 3000), (3000, 2), (1000, 90)])
def test_keep_gives_multiples_of_the_patch_within_the_budget(width: int, height: int) -> None:
    shape = ImageBasic(size=224, mode="keep")(picture(width, height))["pixels_CHW"].shape
    assert shape[1] % 16 == 0 and shape[2] % 16 == 0 and 16 <= min(shape[1:])
    assert shape[1] * shape[2] <= 224 * 224
    if max(width, height) < 2 * min(width, height):
        assert abs(shape[2] / shape[1] - width / height) < 0.15
        assert shape[1] * shape[2] > 0.85 * 224 * 224


def test_pictures_of_different_size_are_padded_with_their_sizes() -> None:
    transform = ImageBasic(size=64, mode="keep")
    items = [transform(picture(100, 100)), transform(picture(200, 60)), transform(picture(40, 130))]
    batch = transform.collate(items)
    sizes = [list(item["pixels_CHW"].shape[1:]) for item in items]
    assert batch["sizes_B2"].tolist() == sizes and batch["sizes_B2"].dtype == torch.int64
    for row, item, (height, width) in zip(batch["pixels_BCHW"], items, sizes, strict=True):
        assert torch.equal(row[:, :height, :width], item["pixels_CHW"])
        assert not row[:, height:].any() and not row[:, :, width:].any()
    assert set(transform.collate(items[:1])) == {"pixels_BCHW"}


def test_augmentation_follows_torchs_generator_and_only_in_training() -> None:
    transform = ImageBasic(size=64, crop_scale=(0.5, 1.0), flip=0.5, jitter=0.3)
    plain = transform(picture())["pixels_CHW"]
    torch.manual_seed(1)
    first, second = (transform(picture(), training=True)["pixels_CHW"] for _ in range(2))
    torch.manual_seed(1)
    again = transform(picture(), training=True)["pixels_CHW"]
    assert torch.equal(first, again) and not torch.equal(first, second) and not torch.equal(first, plain)
    assert torch.equal(transform(picture())["pixels_CHW"], plain)
    off = ImageBasic(size=64, crop_scale=(1, 1))
    assert torch.equal(off(picture(), training=True)["pixels_CHW"], plain)


def test_flip_mirrors() -> None:
    transform = ImageBasic(size=64, crop_scale=(1, 1), flip=1.0)
    assert torch.equal(transform(picture(), training=True)["pixels_CHW"], transform(picture())["pixels_CHW"].flip(-1))


def test_the_raw_picture_is_left_as_it_was() -> None:
    raw = picture(64, 64)
    before = np.array(raw)
    ImageBasic(size=64, jitter=0.5)(raw, training=True)
    assert np.array_equal(before, np.asarray(raw))


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="multiples of 16"):
        ImageBasic(size=100)
    with pytest.raises(ConfigError, match="squash, crop, keep"):
        ImageBasic(mode="stretch")


def test_the_processor_decodes_large_photos_no_larger_than_needed(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    coarse.resize((1600, 1200), Image.Resampling.BICUBIC).save(path, quality=95)
    settings = {"modality": "image", "type": "image_basic", "size": 64}
    small = Processor({"image": settings})
    full = Processor({"image": settings | {"loader": {"at_least": None}}})
    assert small.transforms["image"].loader_options()["at_least"] == 78  # for the smallest random crop
    assert small.loaders["image"](path).pixels_HWC.shape == (300, 400, 3)
    assert full.loaders["image"](path).pixels_HWC.shape == (1200, 1600, 3)
    ours, exact = (bytes_of(item.process_value("image", path)["pixels_CHW"]) for item in (small, full))
    assert np.abs(ours - exact).max() < 5 and np.abs(ours - exact).mean() < 0.6
    assert "loader" not in small.to_config()["image"]
