"""A fresh virtual environment with omni's own wheels, built now, and the third-party packages of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class FreshEnvironment:
    """``wheels`` is a local index of wheels; packages come from there only.

    Third-party packages (torch, ...) are borrowed through links, all but omni's own: neither the editable install nor
    its metadata is to be seen.

    Args:
        folder: where everything is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.home = folder / "env"
        self.python = self.home / "bin" / "python"
        self.omni = self.home / "bin" / "omni"
        self.wheels.mkdir()
        _call([sys.executable, "-m", "venv", "--without-pip", str(self.home)], cwd=folder)
        self.site = Path(self.run("-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
        borrowed = folder / "borrowed"
        borrowed.mkdir()
        for item in Path(sysconfig.get_paths()["purelib"]).iterdir():
            if "omni" not in item.name.lower() and item.suffix != ".pth":
                (borrowed / item.name).symlink_to(item)
        (self.site / "borrowed.pth").write_text(f"{borrowed}\n")

    def build(self, *projects: Path) -> None:
        """Build the wheels of projects into the local index."""
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(self.wheels)]
        _call([sys.executable, "-m", "pip", "wheel", *options, *map(str, projects)], cwd=self.folder)

    def install(self, *names: str) -> None:
        """Install distributions from the local index."""
        options = ["--no-deps", "--no-index", "--quiet", "--find-links", str(self.wheels)]
        self._pip("install", *options, *names)

    def uninstall(self, *names: str) -> None:
        """Remove distributions."""
        self._pip("uninstall", "--yes", "--quiet", *names)

    def _pip(self, *arguments: str) -> None:
        _call([sys.executable, "-m", "pip", "--python", str(self.python), *arguments], cwd=self.folder)

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """Standard output of the environment's Python; any failure is an error with what was printed."""
        return _call([str(self.python), *arguments], cwd=cwd or self.folder).stdout

    def verb(self, *arguments: str, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the environment's ``omni``."""
        return _call([str(self.omni), *arguments], cwd=cwd or self.folder, check=check)

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Plugin name -> status."""
        return {item["name"]: item for item in json.loads(self.verb("plugins", "list", "--json").stdout)["plugins"]}


def _call(command: Sequence[str], *, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMNI_", "PYTHON", "PYTEST"))}
    environment = {**kept, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900)
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done
