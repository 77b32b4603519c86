"""The model zoo: from names to folders, filters, verification, the generated page."""

from __future__ import annotations

import hashlib
import sys
import types
from pathlib import Path

import pytest

import omni
from omni.errors import MissingDependencyError, OmniError, UnknownComponentError, WeightsError
from omni.plugin.hookspecs import hookimpl
from omni.plugin.specs import ModelEntry, PluginInfo
from omni.zoo import find_entries, list_models, omni_home, resolve_model

ROOT = Path(__file__).parents[1]


def zoo_plugin(*entries):
    """A plugin with these entries."""
    plugin = types.ModuleType("toy_zoo")
    plugin.omni_plugin_info = hookimpl(lambda: PluginInfo(name="toy_zoo"), specname="omni_plugin_info")
    plugin.omni_models = hookimpl(lambda: list(entries), specname="omni_models")
    return plugin


@pytest.fixture
def zoo(toy_plugin, tmp_path, monkeypatch):
    """A package with a model in it, and a recipe."""
    from toy_models import toy_predictor

    package = tmp_path / "site" / "toy_zoo_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    folder = toy_predictor(("multilinear", "left", "right", "word")).save(package / "toy")
    weights = folder / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    common = dict(modalities=("stripe", "word"), tasks=("retrieval",))
    omni_entries = [
        ModelEntry(
            name="toy-1",
            weights="toy_zoo_weights:toy",
            sha256=digest,
            bytes=weights.stat().st_size,
            aliases=("toy",),
            summary="A toy",
            results=({"dataset": "d", "split": "test", "metric": "r1", "value": 0.5},),
            **common,
        ),  # fmt: skip
        ModelEntry(name="toy-recipe", recipe="omni train toy.py", modalities=("word",)),
        ModelEntry(name="toy-far", weights="https://example.org/x", sha256="0" * 64, **common),
        ModelEntry(name="toy-lost", weights="no_such_package_here:toy", sha256="0" * 64, **common),
    ]
    from omni.plugin import catalog

    catalog.register(zoo_plugin(*omni_entries), "toy_zoo")
    yield folder
    sys.modules.pop("toy_zoo_weights", None)


def test_a_name_loads_what_the_folder_loads(zoo):
    import torch

    by_name, by_alias, by_folder = omni.load("toy-1"), omni.load("toy"), omni.load(zoo)
    expected = by_folder.encode(word="cat")["word"]
    torch.testing.assert_close(by_name.encode(word="cat")["word"], expected)
    torch.testing.assert_close(by_alias.encode(word="cat")["word"], expected)


def test_changed_weights_are_refused(zoo):
    path = zoo / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="is not the file it should be"):
        omni.load("toy-1")


def test_names_that_lead_nowhere(zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownComponentError, match="Did you mean 'toy-1'"):
        omni.load("toy-2")
    with pytest.raises(WeightsError, match="recipe, without weights. Train it: omni train toy.py"):
        omni.load("toy-recipe")
    with pytest.raises(WeightsError, match="does not download"):
        omni.load("toy-far")
    with pytest.raises(MissingDependencyError, match="no_such_package_here"):
        omni.load("toy-lost")
    with pytest.raises(WeightsError, match="No model folder './gone'"):
        omni.load("./gone")
    with pytest.raises(OmniError, match="not from the network"):
        omni.load("hf:someone/something")
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(WeightsError, match="is a file"):
        omni.load("file.txt")
    with pytest.raises(WeightsError, match="has no config.json"):
        omni.load(tmp_path)


def test_far_weights_put_into_the_cache_are_verified(zoo, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "home"))
    assert omni_home() == tmp_path / "home"
    shutil.copytree(zoo, tmp_path / "home/models/toy-far")
    assert resolve_model("toy-far").folder == tmp_path / "home/models/toy-far"
    with pytest.raises(WeightsError, match="is not the file it should be"):
        omni.load("toy-far")


def test_filters(zoo):
    assert {"toy-1", "toy-far", "toy-lost", "toy-recipe"} <= set(list_models())
    assert list_models("toy-r*") == ["toy-recipe"] and list_models("toy") == ["toy-1"]
    assert list_models("toy-*", modality="stripe") == ["toy-1", "toy-far", "toy-lost"]
    assert list_models("toy-*", modality=["stripe", "word"], task="retrieval") == ["toy-1", "toy-far", "toy-lost"]
    assert [entry.spec.name for entry in find_entries("toy-*", weights=False)] == ["toy-recipe"]
    with pytest.raises(UnknownComponentError, match="Did you mean 'stripe'"):
        list_models(modality="strip")
    with pytest.raises(UnknownComponentError, match="Did you mean 'retrieval'"):
        list_models(task="retreival")


def test_page_shows_every_entry(zoo):
    from tools.build_model_zoo import render

    page = render(find_entries("toy-*"))
    assert "| [toy-1](#toy-1) | stripe, word | retrieval |" in page and "| recipe |" in page
    assert "## toy-recipe" in page and "| d | test | r1 | 0.5 |  |" in page


def test_model_zoo_page_is_up_to_date():
    from omni.plugin import catalog

    catalog.reset()
    from tools.build_model_zoo import own_entries, render

    expected = render(own_entries())
    assert (ROOT / "model_zoo.md").read_text(encoding="utf-8") == expected, "run: make zoo"
