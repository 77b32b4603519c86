"""The modality "vectors": sequences of feature vectors that come ready-made (MFCC, another network's features)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omni.core.adapter import ModalityAdapter, keep_tokens
from omni.data.transform import Transform
from omni.errors import ConfigError, InputError
from omni.types import TokenSequence

CHANNELS = 13  # of MFCC


def load(value: Any) -> np.ndarray:
    """float32 (T, C) from an array (T, C), a tensor, or the path of a .npy file.

    Raises:
        InputError: it is no such array, is empty, or holds numbers that are not finite.
    """
    if isinstance(value, str | Path):
        try:
            value = np.load(value, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{value}: not a .npy file of numbers ({error})") from error
    try:
        vectors_TC = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"vectors are an array (time, channels) of numbers, not {type(value).__name__}") from error
    if vectors_TC.ndim != 2 or 0 in vectors_TC.shape:
        raise InputError(f"vectors have the shape (time, channels), both at least 1, not {vectors_TC.shape}")
    if not np.isfinite(vectors_TC).all():
        raise InputError("vectors hold numbers that are not finite; leave the item out, or mend its source")
    return vectors_TC


def sample(variant: str = "typical") -> np.ndarray:
    """float32 (T, 13): "typical" 20 vectors, "other" 33, "minimum" one; any other word raises ValueError."""
    lengths = {"typical": 20, "other": 33, "minimum": 1}
    if variant not in lengths:
        raise ValueError(f"variant {variant!r} is not one of {', '.join(lengths)}")
    steps = np.arange(lengths[variant] * CHANNELS, dtype=np.float32).reshape(-1, CHANNELS)
    return np.sin(0.7 * steps + len(variant)).astype(np.float32)


class Vectors(Transform):
    """Vectors of one item, standardised by itself and cut to a length.

    Args:
        normalize: subtract each item's mean over time and divide by the deviation of all its numbers; False = as given.
        max_steps: longer items are cut.

    Raises:
        ConfigError: ``max_steps`` below 1.
    """

    deterministic = True

    def __init__(self, *, normalize: bool = True, max_steps: int = 512) -> None:
        if max_steps < 1:
            raise ConfigError(f"max_steps={max_steps} must be at least 1")
        self.normalize, self.max_steps = normalize, max_steps

    def __call__(self, raw: Any, *, training: bool = False) -> dict[str, Tensor]:
        vectors_TC = torch.from_numpy(load(raw)[: self.max_steps].copy())
        if self.normalize and len(vectors_TC) > 1:
            vectors_TC = vectors_TC - vectors_TC.mean(0)
            vectors_TC = vectors_TC / (vectors_TC.std() + 1e-5)
        return {"vectors_TC": vectors_TC}

    def collate(self, items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        rows = [item["vectors_TC"] for item in items]
        if len({row.shape[1] for row in rows}) > 1:
            raise InputError(
                f"vectors of one batch have {sorted({row.shape[1] for row in rows})} channels; one number is needed"
            )
        lengths_B = torch.tensor([len(row) for row in rows])
        vectors_BTC = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return {"vectors_BTC": vectors_BTC, "valid_BT": torch.arange(vectors_BTC.shape[1])[None] < lengths_B[:, None]}

    def to_config(self, folder: Path | None = None) -> dict[str, Any]:
        return {"normalize": self.normalize, "max_steps": self.max_steps}


class VectorsAdapter(ModalityAdapter):
    """A linear map of each vector, sinusoidal positions, a class token in front.

    Args:
        channels: C of the vectors.
        patch: so many vectors next to each other make a token; the last one is filled with zeros.

    Raises:
        ConfigError: a number below 1.
    """

    def __init__(
        self, *, modality: str, width: int, num_heads: int, num_layers: int, channels: int = CHANNELS, patch: int = 1
    ) -> None:
        super().__init__(modality=modality, width=width, num_heads=num_heads, num_layers=num_layers)
        if channels < 1 or patch < 1:
            raise ConfigError(f"channels={channels} and patch={patch} must be at least 1")
        self.channels, self.patch = channels, patch
        self.map = nn.Linear(channels * patch, width)
        nn.init.trunc_normal_(self.map.weight, std=(channels * patch) ** -0.5)
        nn.init.zeros_(self.map.bias)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.class_token, std=0.02)

    def forward(self, inputs: dict[str, Tensor], *, keep_BL: Tensor | None = None) -> TokenSequence:
        """Embed items.

        Args:
            inputs: ``vectors_BTC`` float and ``valid_BT`` bool (its own vectors come first; without it all are).
            keep_BL: (B, L) over class token and patches; None = all.

        Raises:
            InputError: another number of channels.
        """
        vectors_BTC = inputs["vectors_BTC"]
        if vectors_BTC.dim() != 3 or vectors_BTC.shape[2] != self.channels:
            raise InputError(
                f"vectors have the shape {tuple(vectors_BTC.shape)}, this adapter reads {self.channels} channels "
                "(`channels` of the adapter)"
            )
        valid_BT = inputs.get("valid_BT")
        if valid_BT is None:
            valid_BT = torch.ones(vectors_BTC.shape[:2], dtype=torch.bool, device=vectors_BTC.device)
        batch, steps = valid_BT.shape
        pad = -steps % self.patch
        vectors_BTC = nn.functional.pad(vectors_BTC.masked_fill(~valid_BT[..., None], 0.0), (0, 0, 0, pad))
        valid_BL = nn.functional.pad(valid_BT, (0, pad)).unflatten(1, (-1, self.patch)).any(2)
        patches = vectors_BTC.to(self.map.weight.dtype).unflatten(1, (-1, self.patch)).flatten(2)
        tokens = self.map(patches)
        tokens = tokens + sinusoids(tokens.shape[1], self.width).to(tokens)
        tokens = torch.cat((self.class_token.to(tokens.dtype).expand(batch, -1, -1), tokens), 1)
        sequence = TokenSequence(
            tokens_BLD=tokens,
            valid_BL=torch.cat((valid_BL.new_ones(batch, 1), valid_BL), 1),
            modality=self.modality,
            positions_BLP=torch.arange(-1, tokens.shape[1] - 1, device=tokens.device).float()[None, :, None],
        )
        return sequence if keep_BL is None else keep_tokens(sequence, keep_BL)


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width) positions of "Attention is all you need", section 3.5; an odd last column is a sine."""
    pairs = (width + 1) // 2
    angles = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(pairs) / pairs)[None]
    return torch.stack((angles.sin(), angles.cos()), 2).flatten(1)[:, :width]
