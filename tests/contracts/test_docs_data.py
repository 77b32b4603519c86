"""The page on data: its Python runs and gives what it says; its types are those that are there."""

from __future__ import annotations

import re
from pathlib import Path

from omni.builtin import data as builtin

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "data.md", "exec"), names)
    assert capsys.readouterr().out.startswith("7 ")
    whole = [sample.id for part in range(2) for sample in names["data"].split(rank=part, world=2)]
    assert len(set(whole)) == 7 and [names["first"].id, *names["rest"]] == whole[: len(names["rest"]) + 1]
    assert names["first"].values["text"].startswith("colour")


def test_every_reader_is_on_the_page():
    assert {spec.name for spec in builtin.omni_datasets()} == set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
