"""The named augmentations of pictures, on normalised pixels."""

from __future__ import annotations

import torch

from omni.data.processor import Processor
from omni_plugin_image.io import sample


def drawn(name: str, seed: int, *, training: bool = True, **settings) -> torch.Tensor:
    fixed = {"size": 32, "crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0, "jitter": 0.0}
    made = Processor({"image": {**fixed, "augmentations": [{"type": name, **settings}]}})
    torch.manual_seed(seed)
    return made.process_value("image", sample(), training=training)["pixels_CHW"]


def test_flips_come_at_their_share():
    plain = drawn("image_flip", 0, training=False)
    found = [drawn("image_flip", seed, share=0.3) for seed in range(100)]
    flipped = sum(torch.equal(item, plain.flip(-1)) for item in found)
    assert 18 <= flipped <= 42 and flipped + sum(torch.equal(item, plain) for item in found) == 100


def test_a_rectangle_is_erased_to_the_mean():
    plain = drawn("image_erase", 0, training=False)
    for seed in range(10):
        changed = drawn("image_erase", seed, share=1.0, area=(0.1, 0.2))
        gone = (changed == 0).all(0)
        rows, columns = gone.any(1).sum(), gone.any(0).sum()
        assert gone.sum() == rows * columns and 0.08 < gone.float().mean() < 0.25
        assert torch.equal(changed[:, ~gone], plain[:, ~gone])


def test_colour_and_noise_keep_to_their_strength():
    plain = drawn("image_color", 0, training=False)
    still = drawn("image_color", 0, brightness=0.0, contrast=0.0, saturation=0.0)
    assert torch.allclose(still, plain, atol=1e-5)
    assert not torch.allclose(drawn("image_color", 1), plain, atol=1e-2)
    sizes = [float((drawn("image_noise", seed, most=0.5) - plain).std()) for seed in range(10)]
    assert max(sizes) < 0.55 and max(sizes) > 0.2
