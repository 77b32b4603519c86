"""Small models of the test modalities, with random weights of a size at which embeddings differ."""

from __future__ import annotations

import torch

from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.inference import OmniPredictor
from omni.types import TrainedGroup

SLOTS = {"left": "stripe", "right": "stripe", "word": "word"}


def toy_predictor(*groups: tuple[str, ...], norm: str = "l2", missing: list[str] | None = None, slots=None, **settings):
    """A predictor of three slots; groups are (score, slot, slot, ...)."""
    config = ModelConfig(
        width=32,
        num_layers=2,
        num_heads=4,
        ffn_width=48,
        slots=dict(slots or SLOTS),
        embedding_width=16,
        embedding_norm=norm,
        layer_scale=None,
        missing=missing or [],
        **settings,
    )
    torch.manual_seed(0)
    model = OmniModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    model.trained_groups = [TrainedGroup(slots=tuple(slots), score=score) for score, *slots in groups]
    processor = Processor({slot: {"modality": modality} for slot, modality in config.slots.items()})
    return OmniPredictor(model, processor)
