"""Films that were taken apart: a folder of pictures, so many a second."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from omni.errors import InputError
from omni_plugin_image.io import load as load_picture
from omni_plugin_video.clip import Film
from omni_plugin_video.decoding import BLOCK_PIXELS, grouped

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, kw_only=True)
class FrameFolder:
    """A value of a video slot: the pictures of a folder in the order of their names.

    Attributes:
        path: of the folder.
        fps: pictures a second.
    """

    FIRST: ClassVar[str] = "img_0001.jpg"  # as FFmpeg's users number them

    path: Path
    fps: float


class FrameFilm(Film):
    """The film of a FrameFolder; pictures are read when they are asked for.

    Raises:
        InputError: no folder, no pictures in it, a rate that is none, too large a picture.
    """

    def __init__(self, value: FrameFolder, *, max_pixels: int) -> None:
        self.source, self.max_pixels = f"frames {str(value.path)!r}", max_pixels
        if not 0 < value.fps <= 100_000:
            raise InputError(f"The {self.source} have the rate {value.fps!r}; it must be a number above 0.")
        try:
            names = sorted(name for name in os.listdir(value.path) if Path(name).suffix.lower() in ENDINGS)
        except OSError as error:
            raise InputError(f"The {self.source} cannot be read: {error.strerror}.") from error
        if not names:
            raise InputError(f"The {self.source} hold no picture ({', '.join(ENDINGS)}).")
        self.paths = [Path(value.path, name) for name in names]
        self.times_T, self.end = np.arange(len(names)) / value.fps, len(names) / value.fps
        self.height, self.width = self._picture(0).shape[:2]

    def blocks(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        yield from grouped(self._checked(indices), max(1, BLOCK_PIXELS // (self.height * self.width)))

    def _picture(self, index: int) -> np.ndarray:
        return load_picture(self.paths[index], max_pixels=self.max_pixels, form="array").pixels_HWC

    def _checked(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        for index in indices.tolist():
            made = self._picture(index)
            if made.shape[:2] != (self.height, self.width):
                raise InputError(
                    f"The {self.source} have different sizes: {self.paths[index].name} is {made.shape[1]} x "
                    f"{made.shape[0]}, the first {self.width} x {self.height}."
                )
            yield made
