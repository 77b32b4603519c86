"""The rules of the house as tests: sizes of files and functions, no modality in the core, hooks documented, licences,
nothing private."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
NEUTRAL_PACKAGES = ("core", "heads", "objectives", "engine")
MORE_MODALITIES = {"text", "image", "audio", "video", "ecg", "xray"}
SOURCE_SUFFIXES = {".py", ".md", ".toml", ".tmpl", ".typed", ".txt", ".yml", ".yaml", ".cfg", ".ini", ""}


@cache
def shipped_files() -> tuple[Path, ...]:
    """Files that git tracks, or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    names = sorted(set(done.stdout.decode().split("\0")) - {""})
    return tuple(ROOT / name for name in names if (ROOT / name).is_file())


def python_files(*folders: str) -> list[Path]:
    roots = tuple(ROOT / folder for folder in folders)
    return [p for p in shipped_files() if p.suffix == ".py" and any(root in p.parents for root in roots)]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_files() -> list[Path]:
    """omni, the plugins' packages and the tools."""
    return [path for path in python_files("omni", "plugins", "tools") if "tests" not in path.relative_to(ROOT).parts]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_files_are_short() -> None:
    every = [*python_files("omni", "plugins", "tools", "tests", "configs")]
    long = {relative(path): count for path in every if (count := len(path.read_text().splitlines())) > MAX_FILE_LINES}
    assert len(every) > 50 and not long, long


def test_functions_are_short() -> None:
    long = {}
    for path in code_files():
        for node in functions(ast.parse(path.read_text())):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            count = (node.end_lineno or node.lineno) - first + 1
            if count > MAX_FUNCTION_LINES:
                long[f"{relative(path)}:{node.name}"] = count
    assert not long, long


def docstrings(tree: ast.AST) -> set[int]:
    """ids of the nodes that are docstrings (also those of attributes and bare strings)."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def modality_words(source: str, names: set[str]) -> list[tuple[int, str]]:
    """Lines with a string constant, outside docstrings, in which a modality's name stands as a word."""
    tree = ast.parse(source)
    skipped = docstrings(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            if names & set(re.split(r"[^A-Za-z0-9]+", node.value.lower())):
                found.append((node.lineno, node.value))
    return found


def test_no_modality_is_named_in_the_core() -> None:
    from omni.plugin.catalog import get_catalog

    names = MORE_MODALITIES | set(get_catalog().names("modality"))
    found = {}
    for path in python_files(*(f"omni/{package}" for package in NEUTRAL_PACKAGES)):
        words = modality_words(path.read_text(), names)
        if words:
            found[relative(path)] = words
    assert not found, found


def test_the_search_for_modalities_finds_them() -> None:
    source = 'def f(x):\n    """An image."""\n    return x == "image" or f"{x}_audio" or "imagery"\n'
    assert [value for _, value in modality_words(source, {"image", "audio"})] == ["image", "_audio"]


def test_every_hook_is_documented_with_an_example() -> None:
    """In its docstring, with the spec that it returns, and in the guide under a heading of its own."""
    from omni.plugin import hookspecs
    from omni.plugin.specs import HOOK_RETURNS

    guide = (ROOT / "omni" / "plugin" / "README.md").read_text()
    for entry in HOOK_RETURNS:
        text = inspect.getdoc(getattr(hookspecs, entry.hook)) or ""
        example = re.search(r"``return (.+?)``", text, re.DOTALL)
        assert example, entry.hook
        assert entry.spec.__name__ in example[1], entry.hook
        assert f"### {entry.hook}\n" in guide, entry.hook
        section = guide.split(f"### {entry.hook}\n")[1].split("\n### ")[0]
        assert f"{entry.spec.__name__}(" in section, entry.hook


def test_the_examples_of_the_guide_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block of the guide, in order, gives a plugin that the host accepts."""
    import types

    from omni.plugin import catalog
    from omni.plugin.specs import KINDS

    guide = (ROOT / "omni" / "plugin" / "README.md").read_text()
    module = types.ModuleType("guide")
    for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL):
        exec(compile(block, "guide", "exec"), module.__dict__)
    monkeypatch.setenv("OMNI_PLUGINS", "")  # an installed plugin may have the name of the guide's
    catalog.reset()
    try:
        assert set(catalog.register(module, "sonar").provides) == set(KINDS)
    finally:
        catalog.reset()


def licence_rows(path: Path) -> dict[str, str]:
    """file name -> licence of a LICENSES file: a table with | between the columns, the file's name first."""
    rows = {}
    for line in path.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if len(cells) >= 3 and not set(cells[0]) <= set("-: "):
            rows[cells[0]] = cells[1]
    return rows


def licences_of(path: Path) -> Path | None:
    """The nearest LICENSES file in the file's folder or above it."""
    for folder in path.parents:
        for name in ("LICENSES", "LICENSES.md"):
            if (folder / name).is_file():
                return folder / name
        if folder == ROOT:
            return None
    return None


def test_every_data_file_has_its_licence() -> None:
    """Whatever is not source (weights, vocabularies, pictures, sound, tables) has a row in the LICENSES beside it."""
    missing = []
    for path in shipped_files():
        beside = licences_of(path)
        if path.suffix in SOURCE_SUFFIXES and not (path.name.startswith("LICENSE.") and beside):
            continue
        rows = licence_rows(beside) if beside else {}
        name = str(path.relative_to(beside.parent)) if beside else relative(path)
        if not rows.get(name):
            missing.append(relative(path))
    assert not missing, f"no row in a LICENSES file for {missing}"


def test_licence_rows_name_files_that_exist() -> None:
    for path in shipped_files():
        if path.name in ("LICENSES", "LICENSES.md"):
            ghosts = [name for name in licence_rows(path) if name != "file" and not (path.parent / name).exists()]
            assert not ghosts, f"{relative(path)}: {ghosts}"


def test_nothing_private_is_shipped() -> None:
    """No path of a particular machine, no package index, no name of the tools that wrote it."""
    private = re.compile("|".join(["/wo" + "rk/", "/tmp/" + "omni", "/ro" + "ot/", r"/home/\w+/", "/opt/" + "pypi"]))
    found = []
    for path in shipped_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found.extend(f"{relative(path)}: {match}" for match in private.findall(text))
    assert not found, found


def test_source_is_ascii() -> None:
    """Text in other scripts is data or an escape; source stays readable everywhere."""
    odd = [relative(path) for path in code_files() if not path.read_text(encoding="utf-8").isascii()]
    assert not odd, odd
