"""The contract tests: a scaffolded plugin passes them as written, and each kind of fault is found by its check."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from omni.errors import ConfigError, UnknownComponentError
from omni.plugin.catalog import get_catalog, register
from omni.plugin.scaffold import write_plugin
from omni.testing import check_status, contract_tests
from tests.plugin.distributions import environment_with, run_omni, statuses, write_distribution

FAULTS = {
    "padding is read": ("adapter", " * valid_BHW  # what", "  # what", "padding_changes_nothing"),
    "padding is valid": ("adapter", "inside_BLC.any(-1)", "(inside_BLC.any(-1) | True)", "padding_changes_nothing"),
    "idle parameter": (
        "adapter",
        "self.patch = patch",
        "self.patch = patch\n        self.idle = nn.Parameter(torch.ones(3))",
        "gradients_reach_every_parameter",
    ),
    "dropout in eval": (
        "adapter",
        "self.embed(patches_BLC.to(self.embed.weight.dtype))",
        "functional.dropout(self.embed(patches_BLC.to(self.embed.weight.dtype)), 0.5)",
        "evaluation_is_deterministic",
    ),
    "state outside the state dict": (
        "adapter",
        "self.embed = nn.Linear(patch * patch, width)",
        "self.embed = nn.Linear(patch * patch, width)\n        hidden = torch.randn(())\n"
        "        self.embed.register_forward_hook(lambda module, inputs, output: output + hidden)",
        "state_dict_round_trip",
    ),
    "keep is ignored": ("adapter", "sequence if keep_BL is None else", "sequence if True else", "kept_tokens_alone"),
    "float32 only": ("adapter", ".to(self.embed.weight.dtype)", ".float()", "works_in_bfloat16"),
    "other modality": ("adapter", "modality=self.modality,", 'modality="somebody",', "one_item"),
    "no valid token": ("adapter", "(1, 0), value=True)", "(1, 0), value=False) & False", "minimum_length"),
    "positions of another length": ("adapter", "(0, 0, 1, 0)", "(0, 0, 2, 0)", "ragged_batch"),
    "needs settings": ("transform", "mean: float = 0.0", "mean: float", "default_can_be_built"),
    "random in evaluation": ("transform", "if training and float", "if float", "makes_tensors"),
    "changes the raw value": (
        "transform",
        'return {"field_HW": field_HW}',
        'raw += 1\n        return {"field_HW": field_HW}',
        "augments",
    ),
    "mask of numbers": ("transform", "dtype=torch.bool", "dtype=torch.float32", "collates"),
    "setting is forgotten": ("transform", '"std": self.std, ', "", "config_keeps_every_setting"),
    "config with another key": ("transform", '{"mean": self.mean', '{"average": self.mean', "config_rebuilds_it"),
    "one sample only": ("io", 'variant: str = "typical"', "*, variant='typical'", "samples_follow_the_protocol"),
    "sample differs each time": ("io", "default_rng(seed)", "default_rng()", "samples_follow_the_protocol"),
    "any word is a sample": (
        "io",
        "if variant not in SHAPES:",
        "variant = variant if variant in SHAPES else 'typical'\n    if False:",
        "samples_follow_the_protocol",
    ),
    "loader changes arrays": ("io", "return array\n\n\n", "return array + 1\n\n\n", "loader_takes_its_own_values"),
    "no such adapter": ("plugin", "Adapter\"", "Adaptor\"", "targets_resolve"),
    "adapter of another class": ("plugin", "adapter:Fault", "transform:Fault", "targets_resolve"),
    "no such transform": ("plugin", 'transform="fault', 'transform="default', "default_transform_exists"),
    "torch at discovery": ("plugin", "from omni.plugin import", "import torch\nfrom omni.plugin import", "discovery"),
}


def scaffold(folder: Path, name: str, *, layout: str = "2d") -> Path:
    """A scaffolded plugin whose package folder lies on the path."""
    written = write_plugin(name, directory=folder, modality=name, layout=layout)
    return written / f"omni_plugin_{name}"


def import_plugin(package: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Register a scaffolded plugin in this process."""
    monkeypatch.syspath_prepend(str(package.parent))
    name = package.name.removeprefix("omni_plugin_")
    importlib.invalidate_caches()
    return register(importlib.import_module(f"{package.name}.plugin"), name)


@pytest.mark.parametrize("layout", ["1d", "2d"])
def test_a_scaffolded_plugin_passes_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    status = import_plugin(scaffold(tmp_path, f"fresh_{layout}", layout=layout), monkeypatch)
    report = check_status(status)
    assert report.passed, report.to_text()
    assert len(report.results) >= 20


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("torch at discovery",)])
def test_each_fault_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    file, before, after, check = FAULTS[fault]
    package = scaffold(tmp_path, f"fault_{list(FAULTS).index(fault)}")
    path = package / f"{file}.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    report = check_status(import_plugin(package, monkeypatch))
    failed = [name for name, message in report.results.items() if message]
    assert any(check in name for name in failed), f"{fault}: found only {failed}"


def test_torch_at_discovery_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = scaffold(tmp_path, "heavy_one")
    plugin = package / "plugin.py"
    plugin.write_text(plugin.read_text().replace("from omni.plugin import", "import torch\nfrom omni.plugin import"))
    entries = "[omni]\nheavy_one = omni_plugin_heavy_one.plugin\n"
    write_distribution(package.parent, "heavy_one", "", entries=entries)
    done = run_omni(package.parent, "plugins", "check", "heavy_one")
    assert done.returncode == 1
    assert re.search(r"FAIL discovery_imports_no_torch\s+discovery imports torch", done.stdout), done.stdout


@pytest.mark.parametrize("plugin", ["text"])
def test_builtin_modalities_keep_the_contract(plugin: str) -> None:
    status = next(item for item in get_catalog().plugins if item.name == plugin)
    report = check_status(status)
    assert report.passed, report.to_text()


def test_published_mode_leaks_padding() -> None:
    """The contract's padding check is sharp: the published model, whose convolutions see the padding, fails it."""
    from omni.testing import modality

    spec = next((item.spec for item in get_catalog().entries("modality") if item.plugin == "audio"), None)
    if spec is None:
        pytest.skip("no modality with convolutions is installed here")
    case = modality.make_case(spec)
    case.model = modality.tiny_model(spec, parity="published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modality, "make_case", lambda _: case)
        with pytest.raises(AssertionError, match="depends on"):
            modality.padding_changes_nothing(spec)


def test_contract_tests_of_an_unknown_plugin() -> None:
    with pytest.raises(UnknownComponentError, match="No plugin 'txt' is installed here. Did you mean 'text'"):
        contract_tests("txt")


def test_contract_tests_are_pytest_cases() -> None:
    cases = contract_tests("text")
    assert list(cases) == ["test_contract"]
    names = [check.name for check in cases["test_contract"].pytestmark[0].args[1]]
    assert "plugin_is_ok" in names and any("padding" in name for name in names)


@pytest.mark.parametrize(("name", "why"), [("Big", "not legal"), ("class", "not legal"), ("image", "belongs to")])
def test_scaffold_refuses_names(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        write_plugin(name, directory=tmp_path, modality=name)
    assert list(tmp_path.iterdir()) == []


def test_scaffold_overwrites_nothing(tmp_path: Path) -> None:
    folder = write_plugin("once", directory=tmp_path, modality="once")
    (folder / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        write_plugin("once", directory=tmp_path, modality="once")
    assert (folder / "README.md").read_text() == "mine"


def test_scaffold_leaves_no_placeholder(tmp_path: Path) -> None:
    folder = write_plugin("tidy", directory=tmp_path, modality="tidy_field", author='A "B" C')
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert not re.search(r"\{\{\w*\}\}", text), path
            if path.suffix == ".py":
                compile(text, str(path), "exec")
    import tomllib

    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["authors"] == [{"name": 'A "B" C'}]
    assert project["entry-points"]["omni"] == {"tidy": "omni_plugin_tidy.plugin"}


def test_the_loader_of_a_scaffold_reads_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from omni.errors import InputError

    import_plugin(scaffold(tmp_path, "reads"), monkeypatch)
    load = get_catalog().resolve("omni_plugin_reads.io:load")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "a.csv").write_text("0,1,2\n3,4,5\n")
    (tmp_path / "bad.npy").write_bytes(b"not an array")
    for value in (tmp_path / "a.npy", tmp_path / "a.csv", (tmp_path / "a.npy").read_bytes(), array, array.tolist()):
        assert np.array_equal(load(value), array)
    for value in (tmp_path / "bad.npy", tmp_path / "none.npy", b"x", np.zeros(3), np.full((2, 2), np.nan), "a.csv"):
        with pytest.raises(InputError):
            load(value)


def test_new_and_check_through_the_command_line(tmp_path: Path) -> None:
    done = run_omni(tmp_path, "plugins", "new", "typed", "--layout", "1d")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "omni-plugin-typed"
    assert (folder / "tests" / "test_contract.py").is_file()
    write_distribution(folder, "typed", "", entries="[omni]\ntyped = omni_plugin_typed.plugin\n")
    assert statuses(folder)["omni-plugin-typed"]["status"] == "ok"
    again = run_omni(tmp_path, "plugins", "new", "typed")
    assert again.returncode == 2 and "exists already" in again.stderr
    assert "PYTHONPATH" in environment_with(folder) and str(folder) not in sys.path
