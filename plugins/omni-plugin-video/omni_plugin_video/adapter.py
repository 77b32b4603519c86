"""Films of any length -> tokens: patches of each frame or tubelets, positions in space and in time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.core.positions import AbsolutePositions2d
from omni.errors import ConfigError, InputError
from omni.types import TokenSequence
from omni_plugin_video.stems import build_stem
from omni_plugin_video.temporal import SecondPositions, StepPositions

TIMES = ("steps", "seconds")
STEM_CELLS = 1 << 10  # cells that a stem takes at once where no gradient is needed


class VideoAdapter(ModalityAdapter):
    """A class token, then the tokens of each time step, row by row.

    There is no bias between tokens: the attention stays linear in memory, so that long films fit. Each film of a batch
    is embedded by its own number of frames: the result does not depend on the others or on padding.

    Parameters for converters: ``class_token`` (1, 1, D); ``stem.*`` (see omni_plugin_video.stems);
    ``positions.weight`` (gh * gw + 1, D), class token first; ``time.weight`` (num_steps, D), or ``time.map.*``.

    Args:
        modality, width, num_heads, num_layers: as in ModalityAdapter.
        stem: "tubelet" (t frames of a patch at once), "patch" or "hmlp" (each frame by itself, as pictures).
        patch_size: P in pixels.
        image_size: side or (height, width) that the table of positions is made for; other sizes read it bicubically.
        tubelet: t of the stem "tubelet". A film whose frames t does not divide repeats its last one.
        time: "steps" (a learnt vector a time step) or "seconds" (waves of the time).
        num_steps: rows of the table of steps; longer films stretch it.
        merge: side of the square of patches that are averaged to one token; the whole grid's side gives one token a
            time step, for long films.

    Raises:
        ConfigError: sizes that do not divide; an unknown stem or kind of time.
    """

    def __init__(
        self,
        *,
        modality: str = "video",
        width: int,
        num_heads: int,
        num_layers: int,
        stem: str = "tubelet",
        patch_size: int = 16,
        image_size: int | Sequence[int] = 224,
        tubelet: int = 2,
        time: str = "steps",
        num_steps: int = 4,
        merge: int = 1,
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        height, wide = (image_size, image_size) if isinstance(image_size, int) else image_size
        if min(height, wide) < patch_size or height % patch_size or wide % patch_size:
            raise ConfigError(f"image_size {height} x {wide} must be a multiple of patch_size {patch_size}.")
        if time not in TIMES:
            raise ConfigError(f"time is one of {', '.join(TIMES)}, not {time!r}.")
        if tubelet < 1 or merge < 1 or num_steps < 1:
            raise ConfigError(f"tubelet {tubelet}, merge {merge} and num_steps {num_steps} must be positive.")
        self.patch_size, self.merge = patch_size, merge
        self.tubelet = tubelet if stem == "tubelet" else 1
        self.stem = build_stem(stem, width=width, patch_size=patch_size, tubelet=self.tubelet)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        self.positions = AbsolutePositions2d(width=width, grid=(height // patch_size, wide // patch_size))
        self.time: nn.Module = (
            StepPositions(width=width, steps=num_steps) if time == "steps" else SecondPositions(width=width)
        )

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Embed films.

        Args:
            inputs: ``pixels_BTCHW`` float, normalised, sides multiples of the patch size; ``times_BT`` float, seconds
                (without it, one frame a second); ``valid_BT`` bool, True for a film's own frames, which come first
                (without it, all).
            keep_BL: (B, L) over class token and cells; None = all.

        Returns:
            TokenSequence, L = 1 + steps x tokens a step, padded at the end. positions_BLP are (step, row, column), the
            class token's are -1.

        Raises:
            InputError: not films of 3 channels, sides that do not divide, or a film without a frame.
        """
        pixels = inputs["pixels_BTCHW"]
        self._check(pixels)
        valid_BT = inputs.get("valid_BT")
        frames_B = [pixels.shape[1]] * len(pixels) if valid_BT is None else valid_BT.sum(1).tolist()
        if min(frames_B) < 1:
            raise InputError(f"Film {frames_B.index(min(frames_B))} of the batch has no frame.")
        times = inputs.get("times_BT")
        if times is None:
            times = torch.arange(pixels.shape[1], device=pixels.device).float().expand(pixels.shape[:2])
        pixels, times = self._whole_steps(pixels, times, frames_B)
        steps_B = [-(-frames // self.tubelet) for frames in frames_B]
        columns = pixels.shape[4] // (self.patch_size * self.merge)
        sequence = self._sequence(self._embed(pixels, steps_B), times[:, :: self.tubelet], steps_B, columns)
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)

    def _check(self, pixels: Tensor) -> None:
        if pixels.dim() != 5 or pixels.shape[2] != 3:
            raise InputError(f"The video adapter needs pixels of shape (B, T, 3, H, W), not {tuple(pixels.shape)}.")
        height, width = pixels.shape[3:]
        cell = self.patch_size * self.merge
        if min(height, width) < cell or height % cell or width % cell:
            raise InputError(
                f"Frames of {height} x {width} pixels do not divide into cells of {cell} ({self.merge} patches of "
                f"{self.patch_size}); resize them to multiples of it (`size` of the transform video_basic)."
            )

    def _whole_steps(self, pixels: Tensor, times: Tensor, frames_B: list[int]) -> tuple[Tensor, Tensor]:
        """Frames up to a multiple of the tubelet: a film's last one stands in for those that it lacks."""
        longest = -(-max(frames_B) // self.tubelet) * self.tubelet
        if longest == pixels.shape[1] and all(frames % self.tubelet == 0 for frames in frames_B):
            return pixels, times
        last_B1 = torch.tensor(frames_B, device=pixels.device)[:, None] - 1
        index_BT = torch.minimum(torch.arange(longest, device=pixels.device)[None], last_B1)
        row_B1 = torch.arange(len(pixels), device=pixels.device)[:, None]
        return pixels[row_B1, index_BT], times[row_B1, index_BT]

    def _embed(self, pixels: Tensor, steps_B: list[int]) -> Tensor:
        """(B, steps, tokens a step, D), of real steps only; the others are zero."""
        size = self.patch_size
        cells = pixels.unflatten(4, (-1, size)).unflatten(3, (-1, size)).unflatten(1, (-1, self.tubelet))
        cells = cells.permute(0, 1, 4, 6, 2, 3, 5, 7)  # B, steps, rows, columns, t, C, P, P: a view
        length, (rows, columns) = cells.shape[1], cells.shape[2:4]
        place = self.positions(rows, columns)[0, 1:].view(rows, columns, -1)
        merged = [
            F.pad(self._film(film[:steps], place), (0, 0, 0, 0, 0, length - steps))
            for film, steps in zip(cells, steps_B, strict=True)
        ]
        return torch.stack(merged)

    def _film(self, cells: Tensor, place_HWD: Tensor) -> Tensor:
        """(steps, tokens a step, D) of one film; in blocks of steps where no gradient needs the parts."""
        if torch.is_grad_enabled():
            return self._cells(cells, place_HWD)
        block = max(1, STEM_CELLS // (cells.shape[1] * cells.shape[2]))
        made: Tensor | None = None
        for start in range(0, len(cells), block):
            part = self._cells(cells[start : start + block], place_HWD)
            made = part.new_empty(len(cells), *part.shape[1:]) if made is None else made
            made[start : start + len(part)] = part  # into one tensor: many small ones would pin the freed memory
        assert made is not None, "a film has at least one step"
        return made

    def _cells(self, cells: Tensor, place_HWD: Tensor) -> Tensor:
        tokens = self.stem(cells.to(self.class_token.dtype))
        tokens = tokens + place_HWD.to(tokens.dtype)
        if self.merge > 1:
            tokens = tokens.unflatten(2, (-1, self.merge)).unflatten(1, (-1, self.merge)).mean((2, 4))
        return tokens.flatten(1, 2)

    def _sequence(self, cells_BTND: Tensor, times_BT: Tensor, steps_B: list[int], columns: int) -> TokenSequence:
        batch, steps, count = cells_BTND.shape[:3]
        device, dtype = cells_BTND.device, cells_BTND.dtype
        tokens = (cells_BTND + self.time(times_BT, steps_B).to(dtype)[:, :, None]).flatten(1, 2)
        first = (self.class_token + self.positions.weight[:1]).to(dtype).expand(batch, -1, -1)
        real_B1 = 1 + count * torch.tensor(steps_B, device=device)[:, None]
        return TokenSequence(
            tokens_BLD=torch.cat((first, tokens), 1),
            valid_BL=torch.arange(1 + steps * count, device=device)[None] < real_B1,
            modality=self.modality,
            positions_BLP=_places(steps, count, columns, device)[None],
        )


def _places(steps: int, count: int, columns: int, device: torch.device) -> Tensor:
    """(1 + steps * count, 3) float: step, row and column of each token, -1 for the class token."""
    cell = torch.arange(count, device=device)
    place = torch.stack((cell // columns, cell % columns), -1).repeat(steps, 1)
    step = torch.arange(steps, device=device).repeat_interleave(count)
    return F.pad(torch.cat((step[:, None], place), 1).float(), (0, 0, 1, 0), value=-1.0)
