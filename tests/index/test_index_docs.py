"""The page about the index: its commands and its Python run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omni.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "index.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The README's model (not trained), a few pictures and a clip."""
    import numpy as np
    import soundfile
    import torch
    from PIL import Image

    from omni.config import load
    from omni.core.model import ModelConfig, OmniModel
    from omni.data.processor import Processor
    from omni.inference import save_model_folder
    from omni.types import TrainedGroup

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    config = load("omni:configs/examples/three_slots.py")
    torch.manual_seed(0)
    model = OmniModel(ModelConfig.from_dict(config["model"]))
    slots = tuple(model.slots)
    pairs = [TrainedGroup(slots=pair, score="cosine") for pair in (slots[:2], slots[1:], slots[::2])]
    model.trained_groups = [TrainedGroup(slots=slots, score="multilinear"), *pairs]
    save_model_folder("work_dirs/first/model", model, Processor(config["processor"]))
    Path("work_dirs/files/image").mkdir(parents=True)
    Path("work_dirs/files/audio").mkdir()
    for number in range(24):
        Image.new("RGB", (64, 64), (10 * number, 255 - 10 * number, 100)).save(
            f"work_dirs/files/image/picture-{number}.png"
        )
    wave = np.sin(np.arange(8000) * 0.1).astype(np.float32)
    soundfile.write("work_dirs/files/audio/clip-453.ogg", wave, 16000)


def test_the_page_runs(folder, capsys):
    outputs = []
    (commands,) = blocks("sh")
    for line in commands.splitlines():
        words = shlex.split(line)
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, (line, result.output, result.exception)
        outputs.append(result.output)
    assert "24 x 64 of image" in outputs[0] and "kind: flat (24 x 64: up to 200,000" in outputs[0]
    assert all("picture-" in output for output in outputs[1:4])
    assert "24 x 64" in outputs[4]  # replaced, not added twice
    assert "24 items of image" in outputs[5] and "1 deleted, 23 left" in outputs[6]
    assert "image hnsw (23 x 64)" in outputs[7] and "In order" in outputs[8]
    (code,) = blocks("python")
    exec(compile(code, "docs/index.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].count("(") == 3 and printed[-1] == "True 15"
