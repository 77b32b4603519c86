"""Label prediction: the cross-entropy of a linear map, over the samples that have the slot and a label."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from omni.core.config import ModelConfig
from omni.core.model import OmniModel
from omni.engine.forward_pass import ForwardPass
from omni.errors import ConfigError
from omni.objectives.prediction import LabelPrediction
from omni.types import Batch


def made(labels, present, num_classes=3):
    torch.manual_seed(0)
    config = ModelConfig(
        width=16, num_layers=1, num_heads=2, ffn_width=16, slots={"text": "text"}, embedding_width=8, layer_scale=1.0
    )
    model = OmniModel(config)
    present_B = torch.tensor(present)
    pooled = torch.randn(int(present_B.sum()), 16)
    batch = Batch(
        inputs={"text": {"pooled_BD": pooled}} if len(pooled) else {},
        present={"text": present_B},
        ids=[str(i) for i in range(len(labels))],
        targets={"kind": torch.tensor(labels)},
    )
    objective = LabelPrediction(slots=["text"], labels="kind", num_classes=num_classes)
    objective.bind(model)
    return objective, ForwardPass(model, batch), pooled


def test_it_is_the_cross_entropy_of_those_that_count():
    objective, fp, pooled = made([0, 2, -1, 1], [True, False, True, True])
    out = objective(fp)
    logits = objective.classifier(pooled[[0, 2]])
    torch.testing.assert_close(out.total, F.cross_entropy(logits, torch.tensor([0, 1])))
    assert out.counts == {"text": 2}
    out.total.backward()
    assert objective.classifier.weight.grad.abs().sum() > 0


def test_nobody_gives_a_zero_with_a_graph():
    objective, fp, _ = made([0, 1], [False, False])
    out = objective(fp)
    assert out.total.item() == 0 and out.total.requires_grad and out.counts == {"text": 0}


def test_a_label_out_of_range_is_named():
    objective, fp, _ = made([0, 5], [True, True])
    with pytest.raises(ConfigError, match="label 5"):
        objective(fp)


def test_one_slot_only():
    with pytest.raises(ConfigError, match="exactly one slot"):
        LabelPrediction(slots=["text", "audio"], labels="kind", num_classes=3)


def test_the_spread_of_the_first_weights():
    """A normal cut at one standard deviation keeps .54 of it."""
    model = OmniModel(
        ModelConfig(
            width=256, num_layers=1, num_heads=2, ffn_width=16, slots={"text": "text"}, embedding_width=8,
            layer_scale=1.0,
        )
    )  # fmt: skip
    for std in (0.02, 0.2):
        objective = LabelPrediction(slots=["text"], labels="kind", num_classes=50, init_std=std)
        torch.manual_seed(0)
        objective.bind(model)
        weight = objective.classifier.weight.detach()
        assert weight.abs().max() <= std and weight.std().item() == pytest.approx(0.54 * std, rel=0.02)
    with pytest.raises(ConfigError, match="init_std"):
        LabelPrediction(slots=["text"], labels="kind", num_classes=3, init_std=0.0)
