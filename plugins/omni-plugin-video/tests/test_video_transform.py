"""From a film to pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from video_fixture import BLUE_STEP, all_frames, write_film

from omni.data.processor import Processor
from omni.errors import ConfigError
from omni_plugin_image.io import RgbArray
from omni_plugin_image.transform import CLIP_MEAN, CLIP_STD, ImageBasic
from omni_plugin_video import decoding
from omni_plugin_video.io import Part, load, sample
from omni_plugin_video.transform import VideoBasic


def levels(pixels_TCHW: torch.Tensor) -> torch.Tensor:
    """Back to 0..255."""
    mean, std = torch.tensor(CLIP_MEAN).view(3, 1, 1), torch.tensor(CLIP_STD).view(3, 1, 1)
    return (pixels_TCHW * std + mean) * 255


def test_each_frame_equals_the_picture_of_the_image_plugin() -> None:
    film = sample("other")
    made = VideoBasic(size=32)(film)["pixels_TCHW"]
    picture = ImageBasic(size=32)
    for row, frame in zip(made, film.frames_THWC, strict=True):
        assert torch.equal(row, picture(RgbArray(pixels_HWC=frame))["pixels_CHW"])


def test_the_chosen_frames_and_their_times(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", frames=30)
    made = VideoBasic(size=32, num_frames=3)(load(path))
    blue = levels(made["pixels_TCHW"])[:, 2].mean((1, 2)) / BLUE_STEP
    assert blue.round().tolist() == [5, 15, 25]
    assert torch.allclose(made["times_T"], torch.tensor([0.0, 0.4, 0.8]))
    part = VideoBasic(size=32, num_frames=2)(load(Part(path=path, start=0.4, end=0.8)))
    assert (levels(part["pixels_TCHW"])[:, 2].mean((1, 2)) / BLUE_STEP).round().tolist() == [12, 17]
    assert torch.equal(
        part["pixels_TCHW"], VideoBasic(size=32, num_frames=2)(load(path, start=0.4, end=0.8))["pixels_TCHW"]
    )


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_film(tmp_path / "a.mp4", frames=20)
    transform = VideoBasic(size=32, sampling="time", rate=25.0, num_frames=0)
    whole = transform(load(path))["pixels_TCHW"]
    assert len(whole) == 20
    monkeypatch.setattr(decoding, "BLOCK_PIXELS", 3 * 48 * 64)
    for backend in ("decord", "pyav"):
        assert torch.equal(transform(load(path, backend=backend))["pixels_TCHW"], whole)


def test_crop_keeps_the_aspect() -> None:
    frames = np.zeros((1, 20, 60, 3), np.uint8)
    frames[:, :, 20:40] = 200
    squashed, cropped = (
        VideoBasic(size=16, mode=mode)(load((frames, 1)))["pixels_TCHW"] for mode in ("squash", "crop")
    )
    assert torch.allclose(levels(cropped), torch.tensor(200.0), atol=1e-3)
    assert levels(squashed)[0, 0, 0, 0] < 5
    strip = VideoBasic(size=16)(load((np.full((2, 2, 5000, 3), 90, np.uint8), 1)))["pixels_TCHW"]
    assert torch.allclose(levels(strip), torch.tensor(90.0), atol=1e-3)


def test_augmentation_is_the_same_in_all_frames() -> None:
    frames = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), dtype=np.uint8), 5, 0)
    plain = dict(size=32, crop_scale=(1, 1), crop_ratio=(1, 1))
    still = VideoBasic(**plain)
    reference = still(load((frames, 5)))["pixels_TCHW"]
    assert still.deterministic and not VideoBasic(size=32).deterministic
    assert not VideoBasic(**plain, sampling="segments").deterministic
    assert torch.equal(still(load((frames, 5)), training=True)["pixels_TCHW"], reference)
    for extra in (
        {"flip": 1.0},
        {"jitter": 0.5},
        {"crop_scale": (0.2, 0.5)},
        {"augment": [{"type": "RandomRotation", "degrees": 90}]},
    ):
        transform = VideoBasic(**plain | extra)
        torch.manual_seed(1)
        made = transform(load((frames, 5)), training=True)["pixels_TCHW"]
        assert not torch.equal(made, reference) and all(torch.equal(row, made[0]) for row in made), extra
        torch.manual_seed(1)
        assert torch.equal(transform(load((frames, 5)), training=True)["pixels_TCHW"], made)
    assert torch.equal(
        VideoBasic(**plain, flip=1.0)(load((frames, 5)), training=True)["pixels_TCHW"], reference.flip(-1)
    )


def test_collate_pads_and_says_so() -> None:
    transform = VideoBasic(size=16)
    items = [transform(sample(variant)) for variant in ("typical", "other", "minimum")]
    batch = transform.collate(items)
    assert batch["pixels_BTCHW"].shape == (3, 8, 3, 16, 16) and batch["valid_BT"].sum(1).tolist() == [8, 5, 1]
    assert torch.equal(batch["pixels_BTCHW"][1, :5], items[1]["pixels_TCHW"])
    assert transform.collate(items[:1])["valid_BT"].all()


@pytest.mark.parametrize("wrong", [{"size": 20}, {"mode": "keep"}, {"sampling": "all"}, {"num_frames": 0}, {"size": 0}])
def test_wrong_settings(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        VideoBasic(**wrong)


def test_workers_read_films(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4")
    processor = Processor({"video": {"size": 32, "num_frames": 2}})

    class Films(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> torch.Tensor:
            return processor.process_value("video", path)["pixels_TCHW"]

    here = processor.process_value("video", path)["pixels_TCHW"]  # decoded once before the workers are forked
    for batch in DataLoader(Films(), batch_size=2, num_workers=1):
        assert torch.equal(batch[0], here) and torch.equal(batch[1], here)
    assert len(all_frames(load(path))) == 12
