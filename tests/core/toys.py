"""Small sequences and models for the tests of the core."""

from __future__ import annotations

import torch
from torch import Tensor

from omni.core.config import ModelConfig
from omni.core.encoder import OmniCore
from omni.core.model import OmniModel
from omni.core.positions import LogBucketBias
from omni.types import TokenSequence

WIDTH, HEADS = 32, 4


def sequence(length: int, modality: str = "a", *, batch: int = 3, seed: int = 0, bias: bool = True) -> TokenSequence:
    """Random tokens without padding, with a random position bias."""
    generator = torch.Generator().manual_seed(seed)
    table = LogBucketBias(num_heads=HEADS, bucket=8)
    with torch.no_grad():
        table.tables[0].copy_(torch.randn(table.tables[0].shape, generator=generator))
    return TokenSequence(
        tokens_BLD=torch.randn(batch, length, WIDTH, generator=generator),
        valid_BL=torch.ones(batch, length, dtype=torch.bool),
        modality=modality,
        bias=table(length) if bias else (),
    )


def core(*, modalities: tuple[str, ...] = ("a", "b"), layers: int = 2, layer_scale: float | None = 0.5, **options):
    """A small core in evaluation mode whose every parameter is random."""
    torch.manual_seed(1)
    made = OmniCore(
        width=WIDTH, num_layers=layers, num_heads=HEADS, ffn_width=64, modalities=modalities, layer_scale=layer_scale,
        **options,
    )  # fmt: skip
    randomise(made)
    return made.eval()


def randomise(module: torch.nn.Module) -> None:
    """Weights that hide no term behind a zero or a one; LayerScale stays."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if not name.endswith("_scale"):
                parameter.add_(torch.randn_like(parameter) * 0.1)


def text_model(**options) -> OmniModel:
    """A small model of built-in modalities in evaluation mode."""
    torch.manual_seed(2)
    defaults = dict(width=WIDTH, num_layers=2, num_heads=HEADS, ffn_width=64, embedding_width=16, layer_scale=0.5)
    defaults |= dict(slots={"one": "text", "two": "text"}, adapters={"text": dict(vocab_size=50, bucket=8)})
    made = OmniModel(ModelConfig(**(defaults | options)))
    randomise(made)
    return made.eval()


def words(lengths: list[int], *, seed: int = 0, longest: int | None = None) -> dict[str, Tensor]:
    """Random ids, padded; each token is a word of its own."""
    generator = torch.Generator().manual_seed(seed)
    size = longest or max(lengths, default=1)
    valid = torch.arange(size)[None] < torch.tensor(lengths)[:, None]
    ids = torch.randint(5, 50, (len(lengths), size), generator=generator).where(valid, torch.tensor(1))
    groups = torch.arange(size).expand(len(lengths), -1).where(valid, torch.tensor(-1))
    return {"ids_BL": ids, "valid_BL": valid, "groups_BL": groups}
