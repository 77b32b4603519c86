"""Stems: waveform or log-mel frames -> tokens with their convolutional positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni.errors import ConfigError, InputError
from omni_plugin_audio.strided import strided_conv

NORM_EPS = 1e-5
KERNELS_AND_STRIDES = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))


class ExtractorLayer(nn.Module):
    """Convolution without bias, norm over channels, GELU.

    ``weight`` (out, in, k) has the shape of an ordinary 1d convolution; ``norm`` is over the output channels.
    """

    def __init__(self, *, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(torch.empty(out, channels, kernel))
        nn.init.kaiming_normal_(self.weight)
        self.norm = nn.LayerNorm(out, eps=NORM_EPS)

    def forward(self, rows: Tensor) -> Tensor:
        """(R * stride, in) time steps, channels last -> (R, out)."""
        rows = rows.reshape(-1, self.stride * rows.shape[-1])
        rows = strided_conv(rows, self.weight.to(rows.dtype), stride=self.stride)
        norm = self.norm
        rows = F.layer_norm(rows, norm.normalized_shape, norm.weight.to(rows.dtype), norm.bias.to(rows.dtype), norm.eps)
        return F.gelu(rows)


class WaveStem(nn.Module):
    """Raw waveform to frames (wav2vec 2.0, Baevski et al. 2020, with a norm a layer; ONE-PEACE 2023): seven
    convolutions, 16 kHz to 50 Hz, then LayerNorm and a linear map.

    All layers work on channels-last rows as matrix products. The wave is padded once to a multiple of the total
    stride, so that each layer's rows are a reshape of the last layer's; rows whose window leaves the clip are junk that
    no real frame reads, and are cut off at the end. The numbers are those of ordinary convolutions without padding.

    Parameters for converters: ``layers.{i}.weight`` (C, C or 1, k), ``layers.{i}.norm.{weight,bias}`` (C),
    ``norm.{weight,bias}`` (C), ``projection.{weight,bias}`` (D, C).

    Args:
        width: D.
        conv_width: C, 512 in ONE-PEACE.
        kernels_and_strides: (kernel, stride) of each layer.
    """

    def __init__(
        self,
        *,
        width: int,
        conv_width: int = 512,
        kernels_and_strides: Sequence[Sequence[int]] = KERNELS_AND_STRIDES,
    ) -> None:
        super().__init__()
        sizes = [1] + [conv_width] * len(kernels_and_strides)
        self.layers = nn.ModuleList(
            ExtractorLayer(channels=sizes[index], out=sizes[index + 1], kernel=int(kernel), stride=int(stride))
            for index, (kernel, stride) in enumerate(kernels_and_strides)
        )
        self.stride = math.prod(layer.stride for layer in self.layers)
        self.norm = nn.LayerNorm(conv_width, eps=NORM_EPS)
        self.projection = nn.Linear(conv_width, width)

    @property
    def least_samples(self) -> int:
        """The shortest clip that gives a frame (400 samples)."""
        needed = 1
        for layer in reversed(self.layers):
            needed = (needed - 1) * layer.stride + layer.kernel
        return needed

    def frames(self, samples: int | Tensor) -> int | Tensor:
        """Frames of clips of so many samples: floor((n - k) / s) + 1 layer by layer, never below 0."""
        for layer in self.layers:
            samples = (samples - layer.kernel) // layer.stride + 1
        return samples.clamp(min=0) if isinstance(samples, Tensor) else max(samples, 0)

    def extract(self, wave_BT: Tensor) -> Tensor:
        """The convolutions alone: (B, T) -> (B, L, C), L = frames(T)."""
        device = wave_BT.device.type
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        else:
            dtype = self.layers[0].weight.dtype
        batch, samples = wave_BT.shape
        padded = F.pad(wave_BT.to(dtype), (0, -samples % self.stride))
        with torch.autocast(device, enabled=False):
            rows = padded.reshape(-1, 1)
            for layer in self.layers:
                rows = layer(rows)
        return rows.view(batch, -1, rows.shape[-1])[:, : self.frames(samples)]

    def forward(self, wave_BT: Tensor) -> Tensor:
        """Embed waveforms.

        Args:
            wave_BT: float, normalised, 16 kHz.

        Returns:
            (B, L, D) without positions; frame i reads samples 320 i to 320 i + 399 and nothing else.

        Raises:
            InputError: T is too short for one frame.
        """
        if wave_BT.shape[1] < self.least_samples:
            raise InputError(
                f"A clip of {wave_BT.shape[1]} samples is too short: the waveform stem needs {self.least_samples}. "
                "Use a longer clip, or the transform's min_seconds, which repeats short ones."
            )
        return self.projection(self.norm(self.extract(wave_BT)))


class MelStem(nn.Module):
    """Log-mel frames to tokens: patches of ``patch_frames`` x ``patch_mels``, one linear map, or two with a norm and
    a GELU between them.

    Args:
        width: D.
        mels: bands of the spectrogram.
        patch_frames: frames of a patch.
        patch_mels: bands of a patch; None = all, one token a time step.
        hidden: width between the two maps; None = a single map.
    """

    def __init__(
        self, *, width: int, mels: int = 80, patch_frames: int = 4, patch_mels: int | None = None, hidden: int | None
    ) -> None:
        super().__init__()
        patch_mels = patch_mels or mels
        if mels % patch_mels:
            raise ConfigError(f"patch_mels {patch_mels} must divide the {mels} bands.")
        self.mels, self.patch_frames, self.patch_mels = mels, patch_frames, patch_mels
        self.bands = mels // patch_mels
        size = patch_frames * patch_mels
        self.norm = nn.LayerNorm(hidden, eps=NORM_EPS) if hidden else None
        self.inner = nn.Linear(size, hidden) if hidden else None
        self.projection = nn.Linear(hidden or size, width)
        self.band_positions = None
        if self.bands > 1:
            self.band_positions = nn.Parameter(torch.empty(self.bands, width))
            nn.init.trunc_normal_(self.band_positions, std=0.02)

    def frames(self, frames: int | Tensor) -> int | Tensor:
        """Time steps of tokens: the last patch may be partly empty."""
        return (frames + self.patch_frames - 1) // self.patch_frames

    def forward(self, mel_BTC: Tensor) -> Tensor:
        """Embed spectrograms.

        Args:
            mel_BTC: float, frames beyond a clip's end set to 0.

        Returns:
            (B, L, bands, D) without positions in time, L = ceil(T / patch_frames).
        """
        mel_BTC = F.pad(mel_BTC, (0, 0, 0, -mel_BTC.shape[1] % self.patch_frames))
        patches = mel_BTC.unflatten(1, (-1, self.patch_frames)).unflatten(3, (self.bands, self.patch_mels))
        tokens = patches.transpose(2, 3).flatten(3)
        if self.inner is not None:
            tokens = F.gelu(self.norm(self.inner(tokens)))
        tokens = self.projection(tokens)
        return tokens if self.band_positions is None else tokens + self.band_positions.to(tokens.dtype)


class ConvPositions(nn.Module):
    """Positions from the frames themselves (data2vec 2.0, Baevski et al. 2022): grouped convolutions in a row, each
    followed by a norm without parameters and a GELU; their output is added to the frames.

    ``layers.{i}.weight`` (D, D / groups, kernel) and ``.bias`` are those of ordinary convolutions.

    Args:
        width: D, a multiple of ``groups``.
        num_layers, kernel, groups: 5, 19, 16 in ONE-PEACE.
    """

    def __init__(self, *, width: int, num_layers: int = 5, kernel: int = 19, groups: int = 16) -> None:
        super().__init__()
        if num_layers < 1 or kernel < 1:
            raise ConfigError(f"position_layers {num_layers} and position_kernel {kernel} must be at least 1.")
        if width % groups:
            raise ConfigError(f"position_groups {groups} must divide the width {width}.")
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups) for _ in range(num_layers)
        )

    def forward(self, frames_BLD: Tensor, *, valid_BL: Tensor | None = None) -> Tensor:
        """Positions of frames.

        Args:
            frames_BLD: frames without class token.
            valid_BL: frames that are seen; the others are zero before each convolution, as beyond the ends. None = all
                are seen, padding too.

        Returns:
            (B, L, D).
        """
        length = frames_BLD.shape[1]
        for layer in self.layers:
            if valid_BL is not None:
                frames_BLD = frames_BLD.masked_fill(~valid_BL[..., None], 0.0)
            frames_BLD = layer(frames_BLD.transpose(1, 2))[..., :length].transpose(1, 2)
            frames_BLD = F.gelu(F.layer_norm(frames_BLD, frames_BLD.shape[-1:], eps=NORM_EPS))
        return frames_BLD
