"""What the pages for people say is so: the README's Python runs, and its commands, options and links exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omni.cli import app
from omni.cli.lazy import load_command
from omni.cli.verbs import VERBS

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/training.md",
    "docs/data.md",
    "docs/index.md",
    "docs/scale.md",
    "docs/jobs.md",
    "docs/evaluation.md",
    "docs/image_and_audio.md",
    "docs/tasks.md",
)
EXAMPLE = "omni:configs/examples/three_slots.py"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def shell_lines(page: str) -> list[list[str]]:
    """The commands of the shell blocks, as words; comments are gone."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def commands(page: str) -> list[list[str]]:
    """Those that call omni, in blocks or between backticks."""
    inline = re.findall(r"`(omni [^`]+)`", (ROOT / page).read_text(encoding="utf-8"))
    return [words for words in [*shell_lines(page), *map(str.split, inline)] if words[0] == "omni" and len(words) > 1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder as the README leaves it: the example's model (not trained), pictures and a clip."""
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
    config = load(EXAMPLE)
    torch.manual_seed(0)
    model = OmniModel(ModelConfig.from_dict(config["model"]))
    slots = tuple(model.slots)
    pairs = [TrainedGroup(slots=pair, score="cosine") for pair in (slots[:2], slots[1:], slots[::2])]
    model.trained_groups = [TrainedGroup(slots=slots, score="multilinear"), *pairs]
    save_model_folder("work_dirs/first/model", model, Processor(config["processor"]))
    pictures = Path("work_dirs/files/image")
    pictures.mkdir(parents=True)
    for number in range(100):
        Image.new("RGB", (64, 64), (2 * number, 255 - 2 * number, 100)).save(pictures / f"picture-{number}.png")
    Path("work_dirs/files/audio").mkdir()
    wave = np.sin(np.arange(8000) * 0.1).astype(np.float32)
    soundfile.write("work_dirs/files/audio/clip-453.ogg", wave, 16000)
    return tmp_path


def test_the_python_of_the_readme_runs(folder, capsys):
    (code,) = blocks("README.md", "python")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    shapes = {slot: tuple(value.shape) for slot, value in names["vectors"].items()}
    assert shapes == {"image": (1, 64), "text": (2, 64)}
    printed = capsys.readouterr().out
    assert "tensor([[" in printed and printed.count("IndexResult(") == 3


def test_the_searches_of_the_readme_run(folder):
    lines = [words for words in shell_lines("README.md") if words[:2] in (["omni", "index"], ["omni", "search"])]
    assert [words[1] for words in lines] == ["index", "search"]
    for words in lines:
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, result.output or result.exception
    assert "picture-" in result.output


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page):
    found = commands(page)
    assert found
    for words in found:
        if words[1].startswith("-"):
            continue
        assert words[1] in VERBS, words
        command, rest = load_command(words[1], VERBS[words[1]].target), words[2:]
        if getattr(command, "commands", None) and rest:
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        known |= (
            {"--help", "--image", "--text", "--audio"}
            if command.context_settings.get("ignore_unknown_options")
            else {"--help"}
        )
        unknown = {word.partition("=")[0] for word in rest if word.startswith("-")} - known
        assert not unknown, (words, unknown)


@pytest.mark.parametrize("page", PAGES)
def test_files_and_targets_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {words[1] for words in shell_lines(page) if words[0] == "make"}
    targets |= set(re.findall(r"`make ([a-z-]+)`", text))
    missing += [target for target in sorted(targets) if not re.search(rf"^{target}:", makefile, re.MULTILINE)]
    scripts = {words[1] for words in shell_lines(page) if words[0] == "python" and words[1].endswith(".py")}
    missing += [script for script in sorted(scripts) if not (ROOT / script).is_file()]
    configs = re.findall(r"\bomni:(configs/[\w/]+\.py)", text)
    missing += [config for config in configs if not (ROOT / config).is_file()]
    assert not missing


def test_the_table_of_hooks_is_whole():
    from omni.plugin.specs import HOOK_RETURNS

    rows = re.findall(r"^\| `(omni_\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows and sorted(rows) == sorted(entry.hook for entry in HOOK_RETURNS)


def test_the_box_names_what_is_there():
    """The objectives and systems of the README's table are installed, and every verb of omni is in it."""
    from omni.plugin.catalog import get_catalog

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\w+) \|(.*)\|$", text, re.MULTILINE))
    objectives = set(re.findall(r"`(\w+)`", rows["objectives"]))
    assert len(objectives) >= 6 and objectives <= set(get_catalog().names("objective"))
    systems = {name.strip().lower().replace("-", "_") for name in rows["systems"].split(", each")[0].split(",")}
    assert systems <= set(get_catalog().names("system"))
    assert set(re.findall(r"`omni (\w+)`", rows["verbs"])) == set(VERBS)


def test_the_table_of_config_keys_is_whole():
    from omni.config_schema import TOP_LEVEL

    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert [key for key in TOP_LEVEL if f"`{key}`" not in text] == []
