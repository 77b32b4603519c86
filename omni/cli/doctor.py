"""``omni doctor``: what is installed here, and is it in order?"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from typing import Annotated, Literal

import typer

from omni.cli.options import AS_JSON

Level = Literal["ok", "note", "fault"]
NEEDED = ("torch", "numpy", "pluggy", "mmengine-lite", "opencv-python-headless", "safetensors", "tokenizers")
OPTIONAL = ("faiss-cpu", "torchvision", "torchaudio", "transformers", "pyarrow", "tensorboard")
DECODERS = {"pictures": ("PIL", "torchvision"), "sound": ("soundfile",), "video": ("decord", "av")}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report: level "fault" makes the exit code 1."""

    area: str
    name: str
    value: str
    level: Level = "ok"


def doctor(as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Python, packages, plugins, threads, decoders and the cache folder. Exit code 1 if something is at fault."""
    findings = [*_python(), *_packages(), *_torch(), *_plugins(), *_decoders(), *_cache()]
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.level == "fault" for finding in findings):
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    styles = {"ok": "green", "note": "yellow", "fault": "red"}
    area = ""
    for finding in findings:
        head = "" if finding.area == area else f"[bold]{finding.area}[/]"
        area = finding.area
        table.add_row(head, escape(finding.name), f"[{styles[finding.level]}]{escape(finding.value)}[/]")
    Console().print(table)


def _python() -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield Finding(area="python", name=platform.python_version(), value=sys.executable, level="ok" if good else "fault")
    yield Finding(area="python", name="system", value=f"{platform.system()} {platform.machine()}")


def _packages() -> Iterator[Finding]:
    from omni import __version__

    yield Finding(area="packages", name="omni-core", value=__version__)
    for name in (*NEEDED, *OPTIONAL):
        try:
            yield Finding(area="packages", name=name, value=metadata.version(name))
        except metadata.PackageNotFoundError:
            missing: Level = "fault" if name in NEEDED else "note"
            value = "missing" if name in NEEDED else "not installed (optional)"
            yield Finding(area="packages", name=name, value=value, level=missing)
    if _version("opencv-python") and _version("opencv-python-headless"):
        both = "installed beside opencv-python-headless; they overwrite each other, uninstall it"
        yield Finding(area="packages", name="opencv-python", value=both, level="note")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except Exception as error:  # whatever keeps it from loading is the finding
        yield Finding(area="torch", name="import", value=f"{type(error).__name__}: {error}", level="fault")
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    level: Level = "note" if threads > cores else "ok"
    yield Finding(area="torch", name="threads", value=f"{threads} on {cores} usable cores", level=level)
    cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none; running on the processor"
    yield Finding(area="torch", name="accelerator", value=cuda)
    from omni.dtypes import fast_bfloat16

    fast = fast_bfloat16()
    yield Finding(area="torch", name="bfloat16 instructions", value="yes" if fast else "no (bf16 is not faster here)")


def _plugins() -> Iterator[Finding]:
    from omni.cli.plugins import describe, look

    catalog = look()
    for status in catalog.plugins:
        level: Level = "note" if status.notes or status.state in ("disabled", "incompatible") else "ok"
        if status.state == "broken":
            level = "fault"
        text = describe(status).replace("\n", "; ")
        yield Finding(area="plugins", name=f"{status.name} ({status.label()})", value=text, level=level)
    for problem in catalog.problems:
        yield Finding(area="plugins", name="switches", value=problem, level="note")


def _decoders() -> Iterator[Finding]:
    for medium, modules in DECODERS.items():
        found = [name for name in modules if util.find_spec(name) is not None]
        if found:
            yield Finding(area="decoders", name=medium, value=", ".join(found))
        else:
            value = f"none of {', '.join(modules)} is installed"
            yield Finding(area="decoders", name=medium, value=value, level="note")


def _cache() -> Iterator[Finding]:
    from omni.zoo import omni_home

    folder = omni_home().absolute()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    writable = os.access(existing, os.W_OK)
    text = str(folder) if folder.exists() else f"{folder} (made when it is first needed)"
    value = text if writable else f"{text}: {existing} cannot be written; set OMNI_HOME"
    yield Finding(area="cache", name="folder", value=value, level="ok" if writable else "fault")
