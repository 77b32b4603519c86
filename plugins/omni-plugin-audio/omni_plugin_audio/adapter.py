"""Sound of any length -> tokens: waveform or log-mel stem, convolutional positions, class token, log-bucket bias."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from omni.core.adapter import ModalityAdapter, keep_tokens, kept_indices
from omni.core.positions import LogBucketBias
from omni.errors import ConfigError, InputError
from omni.types import TokenSequence
from omni_plugin_audio.spectral import MelAugment
from omni_plugin_audio.stems import ConvPositions, MelStem, WaveStem

STEM_NAMES = ("wave", "log_mel")
BIASES = ("shared", "per_layer", "none")
PARITIES = ("default", "published")


class AudioAdapter(ModalityAdapter):
    """The audio adapter of ONE-PEACE (2023), and a lighter one over log-mel patches.

    By default nothing beyond a clip's end is seen: frames that are padding are zero before every convolution, so the
    result does not depend on the batch. With ``keep_BL`` the frames left out are zero there too: the others keep their
    true distances and learn nothing of what is masked. ``parity="published"`` does what the published code does:
    padding takes part in the convolutional positions, and kept frames are pushed together before them.

    Parameters for converters: ``class_token``, ``class_position`` (1, 1, D); ``stem.*`` and ``positions.layers.*``
    (see omni_plugin_audio.stems); ``bias.tables.{i}`` (2 * bucket + 2, H).

    Args:
        modality, width, num_heads, num_layers: as in ModalityAdapter.
        stem: "wave" (reads ``wave_BT``) or "log_mel" (reads ``mel_BTC``).
        conv_width: channels of the waveform stem; None = twice the width, at most 512 (the published value).
        position_layers, position_kernel, position_groups: of the convolutional positions.
        mels, patch_frames, patch_mels, mel_hidden: of the log-mel stem (see MelStem).
        mel_augment: keyword arguments of MelAugment, applied to the log-mel in training; None = none.
        bucket: of the relative position bias.
        relative_bias: "shared" (one table for all layers), "per_layer" or "none".
        parity: "default" or "published".

    Raises:
        ConfigError: unknown stem, bias or parity; sizes that do not divide.
    """

    def __init__(
        self,
        *,
        modality: str = "audio",
        width: int,
        num_heads: int,
        num_layers: int,
        stem: str = "wave",
        conv_width: int | None = None,
        position_layers: int = 5,
        position_kernel: int = 19,
        position_groups: int = 16,
        mels: int = 80,
        patch_frames: int = 4,
        patch_mels: int | None = None,
        mel_hidden: int | None = None,
        mel_augment: dict[str, Any] | None = None,
        bucket: int = 512,
        relative_bias: str = "shared",
        parity: str = "default",
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        for name, value, known in (
            ("stem", stem, STEM_NAMES), ("relative_bias", relative_bias, BIASES), ("parity", parity, PARITIES)
        ):  # fmt: skip
            if value not in known:
                raise ConfigError(f"The audio adapter's {name} is one of {', '.join(known)}, not {value!r}.")
        self.published = parity == "published"
        self.key = "wave_BT" if stem == "wave" else "mel_BTC"
        if stem == "wave":
            self.stem: nn.Module = WaveStem(width=width, conv_width=conv_width or min(512, 2 * width))
        else:
            self.stem = MelStem(
                width=width, mels=mels, patch_frames=patch_frames, patch_mels=patch_mels, hidden=mel_hidden
            )
        if mel_augment and stem != "log_mel":
            raise ConfigError(f"The audio adapter's mel_augment needs stem='log_mel', not {stem!r}.")
        self.mel_augment = MelAugment(**mel_augment) if mel_augment else None
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.class_position = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.class_position, std=0.02)
        self.positions = ConvPositions(
            width=width, num_layers=position_layers, kernel=position_kernel, groups=position_groups
        )
        tables = num_layers if relative_bias == "per_layer" else 1
        self.bias = None
        if relative_bias != "none":
            self.bias = LogBucketBias(num_heads=num_heads, bucket=bucket, num_tables=tables)

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Embed clips.

        Args:
            inputs: ``wave_BT`` float at 16 kHz, or ``mel_BTC`` float; and ``valid_BT`` bool, True for a clip's own
                samples or frames, which come first. Without it all are valid.
            keep_BL: (B, L) over class token and frames; None = all.

        Returns:
            TokenSequence of a class token and the frames in time order (log-mel with several bands: bands of one time
            step next to each other). positions_BLP are (time step[, band]), the class token's are -1.

        Raises:
            InputError: tensors of another stem, or a clip too short for one frame.
        """
        signal, valid_BT = self._read(inputs)
        if self.mel_augment is not None:
            signal = self.mel_augment(signal)
        if valid_BT is not None:
            signal = signal.masked_fill(~(valid_BT if signal.dim() == 2 else valid_BT[..., None]), 0.0)
        frames = self.stem(signal)
        bands = frames.shape[2] if frames.dim() == 4 else 1
        valid_BL = self._valid_frames(valid_BT, frames).repeat_interleave(bands, 1)
        frames = frames.flatten(1, 2) if bands > 1 else frames.flatten(2)
        sequence = self._sequence(frames, valid_BL, bands)
        if keep_BL is None:
            return replace(sequence, tokens_BLD=self._tokens(frames, valid_BL, bands))
        if self.published:
            return self._keep_as_published(sequence, frames, keep_BL)
        tokens = self._tokens(frames, valid_BL & keep_BL[:, 1:], bands)
        return keep_tokens(replace(sequence, tokens_BLD=tokens), keep_BL)

    def _read(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        if self.key not in inputs:
            transform = "wave" if self.key == "wave_BT" else "log_mel"
            raise InputError(
                f"This audio adapter reads {self.key!r}, but the batch has {', '.join(inputs)}; "
                f"use the transform {transform!r} for its slot, or build the adapter with the other stem."
            )
        signal = inputs[self.key]
        if signal.dim() != (2 if self.key == "wave_BT" else 3) or 0 in signal.shape[1:]:
            raise InputError(f"{self.key} has the shape {tuple(signal.shape)}.")
        if self.key == "mel_BTC" and signal.shape[2] != self.stem.mels:
            raise InputError(
                f"The spectrogram has {signal.shape[2]} bands, this adapter reads {self.stem.mels}; set both to one "
                "number (`mels` of the transform and of the adapter)."
            )
        return signal.to(self.class_token.dtype), inputs.get("valid_BT")

    def _valid_frames(self, valid_BT: Tensor | None, frames: Tensor) -> Tensor:
        batch, length = frames.shape[:2]
        if valid_BT is None:
            return torch.ones(batch, length, dtype=torch.bool, device=frames.device)
        count_B = self.stem.frames(valid_BT.sum(1))
        if not torch.compiler.is_compiling() and not bool((count_B > 0).all()):
            row = int((count_B < 1).nonzero()[0])
            raise InputError(
                f"Clip {row} of the batch has {int(valid_BT[row].sum())} samples or frames, too few for one token; "
                "use a longer clip, or the transform's min_seconds, which repeats short ones."
            )
        return torch.arange(length, device=frames.device)[None] < count_B[:, None]

    def _tokens(self, frames_BLD: Tensor, seen_BL: Tensor | None, bands: int) -> Tensor:
        """Frames plus positions, class token first. ``seen_BL`` None = also padding is seen by the positions."""
        batch, length = frames_BLD.shape[:2]
        seen_BL = None if self.published else seen_BL
        if bands == 1:
            positions = self.positions(frames_BLD, valid_BL=seen_BL)
        else:  # along time, each band by itself
            by_band = frames_BLD.unflatten(1, (-1, bands)).transpose(1, 2).flatten(0, 1)
            seen = None if seen_BL is None else seen_BL.unflatten(1, (-1, bands)).transpose(1, 2).flatten(0, 1)
            positions = self.positions(by_band, valid_BL=seen)
            positions = positions.unflatten(0, (batch, bands)).transpose(1, 2).reshape(batch, length, -1)
        frames_BLD = frames_BLD + positions
        first = (self.class_token + self.class_position).to(frames_BLD.dtype)
        return torch.cat((first.expand(batch, -1, -1), frames_BLD), 1)

    def _sequence(self, frames_BLD: Tensor, valid_BL: Tensor, bands: int) -> TokenSequence:
        """Everything but the tokens, for class token and frames."""
        batch, length = valid_BL.shape
        device = valid_BL.device
        valid = torch.cat((valid_BL.new_ones(batch, 1), valid_BL), 1)
        time = torch.arange(-1, length // bands, device=device)
        step = torch.cat((time[:1], time[1:].repeat_interleave(bands)))
        places = [step]
        if bands > 1:
            places.append(torch.cat((time[:1], torch.arange(bands, device=device).repeat(length // bands))))
        biases = () if self.bias is None else self.bias(1 + length // bands)
        if bands > 1:
            rows = step + 1
            biases = tuple(bias[:, :, rows][..., rows] for bias in biases)
        return TokenSequence(
            tokens_BLD=frames_BLD.new_zeros(batch, 1 + length, 1),
            valid_BL=valid,
            modality=self.modality,
            positions_BLP=torch.stack(places, -1).float()[None],
            bias=biases,
        )

    def _keep_as_published(self, sequence: TokenSequence, frames_BLD: Tensor, keep_BL: Tensor) -> TokenSequence:
        """Kept frames become neighbours; a row that keeps fewer is filled with copies of its frame K - 2, which the
        convolutional positions of its kept frames see."""
        index_BK, valid_BK = kept_indices(keep_BL & sequence.valid_BL)
        index_BK = torch.where(valid_BK, index_BK, index_BK.shape[1] - 1)
        picked = (index_BK[:, 1:] - 1).clamp(min=0)[..., None].expand(-1, -1, frames_BLD.shape[-1])
        tokens = self._tokens(frames_BLD.gather(1, picked), None, 1)
        return replace(keep_tokens(sequence, keep_BL), tokens_BLD=tokens)
