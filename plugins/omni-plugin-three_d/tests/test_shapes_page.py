"""The page on shapes: its examples run and print what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "shapes.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is not there outside of a checkout")
def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "import" in block]
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)
    (printed,) = re.findall(r"It prints `(.*?)`", text)
    assert capsys.readouterr().out.strip() == printed
    assert names["radius"].grad > 0  # type: ignore[attr-defined]


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is not there outside of a checkout")
def test_the_settings_exist() -> None:
    import inspect

    from omni_plugin_three_d.heads.point_set import PointSet
    from omni_plugin_three_d.heads.shape_field import ShapeField

    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    table = readme.split("## Settings of `shape_field`")[1].split("## Settings of `point_set`")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    known = set(inspect.signature(ShapeField).parameters) - {"width", "fused"}
    assert named == known
    points = readme.split("## Settings of `point_set`")[1].split("## ")[0]
    known = set(inspect.signature(PointSet).parameters) - {"width", "fused"}
    assert set(re.findall(r"`(\w+)`", points)) == known
