"""From pixels to tokens."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni_plugin_image.adapter import ImageAdapter
from omni_plugin_video import adapter as module
from omni_plugin_video.adapter import VideoAdapter
from omni_plugin_video.temporal import SecondPositions, StepPositions

BASE = dict(width=32, num_heads=4, num_layers=2, image_size=32)


def build(**options: object) -> VideoAdapter:
    torch.manual_seed(0)
    return VideoAdapter(**BASE | options).eval()


def films(frames: int = 6, batch: int = 2, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.randn(batch, frames, 3, height, width, generator=torch.Generator().manual_seed(3))


def times(frames: int, batch: int = 2) -> torch.Tensor:
    return (torch.arange(frames) / 4).expand(batch, -1)


def test_tubelets_are_a_3d_convolution() -> None:
    adapter, pixels = build(tubelet=2), films()
    made = adapter.stem(pixels.view(2, 3, 2, 3, 2, 16, 2, 16).permute(0, 1, 4, 6, 2, 3, 5, 7))
    conv = adapter.stem.conv
    expected = F.conv3d(pixels.transpose(1, 2), conv.weight, conv.bias, stride=(2, 16, 16)).permute(0, 2, 3, 4, 1)
    assert torch.allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("stem", ["patch", "hmlp"])
def test_frames_are_embedded_as_pictures(stem: str) -> None:
    video, pixels = build(stem=stem), films(3, 1)
    picture = ImageAdapter(**BASE, stem=stem)
    picture.stem.load_state_dict(video.stem.frame.state_dict())
    picture.positions.load_state_dict(video.positions.state_dict())
    picture.class_token.data.copy_(video.class_token)
    with torch.no_grad():
        made = video({"pixels_BTCHW": pixels}).tokens_BLD
        frames = picture({"pixels_BCHW": pixels[0]}).tokens_BLD
    assert torch.allclose(made[0, 0], frames[0, 0], atol=1e-6)
    steps = made[0, 1:].view(3, 4, 32) - video.time.weight[:3, None]
    assert torch.allclose(steps, frames[:, 1:], atol=1e-5)


def test_an_inflated_stem_gives_a_still_film_its_pictures_tokens() -> None:
    flat, deep = build(stem="patch"), build(stem="tubelet", tubelet=4)
    conv = flat.stem.frame.conv
    still = films(1, 1).expand(1, 4, 3, 32, 32)
    cells = still.reshape(1, 1, 4, 3, 2, 16, 2, 16).permute(0, 1, 4, 6, 2, 3, 5, 7)
    expected = flat.stem(cells[..., :1, :, :, :])
    for central in (False, True):
        deep.stem.inflate(conv.weight, conv.bias, central=central)
        assert torch.allclose(deep.stem(cells), expected, atol=1e-5)


def test_places_of_the_tokens() -> None:
    sequence = build(tubelet=2)({"pixels_BTCHW": films(4, height=32, width=48)})
    assert sequence.positions_BLP.shape == (1, 1 + 2 * 2 * 3, 3)
    assert sequence.positions_BLP[0, :8].tolist() == [
        [-1, -1, -1], [0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0], [0, 1, 1], [0, 1, 2], [1, 0, 0],
    ]  # fmt: skip
    assert sequence.valid_BL.all() and not sequence.bias


@pytest.mark.parametrize("time", ["steps", "seconds"])
@pytest.mark.parametrize("stem", ["tubelet", "patch"])
def test_a_film_does_not_depend_on_the_others(time: str, stem: str) -> None:
    adapter, pixels = build(time=time, stem=stem, tubelet=3, num_steps=2), films(7, 3)
    counts = [7, 4, 1]
    valid = torch.arange(7)[None] < torch.tensor(counts)[:, None]
    inputs = {"pixels_BTCHW": pixels, "times_BT": times(7, 3), "valid_BT": valid}
    with torch.no_grad():
        together = adapter(inputs)
        for row, count in enumerate(counts):
            alone = adapter({"pixels_BTCHW": pixels[row : row + 1, :count], "times_BT": times(count, 1)})
            real = together.tokens_BLD[row][together.valid_BL[row]]
            assert torch.allclose(real, alone.tokens_BLD[0], atol=1e-6)
    steps = [-(-count // adapter.tubelet) for count in counts]
    assert together.valid_BL.sum(1).tolist() == [1 + 4 * step for step in steps]


def test_a_tubelet_that_is_not_full_repeats_the_last_frame() -> None:
    adapter, pixels = build(tubelet=4), films(6)
    repeated = torch.cat((pixels, pixels[:, -1:], pixels[:, -1:]), 1)
    assert torch.equal(adapter({"pixels_BTCHW": pixels}).tokens_BLD, adapter({"pixels_BTCHW": repeated}).tokens_BLD)


def test_longer_films_stretch_the_table_of_steps() -> None:
    table = StepPositions(width=2, steps=3)
    table.weight.data = torch.tensor([[0.0, 1.0], [10.0, 2.0], [20.0, 0.0]])
    read = table(torch.zeros(3, 5), [2, 3, 5])
    assert read[0].tolist() == [[0, 1], [10, 2], [0, 0], [0, 0], [0, 0]]
    assert read[1, :3].tolist() == table.weight.tolist()
    assert read[2].tolist() == [[0, 1], [5, 1.5], [10, 2], [15, 1], [20, 0]]
    long = table(torch.zeros(1, 1000), [1000])
    assert long.shape == (1, 1000, 2) and (long[0, :, 0].diff() > 0).all()


def test_positions_by_seconds_tell_times_apart_whatever_the_rate() -> None:
    torch.manual_seed(0)
    waves = SecondPositions(width=16)
    slow, fast = waves(torch.arange(600.0)[None], [600]), waves(torch.arange(1200.0)[None] / 2, [1200])
    assert torch.allclose(slow[0], fast[0, ::2], atol=1e-5)
    gap = torch.cdist(fast[0], fast[0]) + 10 * torch.eye(1200)
    assert gap.min() > 1e-3, "two moments of ten minutes have one position"


def test_merging_patches() -> None:
    whole, merged = build(stem="patch"), build(stem="patch", merge=2)
    merged.load_state_dict(whole.state_dict())
    with torch.no_grad():
        fine, coarse = (item({"pixels_BTCHW": films(3)}).tokens_BLD for item in (whole, merged))
    assert coarse.shape == (2, 4, 32)
    assert torch.allclose(coarse[:, 1:], fine[:, 1:].view(2, 3, 4, 32).mean(2), atol=1e-6)


def test_blocks_of_the_stem_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, pixels = build(stem="hmlp"), films(7)
    with torch.no_grad():
        whole = adapter({"pixels_BTCHW": pixels}).tokens_BLD
        monkeypatch.setattr(module, "STEM_CELLS", 8)
        assert torch.allclose(adapter({"pixels_BTCHW": pixels}).tokens_BLD, whole, atol=1e-6)


def test_wrong_inputs_and_settings() -> None:
    adapter = build(merge=2)
    for pixels, cause in (
        (films(2, 1, 48, 32), "cells of 32"),
        (films(2)[:, 0], "shape"),
        (films(2)[:, :, :1], "shape"),
    ):
        with pytest.raises(InputError, match=cause):
            adapter({"pixels_BTCHW": pixels})
    with pytest.raises(InputError, match="Film 1 .* no frame"):
        adapter({"pixels_BTCHW": films(2), "valid_BT": torch.tensor([[True, True], [False, False]])})
    for wrong in (
        {"stem": "conv"},
        {"time": "clock"},
        {"image_size": 20},
        {"tubelet": 0},
        {"merge": 0},
        {"num_steps": 0},
    ):
        with pytest.raises(ConfigError):
            build(**wrong)
