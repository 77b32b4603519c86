"""The catalog: what exists, and what is said about what does not."""

from __future__ import annotations

import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

import omni
from omni.errors import MissingDependencyError, PluginError, UnknownComponentError
from omni.plugin.catalog import get_catalog, register, reset
from omni.plugin.suggest import known_plugins
from tests.plugin.distributions import good, run_omni, run_python, write_distribution
from tests.plugin.test_manager import head, make_plugin


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the built-in plugins, whatever is installed here."""
    monkeypatch.setenv("OMNI_PLUGINS", "")


def message(kind: str, name: str) -> str:
    with pytest.raises(UnknownComponentError) as caught:
        get_catalog().get(kind, name)
    return str(caught.value)


def test_entries_names_and_aliases(alone: None) -> None:
    register(make_plugin("mine", omni_heads=[head("rhythm", aliases=("beat",)), head("axis")]), "mine")
    catalog = get_catalog()
    ours = [name for name in catalog.names("head") if name in ("axis", "rhythm", "beat")]
    assert ours == ["axis", "rhythm"]
    entry = catalog.get("head", "beat")
    assert (entry.spec.name, entry.plugin, entry.distribution) == ("rhythm", "mine", "registered in process")
    assert catalog.has("head", "beat") and not catalog.has("head", "nose")
    assert get_catalog() is catalog


def test_unknown_name_near_an_installed_one(alone: None) -> None:
    register(make_plugin("mine", omni_heads=[head("rhythm")]), "mine")
    text = message("head", "rythm")
    assert text.startswith("No head 'rythm'. Installed: ") and "Did you mean 'rhythm'?" in text
    assert "pip install" not in text


def test_unknown_name_of_another_kind(alone: None) -> None:
    register(make_plugin("mine", omni_heads=[head("rhythm")]), "mine")
    assert "There is a head of that name." in message("metric", "rhythm")


def test_unknown_name_that_a_known_plugin_provides(tmp_path: Path) -> None:
    """In a Python without the distribution: it is suggested for its own name and for a typing error."""
    code = "from omni.plugin.catalog import get_catalog\nget_catalog().get('modality', {name!r})"
    for name in ("audio", "audoi"):
        done = run_python(tmp_path, code.format(name=name), OMNI_PLUGINS="")
        assert "omni-plugin-audio" in done.stderr
    done = run_python(tmp_path, code.format(name="lidar"), OMNI_PLUGINS="")
    assert "No modality 'lidar'" in done.stderr and "pip install" not in done.stderr


def test_pip_is_suggested_only_for_the_curated_names(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni.plugin import discovery

    monkeypatch.setattr(discovery.metadata, "distributions", lambda: [])
    reset()
    assert "pip install omni-plugin-image" in message("modality", "image")
    assert "pip install omni-plugin-image" in message("modality", "imgae")
    assert "pip install omni-plugin-xray" in message("modality", "xray")
    for stranger in ("lidar", "sonar", "requests", "omni-plugin-lidar"):
        assert "pip install" not in message("modality", stranger)


def test_unknown_name_of_a_broken_plugin(tmp_path: Path) -> None:
    write_distribution(tmp_path, "xray", "import pydicom_is_not_here\n")
    done = run_python(tmp_path, "from omni.plugin.catalog import get_catalog\nget_catalog().get('modality', 'xrya')")
    text = done.stderr
    assert "Did you mean 'xray'?" in text and "omni-plugin-xray 1.0, which failed to load" in text
    assert "pydicom_is_not_here" in text and "omni plugins check xray" in text


def test_unknown_name_of_a_disabled_plugin(tmp_path: Path) -> None:
    write_distribution(tmp_path, "xray", good("xray"))
    code = "from omni.plugin.catalog import get_catalog\nget_catalog().get('modality', 'xray')"
    done = run_python(tmp_path, code, OMNI_DISABLE_PLUGINS="xray")
    assert "which is disabled: switched off by OMNI_DISABLE_PLUGINS" in done.stderr


def test_unknown_kind() -> None:
    with pytest.raises(UnknownComponentError, match="No component kind 'modallity'.*Did you mean 'modality'"):
        get_catalog().names("modallity")


def test_resolve_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needs_something.py").write_text("import something_not_here\n")
    (tmp_path / "falls_over.py").write_text("1 / 0\n")
    catalog = get_catalog()
    assert catalog.resolve("json:loads") is __import__("json").loads
    with pytest.raises(PluginError, match="module json has no 'lods'. Did you mean 'loads'"):
        catalog.resolve("json:lods")
    with pytest.raises(MissingDependencyError, match="needs the Python module 'something_not_here'"):
        catalog.resolve("needs_something:x")
    with pytest.raises(PluginError, match="falls_over:x cannot be imported: ZeroDivisionError"):
        catalog.resolve("falls_over:x")


def test_missing_requirement_names_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needs_dicom.py").write_text("import dicom_not_here\n")
    spec = head("scan")
    spec = type(spec)(name="scan", target="needs_dicom:Scan", task="t", requires=("pydicom>=2",))
    register(make_plugin("mine", omni_heads=[spec]), "mine")
    with pytest.raises(MissingDependencyError, match="The head 'scan' of registered in process: .*pip install 'pyd"):
        get_catalog().component("head", "scan")


def test_discovery_imports_no_component(alone: None) -> None:
    spec = type(head("x"))(name="far", target="no_such_module:Thing", task="t")
    register(make_plugin("mine", omni_heads=[spec]), "mine")
    assert get_catalog().get("head", "far").spec.target == "no_such_module:Thing"


def test_the_curated_list_is_sound() -> None:
    from omni.plugin.specs import KINDS, NAME_PATTERN

    for name, plugin in known_plugins().items():
        assert NAME_PATTERN.match(name) and plugin.distribution == f"omni-plugin-{name.replace('_', '-')}"
        assert set(plugin.provides) <= set(KINDS)


@pytest.mark.parametrize("plugin", known_plugins().values(), ids=lambda plugin: plugin.name)
def test_the_curated_list_is_true(plugin: Any) -> None:
    """Where a curated plugin is installed, it provides what the list says."""
    status = next((item for item in get_catalog().plugins if item.name == plugin.name), None)
    if status is None:
        pytest.skip(f"{plugin.distribution} is not installed here")
    assert status.ok, status.reason
    for kind, names in plugin.provides.items():
        assert set(names) == set(status.provides.get(kind, ())), kind


def test_import_is_light(tmp_path: Path) -> None:
    code = "import sys, omni, omni.plugin.catalog; omni.plugin.catalog.get_catalog(); omni.list_models()\n"
    code += "print(*[m for m in ('torch', 'mmengine', 'transformers', 'typer', 'rich', 'numpy') if m in sys.modules])"
    done = run_python(tmp_path, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_import_is_quick() -> None:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import omni"], check=True)
    assert time.perf_counter() - started < 2.0


def test_lazy_names() -> None:
    assert set(omni.__all__) <= set(dir(omni))
    assert omni.list_modalities() == sorted(omni.list_modalities())
    assert omni.hookimpl.project_name == "omni"
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        omni.laod  # noqa: B018


def test_version_is_that_of_the_distribution() -> None:
    from importlib import metadata

    assert metadata.version("omni-core") == omni.__version__


def test_listing_through_the_command_line(tmp_path: Path) -> None:
    write_distribution(tmp_path, "thing", good("thing"))
    done = run_omni(tmp_path, "plugins", "list")
    assert "modality thing" in done.stdout and "omni-plugin-thing" in done.stdout


def test_register_returns_the_status_of_a_namespace() -> None:
    status = register(make_plugin("mine", omni_heads=[head("a")]), "mine")
    assert isinstance(status.specs[0], type(head("a"))) and isinstance(make_plugin("x"), types.ModuleType)
    reset()
    assert not get_catalog().has("head", "a")
