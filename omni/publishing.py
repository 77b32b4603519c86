"""Gives a model away: its folder with card and checksums, copied to another folder or uploaded to the Hugging Face hub.

What a model folder is made of goes out and nothing else that may lie in it. The terms of the data are asked first.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni.data.terms import require_publishable
from omni.errors import ConfigError, MissingDependencyError, OmniError, WeightsError
from omni.model_card import write_card
from omni.model_folder import ASSETS, CONFIG_NAME, WEIGHTS_NAME, read_config, refuse_foreign, replace_folder
from omni.weights import split_keys

CARD_NAME, SUMS_NAME = "README.md", "SHA256SUMS"
HUB = "hf:"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """Where a model went.

    Attributes:
        place: the folder, or the address of the commit.
        files: name -> SHA-256 of all files but the list of these, which lies beside them as SHA256SUMS.
    """

    place: str
    files: dict[str, str]


def push(source: str | Path, destination: str | Path, *, public: bool = False) -> Pushed:
    """Copy or upload a model folder: config.json, the weights, the files of the transforms, the card, SHA256SUMS.

    Args:
        source: the model folder.
        destination: a folder, of which an older model is replaced in one step, or "hf:owner/name". The hub's client
            takes the token from where it always does: HF_TOKEN, or what ``hf auth login`` kept.
        public: a repository that does not exist yet is made for all to see; otherwise it is private.

    Raises:
        WeightsError: no model folder, an incomplete or damaged one, or a destination that holds something else.
        TermsError: the terms of the data forbid it; names the data and why.
        ConfigError: no destination of these kinds. MissingDependencyError: huggingface_hub is not installed.
        OmniError: the disk or the hub refuses.
    """
    source, text = Path(source).expanduser(), os.fspath(destination)
    config = read_config(source)
    require_publishable(config.get("info", {}), name=source.name)
    shapes, _ = split_keys(_weights(source), wanted=(), dropped=())
    if text.startswith(HUB):
        repository = _repository(text)
        with tempfile.TemporaryDirectory() as made:
            files = _write(source, Path(made), config, shapes, name=repository)
            return Pushed(place=_upload(Path(made), repository, public), files=files)
    if "://" in text:
        raise ConfigError(f"{text!r}: models are pushed to a folder or to hf:OWNER/NAME.")
    folder = Path(text).expanduser()
    if folder.resolve() == source.resolve():
        raise ConfigError(f"{text!r} is the model itself; name another folder.")
    refuse_foreign(folder)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir(parents=True)
        files = _write(source, temporary, config, shapes, name=folder.name)
        replace_folder(temporary, folder)
    except OSError as error:
        raise OmniError(f"The model cannot be written to {text!r}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Pushed(place=str(folder), files=files)


def _weights(source: Path) -> Path:
    path = source / WEIGHTS_NAME
    if not path.is_file():
        raise WeightsError(f"The model folder {str(source)!r} has no {WEIGHTS_NAME}; copy it completely.")
    return path


def _repository(text: str) -> str:
    name = text.removeprefix(HUB)
    if not _REPOSITORY.fullmatch(name):
        raise ConfigError(f"{text!r} names no repository; write hf:OWNER/NAME.")
    return name


def _write(
    source: Path, folder: Path, config: dict[str, Any], shapes: dict[str, tuple], *, name: str
) -> dict[str, str]:
    """Fill the folder; name -> SHA-256 of its files."""
    assets = sorted(path for path in (source / ASSETS).rglob("*") if path.is_file())
    for path in (source / CONFIG_NAME, source / WEIGHTS_NAME, *assets):
        copy = folder / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    card = source / CARD_NAME
    if card.is_file():
        shutil.copyfile(card, folder / CARD_NAME)
    else:
        write_card(folder / CARD_NAME, name, config, parameters=sum(map(math.prod, shapes.values())))
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            files[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    lines = [f"{digest}  {name}\n" for name, digest in files.items()]  # as sha256sum --check reads it
    (folder / SUMS_NAME).write_text("".join(lines), encoding="utf-8")
    return files


def _upload(folder: Path, repository: str, public: bool) -> str:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise MissingDependencyError(
            "Uploading needs the package huggingface_hub. Fix: pip install 'omni-core[hub]'"
        ) from error
    try:
        hub = HfApi()
        hub.create_repo(repository, private=not public, exist_ok=True)
        commit = hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Model of the omni package")
    except Exception as error:  # the client raises its own, those of HTTP and of the network
        raise OmniError(
            f"The model cannot be uploaded to {HUB}{repository}: {type(error).__name__}: {error}. Are the name and the "
            "token (HF_TOKEN, or hf auth login) right, and can the hub be reached?"
        ) from error
    return str(commit.commit_url)
