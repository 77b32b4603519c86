"""docs/new_sense.md, run from top to bottom in one process; the installing is the only thing that is not done."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from omni.cli import app

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "new_sense.md"


def blocks():
    """(language, text) of the page's blocks in order."""
    return re.findall(r"```(sh|python)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def place(tmp_path, monkeypatch):
    from omni.plugin import catalog

    monkeypatch.chdir(tmp_path)
    yield tmp_path
    catalog.reset()
    for name in [name for name in sys.modules if name.startswith("omni_plugin_thermal")]:
        del sys.modules[name]


def run_shell(line, monkeypatch, steps):
    words = shlex.split(line)
    if words[:3] == ["pip", "install", "-e"]:
        from omni.plugin import catalog

        folder = Path(words[3]).absolute()
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        record = folder / f"omni_plugin_thermal-{project['version']}.dist-info"  # what pip leaves behind, in short
        record.mkdir()
        about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (record / "METADATA").write_text(about)
        (record / "entry_points.txt").write_text(f"[omni]\nthermal = {project['entry-points']['omni']['thermal']}\n")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setenv("PYTHONPATH", str(folder))
        catalog.reset()
    elif words[:2] == ["python", "-m"]:
        monkeypatch.setattr(sys, "argv", words[2:])
        runpy.run_module(words[2], run_name="__main__")
    else:
        assert words[0] == "omni", line
        fast = ["-o", f"train_cfg.max_iters={steps}"] if words[1] == "train" and steps else []
        result = CliRunner().invoke(app, [*words[1:], *fast])
        assert result.exit_code == 0, (line, result.output, result.exception)


@pytest.mark.parametrize("steps", [2, pytest.param(None, marks=pytest.mark.slow)])
def test_the_page_runs(place, monkeypatch, capsys, steps):
    """Quickly, without the contract tests of the new plugin and with fewer steps; and as it stands, by ``slow``."""
    names: dict[str, object] = {}
    for language, text in blocks():
        first = text.splitlines()[0]
        if language == "sh":
            for line in text.splitlines():
                if steps is None or not line.startswith("omni plugins check"):
                    run_shell(line, monkeypatch, steps)
        elif first.startswith("# excerpt of "):
            written = (place / "omni-plugin-thermal" / first.removeprefix("# excerpt of ")).read_text()
            assert all(line in written for line in text.splitlines()[1:])
        elif first.startswith("# "):
            (place / first.removeprefix("# ")).write_text(text)
        else:
            exec(compile(text, str(PAGE), "exec"), names)
    assert names["scores"].shape == (2, 2) and names["scores"].isfinite().all()
    assert {"thermal", "text", "image"} == set(names["new"].model.slots)
    assert "IndexResult" in capsys.readouterr().out
    if steps is None:
        assert (names["scores"].argmax(1) == torch.arange(2)).all()


def test_what_the_page_links_exists():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE.read_text(encoding="utf-8"))
    assert links and all((PAGE.parent / link).exists() for link in links)
