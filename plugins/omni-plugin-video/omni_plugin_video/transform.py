"""From a film to normalised pixels: choose frames, cut, resize and augment them alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as TF

from omni.data.transform import Transform
from omni.errors import ConfigError, InputError
from omni_plugin_image.augment import Augmentations
from omni_plugin_image.transform import CLIP_MEAN, CLIP_STD
from omni_plugin_video.clip import Film
from omni_plugin_video.io import load
from omni_plugin_video.sampling import Sampling

MODES = ("squash", "crop")
LONGEST_STRIP = 8
Box = tuple[int, int, int, int]  # top, left, height, width


class VideoBasic(Transform):
    """Frames of a film as normalised pixels. What is random is drawn once a film and is the same in all its frames.

    Draws come from torch's global generator only. Frames are decoded and resized some at a time, so that a long film
    is never held in full.

    Args:
        size: side S in pixels, or (height, width).
        sampling, num_frames, stride, clips, rate: which frames (see omni_plugin_video.sampling.Sampling; ``sampling``
            is its ``kind``).
        mode: "squash" to ``size`` whatever the aspect; "crop": the largest centred part of that aspect, resized.
        multiple: patch size that the sides must divide.
        mean, std: of the three channels, for pixels in 0..1.
        crop_scale, crop_ratio: area and aspect of the random crop in training; (1, 1) = off.
        flip: chance of a horizontal flip in training. Off unless asked for: it mirrors letters and left and right.
        jitter: largest relative change of brightness, contrast and saturation in training.
        augment: more of torchvision's augmentations in training (see omni_plugin_image.augment).

    Raises:
        ConfigError: an unknown mode, sampling or augmentation; a size that is no multiple of ``multiple``.
    """

    def __init__(
        self,
        *,
        size: int | Sequence[int] = 224,
        sampling: str = "uniform",
        num_frames: int = 8,
        stride: int = 4,
        clips: int = 1,
        rate: float = 1.0,
        mode: str = "squash",
        multiple: int = 16,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        crop_scale: Sequence[float] = (0.9, 1.0),
        crop_ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip: float = 0.0,
        jitter: float = 0.0,
        augment: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        if mode not in MODES:
            raise ConfigError(f"video_basic knows the modes {', '.join(MODES)}, not {mode!r}.")
        if height < 1 or width < 1 or height % multiple or width % multiple:
            raise ConfigError(f"video_basic: size {height} x {width} must be multiples of {multiple} (the patch size).")
        self.size, self.mode, self.multiple = (int(height), int(width)), mode, int(multiple)
        self.sampling = Sampling(kind=sampling, num_frames=num_frames, stride=stride, clips=clips, rate=rate)
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        self.crop_scale, self.crop_ratio = tuple(map(float, crop_scale)), tuple(map(float, crop_ratio))
        self.flip, self.jitter = float(flip), float(jitter)
        self.augmentations = Augmentations(augment)
        still = not (self.flip or self.jitter or self.augmentations.chain or self._crops)
        self.deterministic = still and not self.sampling.random
        std_C11 = torch.tensor(self.std).view(3, 1, 1)
        self._gain_C11 = 1 / (255 * std_C11)
        self._offset_C11 = torch.tensor(self.mean).view(3, 1, 1) / std_C11

    @property
    def _crops(self) -> bool:
        return not self.crop_scale == (1.0, 1.0) == self.crop_ratio

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        """pixels_TCHW float32, normalised; times_T float32, seconds from the first chosen frame.

        Raises:
            InputError: the film's part holds nothing, or a frame cannot be decoded.
        """
        film = raw if isinstance(raw, Film) else load(raw)
        try:
            indices = self.sampling.indices(film.times_T, film.end, window=film.window, training=training)
        except InputError as error:
            raise InputError(f"The {film.source}: {error}.") from None
        box = self._box(film.height, film.width, training)
        if training and (self.flip or self.jitter or self.augmentations.chain):
            resized = torch.cat([self._resized(block, box) for block in film.blocks(indices)])
            blocks = iter([self._augment(resized)])
        else:
            blocks = (self._resized(block, box) for block in film.blocks(indices))
        pixels = torch.empty(len(indices), 3, *self.size)
        done = 0
        for block in blocks:
            part = pixels[done : done + len(block)]
            part.copy_(block)
            part.mul_(self._gain_C11).sub_(self._offset_C11)
            done += len(block)
        assert done == len(indices), "a decoder gave another number of frames than was asked for"
        times = film.times_T[indices]
        return {"pixels_TCHW": pixels, "times_T": torch.from_numpy(times - times[0]).float()}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """pixels_BTCHW and times_BT float32, zeros after the last frame; valid_BT bool."""
        if len(items) == 1:
            made = {"pixels_BTCHW": items[0]["pixels_TCHW"][None], "times_BT": items[0]["times_T"][None]}
            return made | {"valid_BT": torch.ones(made["times_BT"].shape, dtype=torch.bool)}
        pad = torch.nn.utils.rnn.pad_sequence
        length_B = torch.tensor([len(item["times_T"]) for item in items])
        return {
            "pixels_BTCHW": pad([item["pixels_TCHW"] for item in items], batch_first=True),
            "times_BT": pad([item["times_T"] for item in items], batch_first=True),
            "valid_BT": torch.arange(int(length_B.max()))[None] < length_B[:, None],
        }

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        sampling = self.sampling.to_config()
        return {
            "size": list(self.size),
            "sampling": sampling.pop("kind"),
            **sampling,
            "mode": self.mode,
            "multiple": self.multiple,
            "mean": list(self.mean),
            "std": list(self.std),
            "crop_scale": list(self.crop_scale),
            "crop_ratio": list(self.crop_ratio),
            "flip": self.flip,
            "jitter": self.jitter,
            "augment": self.augmentations.settings,
        }

    def _box(self, height: int, width: int, training: bool) -> Box:
        if training and self._crops:
            shape = torch.empty(1, height, width, device="meta")
            return tuple(RandomResizedCrop.get_params(shape, list(self.crop_scale), list(self.crop_ratio)))
        high, wide = self.size
        tall, broad = height, width
        if self.mode == "crop":
            tall, broad = (
                min(height, max(1, round(width * high / wide))),
                min(width, max(1, round(height * wide / high))),
            )
        else:  # of a strip only the middle, so that a line of pixels does not become gigabytes
            tall = min(height, -(-LONGEST_STRIP * high * width // wide))
            broad = min(width, -(-LONGEST_STRIP * wide * height // high))
        return (height - tall) // 2, (width - broad) // 2, tall, broad

    def _resized(self, frames_THWC: np.ndarray, box: Box) -> Tensor:
        """(t, 3, S, S) uint8."""
        top, left, height, width = box
        frames = torch.from_numpy(frames_THWC)[:, top : top + height, left : left + width].permute(0, 3, 1, 2)
        if (height, width) == self.size:
            return frames
        return F.interpolate(frames, size=self.size, mode="bicubic", antialias=True)

    def _augment(self, pixels_TCHW: Tensor) -> Tensor:
        if self.jitter:
            gains = (1 - self.jitter + 2 * self.jitter * torch.rand(3)).tolist()
            pixels_TCHW = TF.adjust_brightness(pixels_TCHW, gains[0])
            pixels_TCHW = TF.adjust_contrast(pixels_TCHW, gains[1])
            pixels_TCHW = TF.adjust_saturation(pixels_TCHW, gains[2])
        if self.flip and float(torch.rand(())) < self.flip:
            pixels_TCHW = pixels_TCHW.flip(-1)
        return self.augmentations(pixels_TCHW)
