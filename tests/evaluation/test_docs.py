"""The page on evaluation: its commands and its Python run, on the example's model before training."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from omni.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    from omni.config import load
    from omni.core.model import ModelConfig, OmniModel
    from omni.data.processor import Processor
    from omni.inference import save_model_folder
    from omni.types import TrainedGroup
    from omni_plugin_m3mini.dataset import M3Mini

    monkeypatch.chdir(tmp_path)
    config = load("omni:configs/examples/three_slots.py")
    torch.manual_seed(0)
    model = OmniModel(ModelConfig.from_dict(config["model"]))
    slots = tuple(model.slots)
    pairs = [TrainedGroup(slots=pair, score="cosine") for pair in (slots[:2], slots[1:], slots[::2])]
    model.trained_groups = [TrainedGroup(slots=slots, score="multilinear"), *pairs]
    save_model_folder("work_dirs/first/model", model, Processor(config["processor"]))
    Path("classes.txt").write_text("\n".join(M3Mini("demo").class_names("en")))
    return tmp_path


def test_the_commands_run(folder):
    (block,) = blocks("sh")
    lines = [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]
    assert [words[:2] for words in lines] == [["omni", "eval"]] * 2
    first, second = (CliRunner().invoke(app, words[1:]) for words in lines)
    assert first.exit_code == 0, first.output or first.exception
    for title in ("text + audio -> image", "image -> text", "Geometry of pairs"):
        assert title in first.stdout
    assert Path("work_dirs/first/report.html").stat().st_size > 50_000
    assert second.exit_code == 0, second.output or second.exception
    zero_shot, linear, knn = json.loads(second.stdout)["classification"]
    assert zero_shot["settings"]["templates"] == ["{}", "a picture of a {}"] and zero_shot["classes"] == 50
    assert linear["samples"] == knn["samples"] == 300 and linear["settings"]["train_samples"] == 2400
    assert linear["top1"] > linear["chance"]


def test_the_python_runs(folder, capsys):
    example, during = blocks("python")
    exec(compile(example, "docs/evaluation.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "zero-shot: image" in printed and "Interval(low=" in printed
    names: dict = {}
    exec(compile(during, "docs/evaluation.md", "exec"), names)
    from omni.engine.building import build_metrics

    built = build_metrics(names["val_evaluator"])
    assert "audio_to_text_r1" in built["retrieval_1"].names and len(built) == 2


def test_every_option_of_the_command_is_on_the_page():
    """All but those that every command has."""
    from omni.cli.lazy import load_command
    from omni.cli.verbs import VERBS

    command = load_command("eval", VERBS["eval"].target)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    assert mentioned <= known, mentioned - known
    common = {"--help", "--device", "--quiet", "--batch-size", "--retrieval", "--controls", "--no-controls"}
    missing = {name for name in known if name.startswith("--")} - mentioned - common
    assert missing <= {"--neighbours", "--train-option"}, missing
