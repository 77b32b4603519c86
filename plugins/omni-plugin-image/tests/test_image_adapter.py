from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni_plugin_image.adapter import ImageAdapter
from omni_plugin_image.stems import ConvStem, HmlpStem, PatchStem


def adapter(**options: object) -> ImageAdapter:
    torch.manual_seed(0)
    made = ImageAdapter(**(dict(width=32, num_heads=4, num_layers=2, image_size=64) | options))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def as_patches(pixels: Tensor, size: int) -> Tensor:
    return pixels.unflatten(3, (-1, size)).unflatten(2, (-1, size)).permute(0, 2, 4, 1, 3, 5)


def published_hmlp(stem: HmlpStem, pixels: Tensor) -> Tensor:
    hidden = pixels
    for conv, norm in ((stem.conv1, stem.norm1), (stem.conv2, stem.norm2)):
        hidden = F.gelu(norm(conv(hidden).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    return stem.conv3(hidden).permute(0, 2, 3, 1)


def test_hmlp_equals_its_convolutions_with_gradients() -> None:
    torch.manual_seed(0)
    stem = HmlpStem(width=24).double()
    pixels = torch.randn(2, 3, 48, 32, dtype=torch.float64)
    results = []
    for forward in (lambda: stem(as_patches(pixels, 16)), lambda: published_hmlp(stem, pixels)):
        stem.zero_grad()
        output = forward()
        output.square().sum().backward()
        results.append([output.detach(), *(parameter.grad.clone() for parameter in stem.parameters())])
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-10, atol=1e-10)


def test_patches_equal_their_convolution() -> None:
    stem = PatchStem(width=8, patch_size=7)
    pixels = torch.randn(2, 3, 21, 14)
    torch.testing.assert_close(stem(as_patches(pixels, 7)), stem.conv(pixels).permute(0, 2, 3, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_conv_stem_reads_each_patch_by_itself_through_overlapping_windows(size: int) -> None:
    torch.manual_seed(0)
    stem = ConvStem(width=16, patch_size=size)
    pixels = torch.randn(2, 3, 2 * size, 3 * size)
    whole = stem(as_patches(pixels, size))
    assert whole.shape == (2, 2, 3, 16)
    one = stem(pixels[1:, :, size:, size : 2 * size])
    torch.testing.assert_close(whole[1, 1, 1], one[0], atol=1e-5, rtol=1e-5)
    changed = pixels.clone()
    changed[:, :, :size, :size] += 1.0  # the first patch alone
    differs = (stem(as_patches(changed, size)) - whole).abs().amax(-1) > 1e-4
    assert differs[:, 0, 0].all() and int(differs.sum()) == 2
    whole.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in stem.parameters())
    for options in (dict(patch_size=12), dict(patch_size=4), dict(width=12)):
        with pytest.raises(ConfigError, match="conv stem"):
            ConvStem(**{"width": 16, "patch_size": size, **options})


@pytest.mark.parametrize(("height", "width"), [(64, 64), (16, 16), (32, 112), (128, 48)])
@pytest.mark.parametrize("stem", ["hmlp", "patch", "conv"])
def test_any_grid(height: int, width: int, stem: str) -> None:
    sequence = adapter(stem=stem)({"pixels_BCHW": torch.randn(2, 3, height, width)})
    length = 1 + height * width // 256
    assert sequence.tokens_BLD.shape == (2, length, 32) and sequence.valid_BL.all()
    assert sequence.bias[0].shape == (1, 4, length, length) and len(sequence.bias) == 1
    assert sequence.positions_BLP.shape == (1, length, 2)
    assert sequence.positions_BLP[0, -1].tolist() == [height // 16 - 1, width // 16 - 1]


@pytest.mark.parametrize("bias", ["shared", "per_layer", "none"])
def test_a_batch_of_sizes_equals_each_picture_alone(bias: str) -> None:
    model = adapter(relative_bias=bias)
    pictures = [torch.randn(1, 3, *size) for size in ((64, 64), (16, 96), (128, 32), (64, 64))]
    batch = torch.randn(4, 3, 144, 112)  # garbage around the pictures
    for row, picture in zip(batch, pictures, strict=True):
        row[:, : picture.shape[2], : picture.shape[3]] = picture[0]
    sizes = torch.tensor([picture.shape[2:] for picture in pictures])
    together = model({"pixels_BCHW": batch, "sizes_B2": sizes})
    assert len(together.bias) == {"shared": 1, "per_layer": 2, "none": 0}[bias]
    for row, picture in enumerate(pictures):
        alone = model({"pixels_BCHW": picture})
        length = alone.tokens_BLD.shape[1]
        assert together.valid_BL[row].sum() == length and together.valid_BL[row, :length].all()
        torch.testing.assert_close(together.tokens_BLD[row, :length], alone.tokens_BLD[0])
        assert torch.equal(together.positions_BLP[row, :length], alone.positions_BLP[0])
        for ours, reference in zip(together.bias, alone.bias, strict=True):
            torch.testing.assert_close(ours[row, :, :length, :length], reference[0])


def test_kept_tokens_have_the_positions_and_bias_of_the_whole() -> None:
    model = adapter()
    pixels = torch.randn(2, 3, 64, 48)
    whole = model({"pixels_BCHW": pixels})
    keep = torch.zeros(2, 13, dtype=torch.bool)
    keep[0, [0, 2, 7]] = True
    keep[1, [0, 1, 12]] = True
    part = model({"pixels_BCHW": pixels}, keep_BL=keep)
    assert torch.equal(part.tokens_BLD[0], whole.tokens_BLD[0, [0, 2, 7]])
    assert torch.equal(part.bias[0][1], whole.bias[0][0][:, [0, 1, 12]][:, :, [0, 1, 12]])


def test_gradients_reach_all_parameters_at_a_larger_grid() -> None:
    model = adapter(relative_bias="per_layer")
    sequence = model({"pixels_BCHW": torch.randn(1, 3, 96, 112)})
    total = (sequence.tokens_BLD * torch.randn(32)).sum()
    total = total + sum((bias * torch.randn_like(bias)).sum() for bias in sequence.bias)
    total.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_wrong_pictures_and_settings_are_named() -> None:
    model = adapter()
    for shape, words in (((1, 3, 60, 64), "multiples"), ((1, 1, 64, 64), "3, H, W"), ((3, 64, 64), "3, H, W")):
        with pytest.raises(InputError, match=words):
            model({"pixels_BCHW": torch.zeros(shape)})
    with pytest.raises(InputError, match=r"sizes_B2\[0\]"):
        model({"pixels_BCHW": torch.zeros(1, 3, 64, 64), "sizes_B2": torch.tensor([[80, 64]])})
    for options in (dict(stem="convolution"), dict(patch_size=14), dict(image_size=100), dict(relative_bias="some")):
        with pytest.raises(ConfigError):
            adapter(**options)
