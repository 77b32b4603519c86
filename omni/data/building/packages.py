"""Packages that data sets are built from: pinned by version and sha256, fetched by their ordinary clients."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from omni.errors import InputError, OmniError


@dataclass(frozen=True, kw_only=True)
class Source:
    """One pinned package.

    Attributes:
        package: its name. version: the pinned version. client: "npm", "apt", "pip" (a wheel) or "sdist" (from PyPI).
        filename: of the archive, as the client names it. sha256: of the archive.
        license: SPDX expression of what is used of it. credit: attribution. url: where it comes from.
    """

    package: str
    version: str
    client: str
    filename: str
    sha256: str
    license: str
    credit: str
    url: str


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def obtain(source: Source, *, cache: Path, given: list[Path]) -> Path:
    """The archive of a source: from ``given`` files or folders, from the cache, or by its client.

    Raises:
        InputError: an archive with another sha256.
        OmniError: it is nowhere and the client is missing or fails.
    """
    for place in given:
        path = place / source.filename if place.is_dir() else place
        if path.name == source.filename and path.is_file():
            return _checked(path, source)
    path = cache / source.filename
    if path.is_file():
        return _checked(path, source)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        _run_client(source, Path(folder))
        files = sorted(Path(folder).iterdir())
        if len(files) != 1:
            raise OmniError(f"{_what(source)}: the client left {len(files)} files instead of one; {_way_out(source)}")
        _checked(files[0], source)
        os.replace(files[0], path)
    return path


def _run_client(source: Source, folder: Path) -> None:
    command = {
        "npm": ["npm", "pack", "--silent", f"{source.package}@{source.version}"],
        "apt": ["apt-get", "download", f"{source.package}={source.version}"],
        "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                f"{source.package}=={source.version}"],
        "sdist": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", source.package,
                  f"{source.package}=={source.version}"],
    }[source.client]  # fmt: skip
    if shutil.which(command[0]) is None:
        raise OmniError(f"{_what(source)} is needed and {command[0]} is not on the PATH; {_way_out(source)}")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OmniError(f"{_what(source)}: '{' '.join(command)}' failed ({last}); {_way_out(source)}")


def _checked(path: Path, source: Source) -> Path:
    digest = sha256_of(path)
    if digest != source.sha256:
        raise InputError(
            f"{path} is not {source.package} {source.version}: sha256 {digest}, expected {source.sha256}; "
            f"remove it and fetch the pinned version"
        )
    return path


def _what(source: Source) -> str:
    origin = {"npm": "npm", "apt": "Debian", "pip": "Python", "sdist": "Python"}[source.client]
    return f"{origin} package {source.package} {source.version}"


def _way_out(source: Source) -> str:
    return f"fetch {source.filename} elsewhere and pass its folder with --from"
