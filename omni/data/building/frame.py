"""What the builders share: the command line around one, and the folder that is replaced only when all of it is done."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omni.data.building.packages import sha256_of
from omni.errors import OmniError
from omni.zoo import omni_home


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that becomes ``out`` (replaced whole) at the end, if nothing was raised."""
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def write_info(part: Path, info: dict[str, Any]) -> None:
    """edition.json, with the sha256 of every other file that is there."""
    files = {path.name: sha256_of(path) for path in sorted(part.iterdir())}
    text = json.dumps({**info, "files": files}, ensure_ascii=False, indent=1, sort_keys=True)
    (part / "edition.json").write_text(text + "\n", encoding="utf-8")


def builder_parser(prog: str, description: str, *, folder: str, packages: str) -> argparse.ArgumentParser:
    """A parser with what every builder takes.

    Args:
        prog, description: of argparse.
        folder: the default of --out, below $OMNI_HOME, for the help.
        packages: how they are fetched where --from does not name them, for the help.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--out", type=Path, help=f"folder (default: the cache, $OMNI_HOME/{folder})")
    parser.add_argument(
        "--from", dest="given", type=Path, action="append", default=[], metavar="FILE|FOLDER",
        help=f"where packages already lie: archives, their folder, unpacked; repeatable (default: {packages})",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return parser


def run_builder(build: Callable[..., Path], out: Path, arguments: argparse.Namespace, **settings: Any) -> int:
    """Build into ``out`` with what ``builder_parser`` read; says how large it is, or why not. The exit status."""
    common = {"given": arguments.given, "workers": arguments.workers, "progress": show_step}
    try:
        build(out, cache=omni_home() / "packages", **common, **settings)
    except OmniError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {sum(path.stat().st_size for path in out.iterdir()) / 1e6:.1f} MB")
    return 0


def show_step(what: str, done: int, total: int) -> None:
    """One line of progress on stderr, rewritten while it is a terminal; else only the end of each step is printed."""
    if sys.stderr.isatty() or done == total:
        end = "\n" if done == total else ""
        print(f"\r{what}: {done}/{total}", end=end, file=sys.stderr, flush=True)
