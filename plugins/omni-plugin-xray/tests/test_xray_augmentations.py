"""The named augmentations of radiographs, in levels; none mirrors."""

from __future__ import annotations

import torch

from omni.data.augment import augmentations_for
from omni.data.processor import Processor
from omni_plugin_xray.io import sample


def drawn(name: str, seed: int, *, training: bool = True, **settings) -> torch.Tensor:
    made = Processor({"xray": {"size": 64, "crop_scale": (1, 1), "augmentations": [{"type": name, **settings}]}})
    torch.manual_seed(seed)
    return made.process_value("xray", sample(), training=training)["pixels_CHW"]


def test_a_turn_by_nothing_is_nothing_and_corners_are_black():
    plain = drawn("xray_rotate", 0, training=False)
    assert torch.allclose(drawn("xray_rotate", 0, degrees=0), plain, atol=1e-5)
    turned = torch.stack([drawn("xray_rotate", seed, degrees=45) for seed in range(4)])
    assert turned.min() >= -2 - 1e-5  # black is (0 - .5) / .25
    assert (turned[:, 0, 0, 0] + 2).abs().min() < 1e-5


def test_exposure_stays_within_the_levels():
    for seed in range(5):
        levels = drawn("xray_exposure", seed, most=0.9) * 0.25 + 0.5
        assert levels.min() >= -1e-6 and levels.max() <= 1 + 1e-6


def test_no_augmentation_mirrors():
    """Each leaves the picture nearer to itself than to its mirror image."""
    for name in augmentations_for("xray"):
        plain = drawn(name, 0, training=False)
        for seed in range(6):
            changed = drawn(name, seed)
            assert (changed - plain).square().mean() < (changed - plain.flip(-1)).square().mean(), name
