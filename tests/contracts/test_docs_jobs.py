"""The page on long jobs: its commands run, in their order, and do what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_readme import ROOT, blocks, folder, shell_lines  # noqa: F401 - folder is a fixture
from typer.testing import CliRunner

from omni.cli import app

PAGE = "docs/jobs.md"
FAILING = ["data", "check", "work_dirs/files/aligned-w3-test.jsonl"]  # the page says so: exit code 1


def run_in_this_process(words):
    if words[0] == "omni":
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == (words[1:] == FAILING), (words, result.output, result.exception)
        return result.output
    if words[0] == "echo":
        with open(words[3], "a") as file:
            file.write(words[1] + "\n")
    elif words[0] == "python":
        subprocess.run([sys.executable, str(ROOT / words[1]), *words[2:]], check=True)
    else:
        assert words[0] == "torchrun", words
    return ""


def look_at_what_it_left():
    listed = [json.loads(line) for line in Path("work_dirs/files.npz.bad.jsonl").read_text().splitlines()]
    assert [(item["position"], item["id"], item["slot"]) for item in listed] == [(300, "torn", "image")]
    rows = np.load("work_dirs/files.npz")
    assert rows["ids"][300] == "torn" and np.isnan(rows["image"][300]).all() and np.isfinite(rows["text"][300]).all()
    shards = np.load("work_dirs/shards.npz")
    assert shards["image"].shape == shards["audio"].shape == (300, 64)
    assert "<audio" in Path("work_dirs/sheet.html").read_text()


def test_the_commands_and_the_python_run(folder, capsys):  # noqa: F811
    for words in shell_lines(PAGE):
        output = run_in_this_process(words)
        if words[1:] == FAILING:
            assert "300  torn: Slot 'image': no file" in output and "301 samples, 1 bad" in output
    look_at_what_it_left()
    for code in blocks(PAGE, "python"):
        exec(compile(code, PAGE, "exec"), {})
    assert Path("work_dirs/again.npz").read_bytes() == Path("work_dirs/shards.npz").read_bytes()
    assert "(300, 64) (300, 64)" in capsys.readouterr().out


@pytest.mark.slow
def test_the_commands_run_in_a_shell(folder):  # noqa: F811
    os.symlink(ROOT / "tools", folder / "tools")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for block in blocks(PAGE, "sh"):
        script = block.replace("exit code 1", "exit code 1\ntest $? = 1 || exit 3")
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (block, done.stdout, done.stderr)
    look_at_what_it_left()
    assert Path("work_dirs/two.npz").read_bytes() == Path("work_dirs/shards.npz").read_bytes()
