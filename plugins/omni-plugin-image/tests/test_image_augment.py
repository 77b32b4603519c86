"""Augmentations of torchvision by name: they follow torch's generator, in worker processes too."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from omni.errors import ConfigError
from omni_plugin_image.augment import PLAIN
from omni_plugin_image.transform import ImageBasic

NEEDED = {
    "RandomAffine": {"degrees": 10}, "RandomPosterize": {"bits": 3, "p": 1.0}, "RandomRotation": {"degrees": 20},
    "RandomSolarize": {"threshold": 128, "p": 1.0}, "GaussianBlur": {"kernel_size": 3},
    "RandomAdjustSharpness": {"sharpness_factor": 2.0, "p": 1.0}, "ColorJitter": {"brightness": 0.4},
    "ElasticTransform": {"alpha": 20.0}, "RandomErasing": {"p": 1.0}, "RandomPhotometricDistort": {"p": 1.0},
} | {
    name: {"p": 1.0}
    for name in ("RandomGrayscale", "RandomHorizontalFlip", "RandomVerticalFlip", "RandomInvert", "RandomEqualize")
}  # fmt: skip
CHAIN = [
    {"type": "RandAugment", "num_ops": 2, "magnitude": 9},
    {"type": "RandomApply", "p": 0.5, "transforms": [{"type": "GaussianBlur", "kernel_size": 3}]},
    {"type": "RandomErasing", "p": 0.5},
]


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 48, 3), dtype=np.uint8))


def make(augment: list[dict]) -> ImageBasic:
    return ImageBasic(size=32, crop_scale=(1, 1), crop_ratio=(1, 1), augment=augment)


@pytest.mark.parametrize("name", PLAIN)
def test_every_augmentation_keeps_the_shape_and_is_fixed_by_the_seed(name: str) -> None:
    transform = make([{"type": name, **NEEDED.get(name, {})}])
    results = []
    for seed in (1, 1, 2, 3, 4):
        torch.manual_seed(seed)
        results.append(transform(picture(), training=True)["pixels_CHW"])
    assert results[0].shape == (3, 32, 32) and results[0].dtype == torch.float32
    assert torch.equal(results[0], results[1])
    plain = transform(picture())["pixels_CHW"]
    assert any(not torch.equal(item, plain) for item in results)
    assert not transform.deterministic and make([]).deterministic


def test_the_settings_come_back() -> None:
    transform = make(CHAIN)
    again = ImageBasic(**json.loads(json.dumps(transform.to_config())))
    results = []
    for item in (transform, again):
        torch.manual_seed(3)
        results.append(item(picture(), training=True)["pixels_CHW"])
    assert torch.equal(*results) and again.augmentations.settings == CHAIN


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ([{"type": "RandAugmant"}], "RandAugment"),
        ([{"type": "Resize", "size": 8}], "cannot|not one"),
        ([{"type": "RandomErasing", "chance": 1}], "RandomErasing cannot be built"),
        (["RandAugment"], "dictionary"),
        ([{"type": "RandomApply", "transforms": [{"type": "MixUp"}]}], "MixUp"),
    ],
)
def test_wrong_settings_are_named(augment: list, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(augment)


def test_what_changes_the_shape_is_refused() -> None:
    transform = ImageBasic(size=(32, 48), augment=[{"type": "RandomRotation", "degrees": [90, 90], "expand": True}])
    with pytest.raises(ConfigError, match="RandomRotation turns"):
        transform(picture(), training=True)


class Pictures(Dataset):
    """The same picture eight times, augmented in the worker."""

    def __init__(self) -> None:
        self.transform = make([{"type": "RandAugment"}, {"type": "RandomErasing", "p": 1.0}])

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(picture(), training=True)["pixels_CHW"]


def test_workers_draw_apart_from_each_other_and_as_the_seed_says() -> None:
    runs = []
    for seed in (1, 1, 2):
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(Pictures(), batch_size=None, num_workers=2, generator=generator)
        runs.append(torch.stack(list(loader)))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert len({item.numpy().tobytes() for item in runs[0]}) == 8
