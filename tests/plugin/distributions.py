"""Real tiny distributions: a module and a .dist-info folder with entry points, in a folder that is put on the path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HEAD = """
from omni.plugin import (CommandSpec, HeadSpec, MetricSpec, ModalitySpec, ModelEntry, ObjectiveSpec, PluginInfo,
                         TransformSpec, hookimpl)

@hookimpl
def omni_plugin_info():
    return PluginInfo(name={name!r})
"""
MODALITY = """
@hookimpl
def omni_modalities():
    return [ModalitySpec(name={name!r}, target="json:JSONDecoder", loader="json:loads", sample="json:dumps",
                         transform="none")]
"""


def write_distribution(
    folder: Path, name: str, code: str, *, distribution: str = "", version: str = "1.0", entries: str = ""
) -> None:
    """A distribution with one module and, unless ``entries`` says otherwise, one entry point ``name``."""
    distribution = distribution or f"omni-plugin-{name}"
    module = "plug_" + distribution.replace("-", "_").lower()
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entries or f"[omni]\n{name} = {module}\n")


def good(name: str) -> str:
    """The code of a sound plugin with a modality of its own name."""
    return HEAD.format(name=name) + MODALITY.format(name=name)


def run_python(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh Python that has the folder's distributions."""
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment_with(folder, **environment), capture_output=True, text=True, timeout=120, cwd=folder
    )


def run_omni(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a fresh Python that has the folder's distributions."""
    command = [sys.executable, "-m", "omni", *arguments]
    return subprocess.run(
        command, env=environment_with(folder, **environment), capture_output=True, text=True, timeout=120, cwd=folder
    )


def environment_with(folder: Path, **changes: str) -> dict[str, str]:
    """This environment, without omni's own variables, with the folder on the path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OMNI_")}
    path = os.pathsep.join(filter(None, [str(folder), kept.get("PYTHONPATH", "")]))
    return {**kept, "PYTHONPATH": path, "COLUMNS": "200", **changes}


def statuses(folder: Path, **environment: str) -> dict[str, dict[str, Any]]:
    """distribution -> status of its plugin, from ``omni plugins list --json``."""
    done = run_omni(folder, "plugins", "list", "--json", **environment)
    assert done.returncode == 0, done.stderr
    return {item["distribution"]: item for item in json.loads(done.stdout)["plugins"]}
