"""Features of frozen towers kept on disk, and starting from a part of other weights."""

from __future__ import annotations

import pytest
import torch

from omni.core.config import ModelConfig
from omni.core.model import OmniModel
from omni.data.processor import Processor
from omni.engine.feature_cache import build_feature_table
from omni.types import Sample

WORDS = ["cat", "dog", "bus", "sun"]


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = ModelConfig(
        width=16, num_layers=1, num_heads=2, ffn_width=16, slots={"text": "text"}, embedding_width=8, layer_scale=1.0
    )
    return OmniModel(config).requires_grad_(False)


def table(model, folder, words=WORDS):
    samples = [Sample(id=word, values={"text": word}, keys={"text": word}) for word in words]
    return build_feature_table(model, samples, Processor({"text": {"modality": "text"}}), "text", folder=folder)


def test_the_second_time_reads_what_the_first_wrote(model, tmp_path):
    first = table(model, tmp_path)
    (path,) = tmp_path.glob("text-*.safetensors")
    written = path.stat().st_mtime_ns
    again = table(model, tmp_path)
    assert torch.equal(first.pooled_KD, again.pooled_KD) and path.stat().st_mtime_ns == written
    assert torch.equal(first.pooled_KD, table(model, None).pooled_KD)


def test_other_weights_or_items_are_other_features(model, tmp_path):
    first = table(model, tmp_path)
    with torch.no_grad():
        model.core.final_norms["text"].weight.mul_(2.0)
    assert not torch.equal(first.pooled_KD, table(model, tmp_path).pooled_KD)
    table(model, tmp_path, WORDS[:2])
    assert len(list(tmp_path.glob("text-*.safetensors"))) == 3


def test_a_damaged_file_is_made_again(model, tmp_path):
    first = table(model, tmp_path)
    (path,) = tmp_path.glob("text-*.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    assert torch.equal(first.pooled_KD, table(model, tmp_path).pooled_KD)
