"""The page on frozen encoders: its Python runs and says what it prints; its commands and links exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from omni.data.processor import Processor

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "frozen_encoders.md"
README = ROOT / "plugins" / "omni-plugin-towers" / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_its_tools_and_their_options_exist():
    lines = [shlex.split(line, comments=True) for line in "".join(blocks("sh")).splitlines()]
    tools = [words for words in lines if words[0] == "python"]
    assert {words[1] for words in tools} == {
        "tools/frozen_towers_table.py",
        "tools/stamps_minilm_table.py",
        "tools/benchmark.py",
    }
    for words in tools:
        code = (ROOT / words[1]).read_text(encoding="utf-8")
        assert all(f'"{word}"' in code for word in words if word.startswith("--")), words
        if words[1].endswith("benchmark.py"):
            assert f"def bench_{words[-1]}(" in (ROOT / "tools" / "bench" / "towers.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [PAGE, README])
def test_its_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert links and not [link for link in links if "://" not in link and not (page.parent / link).exists()]


@pytest.mark.slow
def test_its_python_runs(capsys):
    names: dict[str, object] = {}
    for code in blocks("python"):
        exec(compile(code, PAGE.name, "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"audio \(\d+, 384\) \(1, 32\)", printed) and "text (3, 384) (1, 32)" in printed
    likeness = names["likeness"]
    within = [float(likeness[row, other]) for part in (0, 3) for row, other in ((part, part + 1), (part, part + 2))]
    across = [float(likeness[row, other]) for row in range(3) for other in range(3, 6)]
    assert min(within) > max(across)
    plain = Processor({"text": {"modality": "e5_small"}})
    states = [plain.process_value("text", word)["states_LC"][0].float() for word in names["words"]]
    assert all(0.8 <= float(one @ other) <= 1.001 for one in states for other in states)
