"""A whole run of training: a frozen tower under two slots, then features of one kept, resumed and loaded."""

from __future__ import annotations

import json

import torch
from hf_fixture import checkpoint
from safetensors.torch import load_file

import omni
from omni.engine.training import train

WORDS = [("bird", "parrot"), ("snow", "ice"), ("fire", "smoke"), ("car", "road"), ("sea", "fish"), ("sun", "moon")]


def config(folder: str, manifest: str) -> dict:
    slot = {"modality": "hf_text", "path": folder}
    return {
        "model": {
            "width": 16,
            "num_layers": 1,
            "num_heads": 2,
            "ffn_width": 24,
            "embedding_width": 8,
            "slots": {"one": "hf_text", "two": "hf_text"},
            "adapters": {"hf_text": {"encoder": {"path": folder}, "projector": "mlp", "remember_mb": 1}},
        },
        "processor": {"one": slot, "two": slot},
        "objectives": [{"type": "info_nce", "slots": ["one", "two"]}],
        "train_dataloader": {
            "dataset": {
                "type": "manifest",
                "path": manifest,
                "slots": {"one": "one", "two": "two"},
                "modalities": {"one": "hf_text", "two": "hf_text"},
            },
            "batch_size": 6,
        },
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.1}},
        "default_hooks": {"checkpoint": {"interval": 2}},
        "stages": [
            {"name": "align", "max_iters": 4},
            {"name": "heads", "max_iters": 2, "freeze": ["adapters", "core"], "cache": ["one", "two"]},
        ],
    }


def test_a_run_keeps_the_encoder_and_its_folder_is_whole(tmp_path):
    folder = checkpoint(tmp_path, "bert")
    manifest = tmp_path / "pairs.jsonl"
    manifest.write_text("\n".join(json.dumps({"one": one, "two": two}) for one, two in WORDS))
    result = train(config(folder, str(manifest)), work_dir=tmp_path / "run", quiet=True)
    assert result.steps == 6
    given, saved = load_file(f"{folder}/model.safetensors"), load_file(result.model_folder / "model.safetensors")
    prefix = "adapters.hf_text.encoder."
    names = [name for name in saved if name.startswith(prefix)]
    assert len(names) > 30 and all(torch.equal(saved[name], given[name.removeprefix(prefix)]) for name in names)
    (tmp_path / "bert").rename(tmp_path / "elsewhere")
    loaded = omni.load(result.model_folder)
    with torch.no_grad():
        for slot in ("one", "two"):
            inputs = result.processor.collate_slot(slot, [result.processor.process_value(slot, "a parrot at sea")])
            assert torch.equal(loaded.model.encode(slot, inputs), result.model.encode(slot, inputs))
