"""A modality that omni has never heard of, from nothing to a trained model, without touching a file of omni."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.environment import ROOT, FreshEnvironment

pytestmark = pytest.mark.slow
USE = """
import json, sys, numpy, omni
model = omni.load("work/model")
fields = [f"data/{n:04d}.npy" for n in range(8)]
z = model.encode(thermal=fields, text=["zero", "one"], image=["data/0000.png"])
print(json.dumps({key: list(value.shape) for key, value in z.items()}))
assert all(bool(value.isfinite().all()) for value in z.values())
again = model.encode(thermal=[numpy.load(path) for path in fields])["thermal"]
assert float((again - z["thermal"]).abs().max()) == 0.0
"""


def fingerprint(folder: Path) -> dict[str, str]:
    """File -> sha256 of everything that is not a cache of Python's."""
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def thermal(fresh: FreshEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The scaffolded distribution, outside the repository, installed from its wheel."""
    outside = tmp_path_factory.mktemp("outside")
    assert ROOT not in outside.parents
    fresh.verb("plugins", "new", "thermal", "--dir", str(outside))
    folder = outside / "omni-plugin-thermal"
    fresh.build(folder)
    before = fingerprint(fresh.site / "omni")
    fresh.install("omni-plugin-thermal")
    yield folder
    fresh.uninstall("omni-plugin-thermal")
    assert fingerprint(fresh.site / "omni") == before


def test_the_environment_is_the_wheels(fresh: FreshEnvironment) -> None:
    where = fresh.run("-c", "import omni, omni_plugin_image; print(omni.__file__, omni_plugin_image.__file__)").split()
    assert all(Path(path).is_relative_to(fresh.site) for path in where)
    statuses = fresh.statuses()
    assert {name for name, item in statuses.items() if item["distribution"] != "omni (built-in)"} >= {"image", "audio"}
    assert all(item["status"] == "ok" for item in statuses.values()), statuses
    assert "m3mini" not in statuses  # the editable installs of this checkout are not seen


def test_before_it_is_installed_its_name_is_unknown(fresh: FreshEnvironment) -> None:
    code = "from omni.plugin.catalog import get_catalog; get_catalog().get('modality', 'nosuch')"
    with pytest.raises(AssertionError, match="No modality 'nosuch'. Installed: audio, image"):
        fresh.run("-c", code)


def test_it_is_found(fresh: FreshEnvironment, thermal: Path) -> None:
    status = fresh.statuses()["thermal"]
    assert status["status"] == "ok" and status["distribution"] == "omni-plugin-thermal"
    assert status["provides"] == {"modality": ["thermal"], "transform": ["thermal_basic"]}


def test_its_contract_tests_pass(fresh: FreshEnvironment, thermal: Path) -> None:
    output = fresh.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(thermal / "tests"), cwd=thermal)
    assert " passed" in output and "failed" not in output and "skipped" not in output
    assert "checks passed" in fresh.verb("plugins", "check", "thermal").stdout


def test_it_trains_with_text_and_image_by_symile(fresh: FreshEnvironment, thermal: Path) -> None:
    fresh.run("-m", "omni_plugin_thermal.made_up", "data", cwd=thermal)
    done = fresh.verb("train", "configs/text_image_thermal.py", "--work-dir", "work", cwd=thermal)
    assert "work/model" in done.stdout
    config = json.loads((thermal / "work" / "model" / "config.json").read_text())
    groups = [group["slots"] for group in config["trained_groups"] if group["score"] == "multilinear"]
    assert ["image", "text", "thermal"] in [sorted(slots) for slots in groups]
    shapes = json.loads(fresh.run("-c", USE, cwd=thermal))
    assert shapes == {"thermal": [8, 32], "text": [2, 32], "image": [1, 32]}


def test_without_the_plugin_its_model_says_what_is_missing(fresh: FreshEnvironment, thermal: Path) -> None:
    if not (thermal / "work" / "model").is_dir():
        pytest.fail("the training has not left a model")
    fresh.uninstall("omni-plugin-thermal")
    try:
        with pytest.raises(AssertionError, match="thermal") as caught:
            fresh.run("-c", "import omni; omni.load('work/model')", cwd=thermal)
        assert "omni.errors" in str(caught.value)
        assert "thermal" not in fresh.statuses()
    finally:
        fresh.install("omni-plugin-thermal")
