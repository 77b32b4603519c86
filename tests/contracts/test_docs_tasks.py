"""The page on tasks: its config trains (shortened here), and the model answers as the page says."""

from __future__ import annotations

from pathlib import Path

from test_readme import blocks, folder, shell_lines  # noqa: F401 - folder is a fixture
from typer.testing import CliRunner

from omni.cli import app

PAGE = "docs/tasks.md"


def test_the_page_runs(folder, capsys):  # noqa: F811
    config, *rest = blocks(PAGE, "python")
    Path("language.py").write_text(config)
    for words in shell_lines(PAGE):
        result = CliRunner().invoke(app, [*words[1:], "-o", "train_cfg.max_iters=12"])
        assert result.exit_code == 0, (words, result.output, result.exception)
    for code in rest:
        exec(compile(code, PAGE, "exec"), {})
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 2 and all(line.split()[0] in ("en", "ru", "el") for line in lines)
