"""From a config to captions: two slots, one decoder, texts that belong to what was shown."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import omni
from omni.engine.training import train

COLOURS = {"red": (250, 20, 20), "green": (20, 240, 20), "blue": (20, 20, 250), "white": (250, 250, 250)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions")
    rows = []
    for name, colour in COLOURS.items():
        Image.new("RGB", (32, 32), colour).save(folder / f"{name}.png")
        rows += [
            {"image": f"{name}.png", "hint": None, "caption": f"a {name} square"},
            {"image": None, "hint": f"{name} light", "caption": f"a {name} square"},
            {"image": f"{name}.png", "hint": "say it twice", "caption": f"{name} {name}"},
        ]
    (folder / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    slots = {"image": "image", "hint": "text", "caption": "text"}
    config = {
        "model": {
            "width": 32, "num_layers": 1, "num_heads": 2, "ffn_width": 48, "embedding_width": 8, "layer_scale": 1.0,
            "slots": slots,
            "adapters": {"image": {"stem": "hmlp", "image_size": 32}, "text": {"max_length": 16}},
            "heads": {
                "told": {
                    "type": "captioning", "vocabulary": "caption", "vocab_size": 16384, "max_length": 8,
                    "num_layers": 1, "num_heads": 2,
                }
            },
        },
        "processor": {
            "image": {"modality": "image", "size": 32, "crop_scale": [1.0, 1.0], "crop_ratio": [1.0, 1.0]},
            "hint": {"modality": "text", "type": "bpe"},
            "caption": {"modality": "text", "type": "bpe"},
        },
        "objectives": [{"type": "task", "slots": ["image", "hint"], "head": "told", "targets": "caption"}],
        "train_dataloader": {
            "dataset": {
                "type": "manifest", "path": str(folder / "train.jsonl"),
                "slots": {slot: slot for slot in slots}, "modalities": slots,
            },
            "batch_size": 12,
        },
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 5e-3}, "clip_grad": {"max_norm": 1.0}},
        "train_cfg": {"max_iters": 160},
    }  # fmt: skip
    torch.manual_seed(0)
    return folder, train(config, work_dir=folder / "run", seed=0, quiet=True).model_folder


def test_each_slot_and_both_together_are_told(trained):
    folder, place = trained
    model = omni.load(place)
    names = list(COLOURS)
    pictures = [str(folder / f"{name}.png") for name in names]
    alone = model.caption(image=pictures)
    assert [item.value.strip() for item in alone] == [f"a {name} square" for name in names]
    hints = model.caption(hint=[f"{name} light" for name in names], num_beams=1)
    assert [item.value.strip() for item in hints] == [f"a {name} square" for name in names]
    both = model.caption(image=pictures, hint=["say it twice"] * 4)
    assert [item.value.strip() for item in both] == [f"{name} {name}" for name in names]
    assert all(-1 < item.score < 0 for item in alone)


def test_the_command_tells(trained):
    from omni.cli.tasks import caption_app

    folder, place = trained
    asked = [
        str(place),
        "--image",
        str(folder / "red.png"),
        "--json",
        "--num-beams",
        "2",
        "--option",
        "length_penalty=0.5",
    ]
    done = CliRunner().invoke(caption_app, asked)
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert row["value"].strip() == "a red square" and row["inputs"] == {"image": str(folder / "red.png")}
